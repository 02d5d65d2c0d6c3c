"""Are the labels right? What a classifier that learnt from real rows says, and confident learning on the set itself."""

import warnings

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from dawgen_core.audit import shortcuts

PLENTY = 50  # real rows per class from which a classifier of pairs is worth asking
MOST_WORDS = 1000  # more cost much and tell little: 72.4 % for 1,000 and for all on MRPC's pool, 54.6 and 55.4 % on MNLI's

Floats = NDArray[np.float64]


def vocabulary(rows: pd.DataFrame) -> TfidfVectorizer:
    """The most frequent words of both sentences."""
    words = TfidfVectorizer(max_features=MOST_WORDS, sublinear_tf=True, token_pattern=shortcuts.WORDS)
    return words.fit(pd.concat([rows["sentence1"], rows["sentence2"]]))


def pair_features(rows: pd.DataFrame, words: TfidfVectorizer) -> sparse.csr_matrix:
    """Words that differ, words that both share (TF-IDF), overlap and lengths: bare rows, [B, 2V + few]."""
    first, second = (words.transform(rows[name]) for name in ("sentence1", "sentence2"))
    few = [sparse.csr_matrix(view(rows)) for view in (shortcuts.overlaps, shortcuts.lengths, shortcuts.negations)]
    return sparse.hstack([abs(first - second), first.multiply(second), *few]).tocsr()


def agreement(rows: pd.DataFrame, real: pd.DataFrame) -> tuple[NDArray, NDArray]:
    """Do classifiers trained on real rows give the rows' own labels? (per synthetic row [B], per held-out real row [R]).
    Bare rows; the labels must be the same.

    Both sides are answered by classifiers of the same folds: a real row by the one that has not seen it, and so a synthetic
    row that stands among the real ones; another by each, and its figure is the share of them that agree. (Their mean would
    answer better than any one of them.)
    """
    words = vocabulary(real)
    both = pd.concat([real, rows], ignore_index=True)
    features, labels, n_real = pair_features(both, words), real["label"].to_numpy(), len(real)
    texts, names = shortcuts.inputs(both, "pair"), np.unique(labels)
    fold_B, fold_S = np.split(shortcuts.folds(texts), [n_real])  # equal texts: the same fold
    known_S = texts[n_real:].isin(set(texts[:n_real])).to_numpy()
    held_out, right, n_asked = np.zeros((n_real, len(names))), np.zeros(len(rows)), np.zeros(len(rows))
    for fold in np.unique(fold_B):
        test = fold_B == fold
        if len(np.unique(labels[~test])) == len(names):  # else this fold is all there is of a class: no answer
            model = shortcuts.fitted(features[:n_real][~test], labels[~test])
            held_out[test] = model.predict_proba(features[:n_real][test])
            asked = ~known_S | (fold_S == fold)
            right += asked & (model.predict(features[n_real:]) == rows["label"].to_numpy())
            n_asked += asked
    return right / np.maximum(1, n_asked), names[held_out.argmax(1)] == labels


def error_rate(synthetic: float, real: float, n_classes: int) -> float:
    """The share of wrong labels at which a classifier that is right on `real` of real rows agrees with `synthetic` of these:
    wrong labels are spread evenly over the other classes and its mistakes too. 0 where it agrees more; NaN if it is no
    better than chance.

    >>> round(error_rate(0.5, 0.75, 2), 6)
    0.5
    """
    stray = (1 - real) / (n_classes - 1)
    return max(0.0, (real - synthetic) / (real - stray)) if real - stray > 0.1 else float("nan")


def suspects(rows: pd.DataFrame) -> NDArray | None:
    """Confident learning (Northcutt et al. 2021, cleanlab): which labels do classifiers of the set's other rows contradict?
    bare rows; None where cleanlab is not installed (`pip install dawgen[labels]`)."""
    words = vocabulary(rows)
    names, numbers = np.unique(rows["label"], return_inverse=True)
    fold_B = shortcuts.folds(shortcuts.inputs(rows, "pair"))
    with warnings.catch_warnings():  # its import switches off other libraries' warnings
        try:
            from cleanlab.filter import find_label_issues  # an extra
        except ImportError:
            return None
        warnings.filterwarnings("ignore", "May not flag all label issues")  # small classes
        probabilities = shortcuts.held_out(pair_features(rows, words), numbers, fold_B)
        return find_label_issues(numbers, probabilities, n_jobs=1)
