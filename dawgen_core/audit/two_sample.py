"""Are synthetic and real rows told apart, and do the classes of one lie where those of the other do?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from dawgen_core.audit import shortcuts

Floats = NDArray[np.float64]


def auc(rows: pd.DataFrame, real: pd.DataFrame, view: str, n: int = 300, seed: int = 0) -> tuple[float, Floats]:
    """Classifier two-sample test (Lopez-Paz and Oquab 2017): area under the ROC curve of a held-out classifier that sees a
    view of `shortcuts.VIEWS` (bare rows) and tells synthetic from real; 0.5 is not at all. And n resamples of it."""
    both = pd.concat([rows, real], ignore_index=True)
    made = np.repeat([1, 0], [len(rows), len(real)])
    features, fold_B = shortcuts.VIEWS[view](both), shortcuts.folds(shortcuts.inputs(both, view))
    return resampled_auc(shortcuts.held_out(features, made, fold_B)[:, 1], made, n, seed)


def resampled_auc(scores: Floats, made: NDArray, n: int = 300, seed: int = 0) -> tuple[float, Floats]:
    """(area under the ROC curve, n resamples of it): how often a synthetic row scores above a real one, ties half.

    Each side's held-out scores are resampled; nothing is fitted again.
    """
    own, other = scores[made == 1], scores[made == 0]
    placement = _placement(own, other)
    counter = _placement(other, own)
    random = np.random.default_rng(seed)
    # A resample is linear in the rows to first order (DeLong et al. 1988): the placements of each side, drawn again.
    drawn = [random.multinomial(len(p), np.full(len(p), 1 / len(p)), n) @ p / len(p) for p in (placement, 1 - counter)]
    return float(placement.mean()), drawn[0] + drawn[1] - placement.mean()


def _placement(one: Floats, other: Floats) -> Floats:
    """Per value, the share of the other values below it, ties half."""
    ranks = rankdata(np.concatenate([one, other]))[: len(one)]
    return (ranks - rankdata(one)) / len(other)


def mmd(one_BD: Floats, other_BD: Floats) -> float:
    """Unbiased squared maximum mean discrepancy (Gretton et al. 2012), Gaussian kernel, its width the median distance."""
    pairs = ((one_BD, one_BD), (other_BD, other_BD), (one_BD, other_BD))
    distances = [cdist(a, b, "sqeuclidean") for a, b in pairs]
    width = np.median(distances[2]) or 1.0
    kernels = [np.exp(-squared / width) for squared in distances]
    own = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in kernels[:2]]
    return float(sum(own) - 2 * kernels[2].mean())


def alignment(vectors_BD: Floats, labels: Sequence[str], real_BD: Floats, real_labels: Sequence[str]) -> pd.DataFrame:
    """Does each synthetic class lie nearest to its real one? Cosines of class means, centred on the real ones' mean.

    Columns: label, own (cosine of the class to the real class of its name), other (the highest to another), margin.
    """
    centre = np.mean([real_BD[np.equal(real_labels, name)].mean(0) for name in np.unique(real_labels)], axis=0)
    names = np.unique(real_labels)
    means = {name: vectors_BD[np.equal(labels, name)].mean(0) - centre for name in np.unique(labels)}
    real = np.stack([real_BD[np.equal(real_labels, name)].mean(0) - centre for name in names])
    real /= np.linalg.norm(real, axis=1, keepdims=True)
    out = []
    for name, mean in means.items():
        cosine = real @ mean / np.linalg.norm(mean)
        own = cosine[names == name].max(initial=-1)
        other = cosine[names != name].max(initial=-1)
        out.append({"label": name, "own": own, "other": other, "margin": own - other})
    return pd.DataFrame(out)
