"""What tells the label without reading the pair: classifiers that see one thing only, and words that give a class away.

All accuracies are held out (cross-fitting; equal inputs are in one fold) and balanced: chance is one over the classes.
Intervals resample the held-out predictions and never refit.
"""

import math
import re
import warnings
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from threadpoolctl import ThreadpoolController

from dawgen_core.audit.copies import bare, jaccard

FOLDS = 5
MOST = 4000  # rows that a classifier reads, drawn evenly: its cost does not grow with the set
NEGATION = re.compile(r"\b(?:no|not|never|none|nobody|nothing|neither|nor|nowhere|without|cannot|\w*n t)\b")  # bare n't: n t
TOLD = ["label", "ngram", "in_class", "elsewhere", "gap", "lift", "real_gap", "excess"]
WORDS = r"\S+"  # of bare texts

Floats = NDArray[np.float64]
Features = Floats | sparse.csr_matrix


def sentence(name: str) -> Callable[[pd.DataFrame], Features]:
    """Words and word pairs of one sentence, TF-IDF; those that stand in one row alone tell nothing of another."""

    def features(rows: pd.DataFrame) -> Features:
        words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=WORDS)
        try:
            return words.fit_transform(rows[name])
        except ValueError:  # no word stands in two rows
            return np.zeros((len(rows), 1))

    return features


def lengths(rows: pd.DataFrame) -> Features:
    """Words and characters of both sentences, the differences, their squares and products."""
    words = [rows[name].str.split().str.len().to_numpy(float) for name in ("sentence1", "sentence2")]
    chars = [rows[name].str.len().to_numpy(float) for name in ("sentence1", "sentence2")]
    return _curved([*words, *chars, words[1] - words[0], chars[1] - chars[0]])


def overlaps(rows: pd.DataFrame) -> Features:
    """Shared words: Jaccard's index, as a share of either sentence; their squares and products."""
    sets = [({*a.split()}, {*b.split()}) for a, b in zip(rows["sentence1"], rows["sentence2"], strict=True)]
    share = [[jaccard(a, b), len(a & b) / max(1, len(a)), len(a & b) / max(1, len(b))] for a, b in sets]
    return _curved(list(np.array(share).T))


def negations(rows: pd.DataFrame) -> Features:
    """Negation words in either sentence."""
    names = ("sentence1", "sentence2")
    counts = [rows[name].map(lambda text: len(NEGATION.findall(text))) for name in names]
    return StandardScaler().fit_transform(np.stack(counts, axis=1).astype(float))


VIEWS: dict[str, Callable[[pd.DataFrame], Features]] = {
    "sentence 2 only": sentence("sentence2"), "sentence 1 only": sentence("sentence1"), "lengths only": lengths,
    "overlap only": overlaps, "negation words only": negations}  # fmt: skip


def _curved(columns: list[Floats]) -> Floats:
    scaled = StandardScaler().fit_transform(np.stack(columns, axis=1))
    return PolynomialFeatures(2, include_bias=False).fit_transform(scaled)


def inputs(rows: pd.DataFrame, view: str) -> pd.Series:
    """What a view sees of a row, as one text."""
    seen = {"sentence 2 only": ["sentence2"], "sentence 1 only": ["sentence1"]}.get(view, ["sentence1", "sentence2"])
    return rows[seen[0]].str.cat([rows[column] for column in seen[1:]], sep=" | ")


def folds(texts: pd.Series) -> NDArray[np.int64]:
    """A fold per text, by its digest: equal texts share one, and the order of rows does not matter."""
    return np.array([zlib.crc32(text.encode()) % FOLDS for text in texts])


@cache
def _threads() -> ThreadpoolController:
    """Asked for once: to look for the libraries takes longer than to fit a small problem."""
    return ThreadpoolController()


def fitted(features: Features, labels: NDArray) -> LogisticRegression:
    """A logistic regression that weights the classes evenly."""
    with _threads().limit(limits=1), warnings.catch_warnings():  # small problems: more threads only wait for each other
        warnings.simplefilter("ignore", ConvergenceWarning)  # after 200 steps the answers stand, if not every digit
        return LogisticRegression(class_weight="balanced", max_iter=200, tol=1e-3).fit(features, labels)


