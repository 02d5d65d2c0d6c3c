"""Statistics that hold for few seeds: tests over seeds, never over pooled examples.

A tuned prompt is one draw of its seed; two thousand test rows answered by it are two thousand looks at that one draw. So
verdicts rest on one number per seed.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

Floats = NDArray[np.float64]


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p of the exact sign-flip (paired permutation) test: the share of the 2^n sign patterns whose mean is as far
    from zero. With n seeds it is never below 2^(1-n). NaN for fewer than two.

    >>> sign_flip([1.0, 2.0, 3.0, 4.0, 5.0])
    0.0625
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 2:
        return float("nan")
    if not values.any():
        return 1.0
    return float(stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue)


def paired_t(differences: Sequence[float]) -> float:
    """Two-sided p of Student's paired t-test over seeds; NaN for fewer than two or no spread."""
    values = np.asarray(differences, dtype=float)
    return float(stats.ttest_1samp(values, 0.0).pvalue) if len(values) > 1 and np.ptp(values) else float("nan")


def unpaired_t(one: Sequence[float], other: Sequence[float]) -> float:
    """Two-sided p of the two-sample t-test, the likeliest reading of the paper's "t-test". It ignores that both arms share
    their few-shot rows, and with five seeds its normal distribution is a belief."""
    return float(stats.ttest_ind(one, other).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values after Holm's step-down correction; NaN stays and is not counted.

    >>> holm([0.01, 0.04])
    [0.02, 0.04]
    """
    known = [i for i, p in enumerate(p_values) if p == p]
    out = [float("nan")] * len(p_values)
    for i, p in zip(known, multipletests([p_values[i] for i in known], method="holm")[1] if known else [], strict=True):
        out[i] = float(p)
    return out


def detectable(differences: Sequence[float], alpha: float = 0.05, power: float = 0.8) -> float:
    """The true difference that a paired t-test with this n and this spread would find with this power."""
    values = np.asarray(differences, dtype=float)
    if len(values) < 3:
        return float("nan")
    size = TTestPower().solve_power(nobs=len(values), alpha=alpha, power=power)  # for some n an array of one
    return np.asarray(size).item() * float(values.std(ddof=1))


def bootstrap(right_TSB: Sequence[Floats], n: int = 2000, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Interval of the mean over tasks of mean differences, resampling seeds and examples (hierarchical).

    right_TSB: per task an array [S, B], seeds by test rows: arm minus other, each 1 where right. Seeds are shared by
    the tasks and resampled for all at once, test rows are shared by the seeds and resampled once per task. The interval is
    the mean with Student's quantile of the bootstrap's spread, which is widened by sqrt(S / (S - 1)): percentiles of few
    seeds are too short (with 5 seeds 95 % intervals held the truth in 84 % of simulations). Chance in single answers counts
    with the seeds and with the rows: rather too wide than too short.
    """
    random = np.random.default_rng(seed)
    n_seeds = len(right_TSB[0])
    seeds_NS = random.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=n) / n_seeds
    means_N = np.zeros(n)
    for right_SB in right_TSB:
        size = right_SB.shape[1]
        for start in range(0, n, 250):  # a quarter of a thousand at a time: little memory
            part = slice(start, min(start + 250, n))
            rows_NB = random.multinomial(size, np.full(size, 1 / size), size=part.stop - part.start) / size
            means_N[part] += ((seeds_NS[part] @ right_SB) * rows_NB).sum(1)
    mean = float(np.mean([right_SB.mean() for right_SB in right_TSB]))
    spread = float((means_N / len(right_TSB)).std()) * np.sqrt(n_seeds / max(1, n_seeds - 1))
    half = stats.t.ppf((1 + level) / 2, max(1, n_seeds - 1)) * spread
    return mean - half, mean + half


def t_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Student's interval of a mean over seeds; NaN for fewer than two values."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return float("nan"), float("nan")
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values)
    return float(values.mean() - half), float(values.mean() + half)


def crossing(
    x_K: Sequence[float], curve_SK: Floats, level_S: Floats, n: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Where the mean of curves over x (increasing, read on a logarithmic scale) first reaches a mean level; 95 % interval.

    curve_SK, level_S: per seed; seeds are resampled together (percentiles: with few seeds a little short). Infinite where
    the curve stays below up to the last x; the first x where it starts at or above.
    """
    random, x_K, curve_SK, level_S = np.random.default_rng(seed), np.log2(x_K), np.asarray(curve_SK), np.asarray(level_S)

    def first(rows: NDArray[np.int64]) -> float:
        gap_K = curve_SK[rows].mean(0) - level_S[rows].mean()
        if gap_K[0] >= 0:
            return float(2 ** x_K[0])
        above = np.flatnonzero(gap_K >= 0)
        if not len(above):
            return float("inf")
        k = above[0]
        return float(2 ** (x_K[k - 1] + (x_K[k] - x_K[k - 1]) * -gap_K[k - 1] / (gap_K[k] - gap_K[k - 1])))

    drawn = np.sort([first(random.integers(0, len(level_S), len(level_S))) for _ in range(n)])
    return first(np.arange(len(level_S))), float(drawn[int(0.025 * n)]), float(drawn[int(0.975 * n) - 1])


def of_these_prompts(one_B: NDArray[np.bool_], other_B: NDArray[np.bool_]) -> float:
    """McNemar's exact p for two sets of answers to the same rows: says something of these trained prompts alone."""
    table = [[int((a & b).sum()) for b in (other_B, ~other_B)] for a in (one_B, ~one_B)]
    return float(mcnemar(table, exact=True).pvalue)


def rejection_rate(
    test: Callable[[Floats], float], n_seeds: int, *, effect: float = 0.0, seed_sd: float = 0.03, n_rows: int = 2000,
    accuracy: float = 0.75, n: int = 2000, alpha: float = 0.05, seed: int = 0,
) -> float:  # fmt: skip
    """How often `test` of the differences over seeds rejects, in simulated studies whose arms differ by `effect`.

    Each arm and seed has an accuracy of its own (sd seed_sd); all are asked the same rows, each row as hard for everyone.
    """
    random, found = np.random.default_rng(seed), 0
    for _ in range(n):
        hard_B = random.normal(size=n_rows)
        drawn_AS = random.normal([[accuracy], [accuracy + effect]], seed_sd, (2, n_seeds))
        level_AS = stats.norm.ppf(np.clip(drawn_AS, 0.01, 0.99))
        answers_ASB = level_AS[..., None] * np.sqrt(2) + hard_B + random.normal(size=(2, n_seeds, n_rows)) > 0
        accuracy_AS = answers_ASB.mean(-1)
        found += test(accuracy_AS[1] - accuracy_AS[0]) < alpha
    return found / n
