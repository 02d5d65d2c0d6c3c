"""Figures in the README are those of the published tables, line for line."""

import re

import pandas as pd
import pytest

from dawgen_core.params import ROOT

FOLDER = ROOT / "figures" / "fewgen_released"


def lines(text: str) -> set[str]:
    """Table lines with single spaces."""
    return {re.sub(r"\s+", " ", line).strip() for line in text.splitlines() if line.startswith("|")}


@pytest.mark.parametrize("name", ["copies", "sentence_2"])
def test_findings_on_released_pairs(name):
    published = lines((FOLDER / f"{name}.md").read_text(encoding="utf-8"))
    head = next(line for line in published if line.startswith("| task"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(readme) if lines(line) == {head})
    shown = lines("\n".join(readme[start + 2 : readme.index("", start)]))
    assert len(shown) == 5 and shown <= published


def test_findings_on_curation():
    """Every number of the two paragraphs stands in the published tables, beside what it is said of."""
    folder = ROOT / "figures" / "curation"
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    text = readme[readme.index("**What choosing among the pairs is worth.**") : readme.index("## Your own pairs")]
    arms = pd.read_csv(folder / "curation.csv", dtype=str).query("`gradient surgery` == 'yes'").set_index("arm")
    said = {"right labels (oracle)": "right labels alone (the oracle) are worth {} points ({})",
            "temporal ensemble (FewGen)": "FewGen's temporal ensemble {} ({})", "no duplicates": "no duplicates {} ({})",
            "no copies": "no copies {} ({})", "confidence": "costs {} ({})"}  # fmt: skip
    for arm, form in said.items():
        assert form.format(arms.loc[arm, "minus none"], arms.loc[arm, "95 % interval"]) in text, arm
    right = [arms.loc[arm, "right labels"].split()[0] for arm in ("confidence", "none")]
    assert "{} % of the labels right instead of {} %".format(*right) in text
    measures = pd.read_csv(folder / "prediction.csv", dtype=str).set_index("measure")
    said = {"agreement with a classifier of real rows": "(rank correlation {}, {} to {};",
            "wrong labels (oracle)": "({}, {} to {})"}  # fmt: skip
    for measure, form in said.items():
        assert form.format(*measures.loc[measure, ["rank correlation", "low", "high"]]) in text, measure


def test_false_alarms_are_those_of_the_calibration():
    """The README's shares of red flags among sets that had no part in the limits, smallest and largest over sizes."""
    found = pd.read_csv(ROOT / "dawgen_core" / "audit" / "calibration.csv").query("level == 'red'")
    sums = found.groupby(["kind", "n"])[["audits", "alarms", "alarms_left_out"]].sum()
    assert (sums["alarms"] <= 0.05 * sums["audits"]).all()
    rates = (100 * sums["alarms_left_out"] / sums["audits"]).groupby("kind")
    low, high = rates.min(), rates.max()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{low['against']:.0f} to {high['against']:.0f} % are flagged red" in readme
    assert f"without `--against` {low['alone']:.0f} to {high['alone']:.0f} %" in readme
