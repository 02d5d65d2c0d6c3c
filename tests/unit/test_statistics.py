"""Tests over seeds: worked by hand, held against libraries, and their error rates by simulation."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from dawgen_core.audit import statistics

RANDOM = np.random.default_rng(3)


def test_sign_flip_is_the_share_of_patterns_that_are_as_far_from_zero():
    values = RANDOM.normal(0.5, 1.0, size=7)
    means = [abs(np.mean(values * signs)) for signs in itertools.product((1, -1), repeat=7)]
    expected = np.mean([mean >= abs(values.mean()) - 1e-12 for mean in means])
    assert statistics.sign_flip(values) == pytest.approx(expected)
    assert statistics.sign_flip(-values) == pytest.approx(expected)


@pytest.mark.parametrize("n", [2, 5, 10])
def test_sign_flip_is_never_below_its_floor(n):
    """All differences on one side: 2 patterns of 2^n are as far. With five seeds that is 0.0625, never below 0.05."""
    assert statistics.sign_flip(np.arange(1.0, n + 1)) == pytest.approx(2.0 ** (1 - n))


def test_nothing_to_tell():
    assert statistics.sign_flip([0.0, 0.0, 0.0]) == 1.0
    assert math.isnan(statistics.sign_flip([1.0])) and math.isnan(statistics.paired_t([1.0]))
    assert math.isnan(statistics.paired_t([1.0, 1.0])) and math.isnan(statistics.detectable([1.0, 2.0]))
    assert all(map(math.isnan, statistics.t_interval([1.0])))


@pytest.mark.parametrize("n", [5, 10, 73, 87])
def test_a_detectable_difference_is_found_as_often_as_it_says(n):
    """Four times in five, by the noncentral t; for 73 and 87 the solver answers with an array."""
    found = statistics.detectable(np.linspace(-1, 1, n)) / np.linspace(-1, 1, n).std(ddof=1)
    edge = stats.t.ppf(0.975, n - 1)
    power = stats.nct.sf(edge, n - 1, found * math.sqrt(n)) + stats.nct.cdf(-edge, n - 1, found * math.sqrt(n))
    assert isinstance(found, float) and power == pytest.approx(0.8, abs=1e-4)


def test_paired_and_unpaired_t_by_hand():
    """Differences 1, 2, 3: mean 2, sd 1, t = 2 * sqrt(3) on 2 degrees of freedom."""
    assert statistics.paired_t([1.0, 2.0, 3.0]) == pytest.approx(2 * stats.t.sf(2 * math.sqrt(3), 2))
    assert statistics.unpaired_t([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]) == pytest.approx(2 * stats.t.sf(math.sqrt(1.5), 4))
    low, high = statistics.t_interval([1.0, 2.0, 3.0])
    assert (low + high) / 2 == pytest.approx(2.0) and high - 2 == pytest.approx(stats.t.ppf(0.975, 2) / math.sqrt(3))


def test_holm_by_hand():
    """Smallest times 3, next times 2 but not smaller than before, last as it is; NaN is no test."""
    found = statistics.holm([0.04, 0.01, float("nan"), 0.03])
    assert found[:2] == pytest.approx([0.06, 0.03]) and math.isnan(found[2]) and found[3] == pytest.approx(0.06)
    assert all(map(math.isnan, statistics.holm([float("nan")])))


def test_what_is_detectable_is_found_four_times_in_five():
    differences = RANDOM.normal(0.0, 3.0, size=10)
    size = statistics.detectable(differences)
    drawn = RANDOM.normal(size, differences.std(ddof=1), size=(4000, 10))
    found = np.mean(stats.ttest_1samp(drawn, 0.0, axis=1).pvalue < 0.05)
    assert 0.77 < found < 0.83


def test_mcnemar_counts_the_rows_on_which_two_differ():
    """Nine rows are right for one alone, one for the other alone: 2 * (1 + 10) / 2^10."""
    one, other = np.array([1] * 9 + [0] + [1] * 30, bool), np.array([0] * 9 + [1] + [1] * 30, bool)
    assert statistics.of_these_prompts(one, other) == pytest.approx(22 / 1024)


# ---------------------------------------------------------------- the hierarchical bootstrap


@pytest.mark.parametrize("n_seeds", [5, 10])
def test_the_bootstrap_s_interval_holds_the_truth_as_often_as_it_says(n_seeds):
    """Five or ten seeds of sd 3 points, 500 shared rows: 95 % intervals hold the true difference in 94 % of studies or
    more (the chance in single answers counts with the seeds and with the rows: rather too wide than too short)."""
    random, held = np.random.default_rng(5), 0
    for study in range(200):
        shift_S, easy_B = random.normal(0.02, 0.03, size=(n_seeds, 1)), random.normal(0, 0.2, size=500)
        right = [random.random((n_seeds, 500)) < np.clip(0.7 + shift_S * side + easy_B, 0, 1) for side in (1, 0)]
        low, high = statistics.bootstrap([right[0].astype(float) - right[1]], n=400, seed=study)
        held += low <= 0.02 <= high
    assert held / 200 >= 0.94


def test_the_bootstrap_is_its_seed_and_covers_the_mean():
    tasks = [RANDOM.integers(-1, 2, size=(10, n)).astype(float) for n in (40, 300)]
    low, high = statistics.bootstrap(tasks)
    assert (low, high) == statistics.bootstrap(tasks) != statistics.bootstrap(tasks, seed=1)
    assert low < np.mean([task.mean() for task in tasks]) < high


def test_seeds_and_rows_both_count():
    """No spread over seeds leaves that of the rows; no spread over rows leaves that of the seeds."""
    rows = np.tile(RANDOM.integers(-1, 2, size=200).astype(float), (10, 1))
    seeds = np.tile(RANDOM.normal(size=(10, 1)), (1, 200))
    quantile = stats.t.ppf(0.975, 9)
    for right, se in ((rows, rows[0].std() / math.sqrt(200)), (seeds, seeds[:, 0].std() / math.sqrt(10))):
        low, high = statistics.bootstrap([right], n=4000)
        assert (high - low) / 2 == pytest.approx(quantile * math.sqrt(10 / 9) * se, rel=0.05)
    assert statistics.bootstrap([np.ones((3, 5))]) == (1.0, 1.0)


# ---------------------------------------------------------------- error rates, seed sd of 3 points, a shared test set


@pytest.mark.parametrize(("test", "n_seeds"), [("sign_flip", 10), ("paired_t", 10), ("paired_t", 5)])
def test_a_verdict_test_rejects_a_true_null_in_at_most_7_percent(test, n_seeds):
    """2,000 studies: the standard error of a rate of 5 % is half a point."""
    rate = statistics.rejection_rate(getattr(statistics, test), n_seeds, n_rows=400)
    assert 0.03 < rate <= 0.07


def test_five_seeds_can_never_reject_by_sign_flips():
    assert statistics.rejection_rate(statistics.sign_flip, 5, n_rows=100, n=300, effect=0.1) == 0.0


def test_pooled_examples_reject_a_true_null_most_of_the_time():
    """Why verdicts never rest on examples: the same null, tested as if each answer were a draw of its own."""
    random, found = np.random.default_rng(0), 0
    for _ in range(200):
        level = random.normal(0.75, 0.03, size=(2, 5, 1))
        right = random.random((2, 5, 2000)) < level
        found += stats.chi2_contingency([[r.sum(), (~r).sum()] for r in right]).pvalue < 0.05
    assert found / 200 > 0.3


def test_a_real_effect_is_found():
    assert statistics.rejection_rate(statistics.sign_flip, 10, effect=0.08, n_rows=400, n=300) > 0.95
