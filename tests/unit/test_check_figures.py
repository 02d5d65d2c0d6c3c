"""Tables of a run here against the committed ones: equal, within intervals, or named cell by cell."""

import pandas as pd
import pytest

from dawgen_core.app import check_figures
from dawgen_core.app.check_figures import LEAST, compare


def table(*cells: str, task: str = "MRPC") -> pd.DataFrame:
    return pd.DataFrame({"method": [f"method {i}" for i in range(len(cells))], task: cells})


def test_equal_tables_agree():
    cells = ("66.5", "61.0 (n=1)", "50.0 ± 2.0 (n=5)", "not run", "-")
    assert compare(table(*cells), table(*cells)) == []


# Student's t with 4 degrees of freedom at 0.975 is 2.776: 2.776 * 2 * sqrt(2 / 5) = 3.51; with n = 2 it is 12.706, and
# 12.706 * 1 * sqrt(2 / 2) = 12.7; sd 0.1 at n = 5 gives 0.18, and 2 points are allowed all the same
WITHIN = {
    "in the interval": ("53.5 ± 0.1 (n=5)", "50.0 ± 2.0 (n=5)"),
    "below, in the interval": ("46.5 ± 9.0 (n=5)", "50.0 ± 2.0 (n=5)"),
    "two seeds": ("62.7 ± 0.0 (n=2)", "50.0 ± 1.0 (n=2)"),
    "two points": ("52.0 ± 0.1 (n=5)", "50.0 ± 0.1 (n=5)"),
    "one seed, two points": ("63.0 (n=1)", "61.0 (n=1)"),
    "no seed, two points": ("64.5", "66.5"),
    "below zero": ("-1.5 ± 0.0 (n=5)", "0.5 ± 0.0 (n=5)"),
}
OUTSIDE = {
    "beyond the interval": ("53.6 ± 9.0 (n=5)", "50.0 ± 2.0 (n=5)"),
    "below, beyond the interval": ("46.4 ± 2.0 (n=5)", "50.0 ± 2.0 (n=5)"),
    "two seeds": ("62.8 ± 0.0 (n=2)", "50.0 ± 1.0 (n=2)"),
    "more than two points": ("52.1 ± 0.1 (n=5)", "50.0 ± 0.1 (n=5)"),
    "one seed": ("63.1 (n=1)", "61.0 (n=1)"),
    "no seed": ("64.4", "66.5"),
    "another n": ("50.0 ± 2.0 (n=4)", "50.0 ± 2.0 (n=5)"),
    "one seed of five": ("50.0 (n=1)", "50.0 ± 2.0 (n=5)"),
    "not run": ("not run", "50.0 ± 2.0 (n=5)"),
    "run here only": ("50.0 ± 2.0 (n=5)", "not run"),
}


@pytest.mark.parametrize("kind", WITHIN)
def test_a_mean_within_its_interval_agrees(kind):
    here, committed = WITHIN[kind]
    assert compare(table("66.5", here), table("66.5", committed)) == []


@pytest.mark.parametrize("kind", OUTSIDE)
def test_a_cell_that_disagrees_is_named(kind):
    here, committed = OUTSIDE[kind]
    assert compare(table("66.5", here), table("66.5", committed)) == [f"row 2, MRPC: expected {committed}, found {here}"]


def test_every_cell_that_disagrees_has_its_line():
    here, committed = table("1.0", "50.0", "not run"), table("9.0", "50.0", "2.0")
    assert compare(here, committed) == ["row 1, MRPC: expected 9.0, found 1.0", "row 3, MRPC: expected 2.0, found not run"]


def test_words_must_be_equal():
    here, committed = table("50.0"), table("50.0").assign(method="another method")
    assert compare(here, committed) == ["row 1, method: expected another method, found method 0"]


def test_two_points_are_the_least():
    assert LEAST == 2.0


SHAPES = {"a row less": table("50.0"), "another task": table("50.0", "50.0", task="SICK"),
          "another order": table("50.0", "50.0")[["MRPC", "method"]]}  # fmt: skip


@pytest.mark.parametrize("here", SHAPES.values(), ids=SHAPES)
def test_another_shape_is_named(here):
    (line,) = compare(here, table("50.0", "50.0"))
    assert line.startswith("expected 2 rows of ['method', 'MRPC'], found ")
    assert line.endswith(f"found {len(here)} of {here.columns.tolist()}")


# ---------------------------------------------------------------- the whole check, on files


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """(tables of a run, committed figures) of the profile smoke; the run's artifact is taken as whole."""
    run, target = tmp_path / "run", tmp_path / "figures"
    for folder in (run / "tables", target / "smoke"):
        folder.mkdir(parents=True)
    monkeypatch.setattr(check_figures.artifacts.Runs, "of", lambda profile: check_figures.artifacts.Runs(run))
    monkeypatch.setattr(check_figures.artifacts, "verified", lambda folder, step: None)
    return run / "tables", target / "smoke"


@pytest.mark.parametrize(
    ("cell", "code", "said"),
    [
        ("50.0 ± 2.0 (n=5)", 0, "table1: the same bytes"),
        ("51.0 ± 2.0 (n=5)", 0, "table1: other bytes, every cell within its interval"),
        ("60.0 ± 2.0 (n=5)", 1, "table1: row 1, MRPC: expected 50.0 ± 2.0 (n=5), found 60.0 ± 2.0 (n=5)"),
    ],
    ids=["same", "within", "outside"],
)
def test_the_check_says_how_each_table_agrees(folders, cell, code, said, capsys):
    run, committed = folders
    table(cell).to_csv(run / "table1.csv", index=False)
    table("50.0 ± 2.0 (n=5)").to_csv(committed / "table1.csv", index=False)  # and no other table is committed
    assert check_figures.main("smoke", committed.parent) == code
    assert capsys.readouterr().out.strip() == said
