"""When is a figure a flag? Limits that disjoint halves of real sets (almost) never pass, and the table that holds them."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

FILE = Path(__file__).with_name("limits.csv")
LEAKED = 0.005  # of the rows: fixed, since no leak is by chance
WRONG = 0.05  # of the labels, where an oracle knows: ours
FLOOR = 0.02  # a share that differs by less is no finding, however many rows there are
WORSE = {"higher": 1.0, "lower": -1.0}  # `either` counts both ways


@cache
def table() -> pd.DataFrame:
    """measure, scope (`all` rows or one `class`), kind (`against` a reference or `alone`), n (rows per class), limit."""
    return pd.read_csv(FILE)


def fewest() -> int:
    """Rows per class below which no limit is known, so that nothing but leaks and the oracle's verdicts can be flagged."""
    return int(table()["n"].min()) if len(table()) else 0


def limit(measure: str, scope: str, kind: str, n: int) -> float:
    """The limit for n rows per class: between two calibrated numbers as chance goes, linear in 1 / sqrt(n); above the
    largest that of the largest; NaN below the smallest and where none was calibrated."""
    known = table()
    rows = known[(known["measure"] == measure) & (known["scope"] == scope) & (known["kind"] == kind)]
    rows = rows.sort_values("n")
    if not len(rows) or n < rows["n"].iloc[0]:
        return float("nan")
    return float(np.interp(-(n**-0.5), -(rows["n"] ** -0.5), rows["limit"]))


def excess(worse: str, difference: float) -> float:
    """How far a difference goes in the bad direction."""
    return abs(difference) if worse == "either" else WORSE[worse] * difference


def family(audits: pd.DataFrame, rate: float = 0.05) -> pd.Series:
    """Limits per measure that at most this share of audits passes in any measure at once.

    audits: one row an audit, one column a measure, how far its difference goes in the bad direction; index: task. A
    measure's scale is its root mean square in the task where that is largest; the limit is a common multiple of the scales.
    """
    scales = np.sqrt((audits**2).groupby(level=0).mean()).max().clip(lower=1e-9)
    multiple = (audits / scales).max(axis=1).quantile(1 - rate, interpolation="higher")
    return multiple * scales * (1 + 1e-9)  # the audit that sets the multiple does not pass it by rounding