def held_out(features: Features, labels: NDArray, fold_B: NDArray) -> Floats:
    """Class probabilities of every row from a logistic regression that has not seen its fold, [B, C] (classes sorted).

    Classes are weighted evenly. A fold whose other folds lack a class, or that is all there is, gets equal probabilities.
    """
    names = np.unique(labels)
    out = np.full((len(labels), len(names)), 1 / len(names))
    for fold in np.unique(fold_B):
        test = fold_B == fold
        if len(np.unique(labels[~test])) == len(names):
            out[test] = fitted(features[~test], labels[~test]).predict_proba(features[test])
    return out


def sample(rows: pd.DataFrame, most: int = MOST, seed: int = 0) -> pd.DataFrame:
    """About this many rows at most, the same share of every label (rounded up: a rare one stays)."""
    if len(rows) <= most:
        return rows
    parts = rows.groupby("label", sort=False)
    return pd.concat([part.sample(math.ceil(len(part) * most / len(rows)), random_state=seed) for _, part in parts])


def balanced(right_B: NDArray, labels: NDArray, n: int = 2000, seed: int = 0) -> tuple[float, Floats]:
    """Mean over classes of the share right, and n resamples of it (a resampled share of n_c answers is binomial)."""
    parts = [right_B[labels == name] for name in np.unique(labels)]
    random = np.random.default_rng(seed)
    drawn = np.mean([random.binomial(len(part), part.mean(), n) / len(part) for part in parts], axis=0)
    return float(np.mean([part.mean() for part in parts])), drawn


def view(name: str, rows: pd.DataFrame, seed: int = 0) -> tuple[float, Floats]:
    """Held-out accuracy of a view over chance, and resamples of it. rows: bare sentences and their labels."""
    features, labels = VIEWS[name](rows), rows["label"].to_numpy()
    names = np.unique(labels)
    right_B = names[held_out(features, labels, folds(inputs(rows, name))).argmax(1)] == labels
    found, drawn = balanced(right_B, labels, seed=seed)
    return found - 1 / len(names), drawn - 1 / len(names)


def plain(rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows with bare sentences."""
    return rows.assign(sentence1=bare(rows["sentence1"]), sentence2=bare(rows["sentence2"]))


def telling(rows: pd.DataFrame, real: pd.DataFrame | None = None, most: int = 5) -> pd.DataFrame:
    """Per label, the n-grams of sentence 2 (up to three words) that tell it most: bare rows in, strongest first.

    Columns: label, ngram, in_class (share of the class's rows that hold it), elsewhere (share of the other rows), gap
    (their difference), lift (P(label | ngram) over P(label), Gardner et al. 2021 look at the same numerator), and where a
    reference is given its gap there (`real_gap`) and `excess` (gap - real_gap); the order is by excess, else by gap.
    """
    vectors = CountVectorizer(ngram_range=(1, 3), binary=True, token_pattern=WORDS, min_df=max(2, len(rows) // 500))
    try:
        held_BV = vectors.fit_transform(rows["sentence2"])
    except ValueError:  # no n-gram is frequent enough
        return pd.DataFrame(columns=TOLD)
    real_BV = None if real is None else vectors.transform(real["sentence2"])
    grams, out, labels = vectors.get_feature_names_out(), [], sorted(rows["label"].unique())
    for label in labels if len(labels) > 1 else ():  # one label is told by nothing
        inside, outside = _rates(held_BV, rows["label"] == label)
        frame = pd.DataFrame({"label": label, "ngram": grams, "in_class": inside, "elsewhere": outside})
        frame["gap"] = inside - outside
        prior = (rows["label"] == label).mean()
        frame["lift"] = inside / np.maximum(prior * inside + (1 - prior) * outside, 1e-12)
        real_in, real_out = (np.nan, np.nan) if real is None else _rates(real_BV, real["label"] == label)
        frame["real_gap"] = np.subtract(real_in, real_out)
        frame["excess"] = frame["gap"] - frame["real_gap"].fillna(0)
        out.append(frame.sort_values(["excess", "ngram"], ascending=[False, True]).head(most))
    return pd.concat(out, ignore_index=True) if out else pd.DataFrame(columns=TOLD)


def _rates(held_BV: sparse.csr_matrix, own_B: pd.Series) -> tuple[Floats, Floats]:
    own = own_B.to_numpy()
    return tuple(np.asarray(held_BV[which].mean(axis=0)).ravel() if which.any() else np.zeros(held_BV.shape[1])
                 for which in (own, ~own))  # fmt: skip
