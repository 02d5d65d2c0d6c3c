"""TF-IDF and multinomial naive Bayes over the words of both sentences: the oldest paradigm, no neural model."""

import numpy as np
import pandas as pd
import torch

from dawgen_core.methods.given import Given, Outcome
from dawgen_core.params import Rate, Record

SEEDED = True
FIELDS = ("sentence1", "sentence2")


class Settings(Record):
    """Additive smoothing."""

    alpha: Rate


def run(given: Given, settings: Settings) -> Outcome:
    """Words of sentence 1 and of sentence 2 are features of their own. Trainable numbers: one per word and class."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # heavy: scikit-learn
    from sklearn.naive_bayes import MultinomialNB

    words = [TfidfVectorizer(token_pattern=r"\S+").fit(given.train[field]) for field in FIELDS]

    def features(rows: pd.DataFrame) -> np.ndarray:
        return np.hstack([w.transform(rows[field]).toarray() for w, field in zip(words, FIELDS, strict=True)])

    model = MultinomialNB(alpha=settings.alpha).fit(features(given.train), given.numbers(given.train))
    dev_best = model.score(features(given.dev), given.numbers(given.dev))
    logits_BC = torch.tensor(model.predict_joint_log_proba(features(given.test))).float()
    return Outcome({"best": logits_BC}, model.feature_log_prob_.size, {"dev_best": dev_best})
