"""TF-IDF and logistic regression on features of the pair: words that both share or not, how alike, how long they are."""

import numpy as np
import pandas as pd
import torch

from dawgen_core.methods.given import Given, Outcome
from dawgen_core.params import Rate, Record

SEEDED = True


class Settings(Record):
    """Inverse strength of the L2 penalty."""

    c: Rate


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: one per feature and class (two classes share them). Draws nothing beside the few-shot rows."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # heavy: scikit-learn
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    words = TfidfVectorizer(token_pattern=r"\S+").fit([*given.train["sentence1"], *given.train["sentence2"]])
    scale = StandardScaler().fit(_few(words, given.train))

    def features(rows: pd.DataFrame) -> np.ndarray:
        first, second = (words.transform(rows[field]).toarray() for field in ("sentence1", "sentence2"))
        return np.hstack([np.abs(first - second), first * second, scale.transform(_few(words, rows))])

    model = LogisticRegression(C=settings.c, max_iter=1000).fit(features(given.train), given.numbers(given.train))
    dev_best = model.score(features(given.dev), given.numbers(given.dev))
    logits_BC = torch.tensor(model.predict_log_proba(features(given.test))).float()
    return Outcome({"best": logits_BC}, model.coef_.size + model.intercept_.size, {"dev_best": dev_best})


def _few(words, rows: pd.DataFrame) -> np.ndarray:
    """Cosine, shared words, both lengths and their difference, [B, 5]; words: a fitted TF-IDF."""
    first, second = (words.transform(rows[field]) for field in ("sentence1", "sentence2"))
    sizes = [rows[field].str.split().str.len().to_numpy() for field in ("sentence1", "sentence2")]
    shared = [len({*a.split()} & {*b.split()}) for a, b in zip(rows["sentence1"], rows["sentence2"], strict=True)]
    cosine = np.asarray(first.multiply(second).sum(axis=1)).ravel()
    return np.stack([cosine, shared, *sizes, sizes[1] - sizes[0]], axis=1).astype(float)
