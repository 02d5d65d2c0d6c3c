"""Figures of an audit with their 95 % intervals: shares, means, and what held-out predictions give."""

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

NAN = float("nan")


class Share(NamedTuple):
    """Of rows: Wilson's interval, Newcombe's for a difference."""

    marks: NDArray | pd.Series

    @property
    def n(self) -> int:
        """Rows behind it."""
        return len(self.marks)

    def shown(self) -> tuple[float, float, float]:
        """Value and interval."""
        k, n = int(np.sum(self.marks)), len(self.marks)
        return k / n, *proportion_confint(k, n, method="wilson")

    def apart(self, other: "Share") -> tuple[float, float]:
        """Interval of the difference."""
        counts = [(int(np.sum(one.marks)), len(one.marks)) for one in (self, other)]
        return tuple(confint_proportions_2indep(*counts[0], *counts[1], method="newcomb", compare="diff"))


class Mean(NamedTuple):
    """Over rows: Student's interval, Welch's for a difference."""

    values: pd.Series

    @property
    def n(self) -> int:
        """Rows behind it."""
        return len(self.values)

    def shown(self) -> tuple[float, float, float]:
        """Value and interval."""
        mean, n = self.values.mean(), len(self.values)
        wide = self.values.std() / np.sqrt(n) * stats.t.ppf(0.975, n - 1) if n > 1 else NAN
        return mean, mean - wide, mean + wide

    def apart(self, other: "Mean") -> tuple[float, float]:
        """Interval of the difference."""
        if self.values.nunique() == other.values.nunique() == 1:
            return (self.values.mean() - other.values.mean(),) * 2
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Precision loss")  # one side is constant: its variance is 0, and exact
            return tuple(stats.ttest_ind(self.values, other.values, equal_var=False).confidence_interval())


class Drawn(NamedTuple):
    """Of n held-out predictions: percentiles of their resamples. A plain number of n rows has none, and no interval."""

    value: float
    draws: NDArray = np.full(1, NAN)
    n: int = 0

    def shown(self) -> tuple[float, float, float]:
        """Value and interval."""
        return self.value, *(np.nanpercentile(self.draws, [2.5, 97.5]) if np.isfinite(self.draws).any() else (NAN, NAN))

    def apart(self, other: "Drawn") -> tuple[float, float]:
        """Interval of the difference."""
        return Drawn(0.0, self.draws - other.draws).shown()[1:]


Figure = Share | Mean | Drawn
