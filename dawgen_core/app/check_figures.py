"""`make check-figures`: do the tables of a run here agree with the committed ones? Equal bytes, or means within intervals.

On one machine the same seeds give the same bytes. On another one sums round otherwise, and rounding grows over the steps of
a training: there, the mean of each cell must lie within the interval of a difference of two such means that all cells of a
table together leave in one case of twenty (Bonferroni).
"""

import math
import re
import sys
from pathlib import Path

import pandas as pd
from scipy import stats

from dawgen_core import artifacts, params
from dawgen_core.data import profiles

CELL = re.compile(r"(-?[\d.]+)(?: ± ([\d.]+))?(?: \(n=(\d+)\))?")
TABLES = ("table1", "table2", "table3")
LEAST = 2.0  # points: two machines may differ by so much where nothing varies over seeds


def compare(here: pd.DataFrame, committed: pd.DataFrame) -> list[str]:
    """One line for every cell that disagrees: where, what was expected, what was found."""
    if here.columns.tolist() != committed.columns.tolist() or len(here) != len(committed):
        shapes = [(len(frame), frame.columns.tolist()) for frame in (committed, here)]
        return [f"expected {shapes[0][0]} rows of {shapes[0][1]}, found {shapes[1][0]} of {shapes[1][1]}"]
    wrong, n_cells = [], max(1, sum("±" in str(cell) for cell in committed.to_numpy().flat))
    for i, (mine, theirs) in enumerate(zip(here.itertuples(index=False), committed.itertuples(index=False), strict=True)):
        for column, found, wanted in zip(here.columns, map(str, mine), map(str, theirs), strict=True):
            numbers = [CELL.fullmatch(text) for text in (found, wanted)]
            same = found == wanted if None in numbers else _within(numbers[0], numbers[1], n_cells)
            wrong += [] if same else [f"row {i + 1}, {column}: expected {wanted}, found {found}"]
    return wrong


def _within(found: re.Match, wanted: re.Match, n_cells: int) -> bool:
    if found[3] != wanted[3]:
        return False
    sd, n = float(wanted[2] or 0), int(wanted[3] or 1)
    half = stats.t.ppf(1 - 0.025 / n_cells, n - 1) * sd * math.sqrt(2 / n) if n > 1 else 0.0
    return abs(float(found[1]) - float(wanted[1])) <= max(half, LEAST)


def main(profile_name: str, target: Path = params.ROOT / "figures") -> int:
    """Prints a line per table; 1 where one disagrees."""
    profile = profiles.load_profile(profile_name)
    run = artifacts.Runs.of(profile).root / "tables"
    artifacts.verified(run, "tables")
    code = 0
    for name in TABLES:
        here, committed = run / f"{name}.csv", target / profile.profile / f"{name}.csv"
        if not committed.is_file():
            continue
        if here.read_bytes() == committed.read_bytes():
            print(f"{name}: the same bytes")
            continue
        wrong = compare(*(pd.read_csv(path, dtype=str, keep_default_na=False) for path in (here, committed)))
        print(f"{name}: " + ("other bytes, every cell within its interval" if not wrong else "\n  ".join(wrong)))
        code |= bool(wrong)
    return code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except (artifacts.ArtifactError, params.ParamsError) as error:
        sys.exit(str(error))
