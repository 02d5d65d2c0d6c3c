"""Figures in the README are those of the published tables, line for line."""

import json
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


def test_findings_of_the_study():
    """The lines on claims are those of the published verdicts, the sentences on labels and sweeps those of their tables."""
    folder, readme = ROOT / "figures" / "study", (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme[readme.index("## What the study says") : readme.index("## Map")]
    verdicts = pd.read_csv(folder / "verdicts.csv", dtype=str).set_index("claim")
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]
    assert len(shown) == 10
    for claim, *cells in shown:
        columns = ["paper (T5-large)", "this run", "95 % over seeds", "verdict", "on fit tasks"]
        assert cells == verdicts.loc[claim, columns].tolist(), claim
    table = pd.read_csv(folder / "table1.csv", dtype=str).set_index("method")["AVG"]
    head = " ".join(readme[: readme.index("You need")].split())
    for method, form in {"Ours": "right on {} % of", "Prompt Tuning": "without them on {} %"}.items():
        assert form.format(table[method].split()[0]) in head
    for claim, form in {"Ours beats prompt tuning on the real pairs": "({} points, {})",
                        "surgery helps (DawGen pairs)": "{} ({})"}.items():  # fmt: skip
        assert form.format(*verdicts.loc[claim, ["this run", "95 % over seeds"]]) in head, claim
    oracle = pd.read_csv(folder / "oracle.csv", dtype=str).set_index(["share of pairs", "generator"])
    gains = oracle.loc[("right labels", "DawGen minus FewGen")].str.split().str[0].astype(float)
    text = " ".join(section.split())
    above = oracle.loc[("right labels", "DawGen minus FewGen")].str.extract(r"\((\S+) to")[0].astype(float) > 0
    assert f"by {gains.min()} to {gains.max()} points (six of seven" in text and above.sum() == 6 and len(above) == 7
    fewer = oracle.loc[("in the grammar", "DawGen minus FewGen")].str.split().str[0].astype(float)
    assert f"in the grammar ({fewer.max()} to {fewer.min()})" in text and (fewer < 0).all()
    crossings = pd.read_csv(folder / "crossings.csv", dtype=str)
    crossings = crossings.pivot(index="method", columns="task", values="pairs per class")
    assert f"[{crossings.loc['Prompt Tuning'].iloc[0]} and {crossings.loc['Prompt Tuning'].iloc[1]} labelled" in text
    assert f"fine-tuning {crossings.loc['FT'].iloc[0]} and {crossings.loc['FT'].iloc[1]} (" in text
    options = pd.read_csv(folder / "options.csv", dtype=str).dropna(subset="difference")
    spans = options["95 % interval"].str.split(" to ", expand=True).astype(float)
    assert (spans.abs().min(axis=1) >= 1).mean() > 0.5 and (spans.abs().max(axis=1) >= 2).mean() > 0.5
    assert len(options) == 12 and ((spans[0] <= 0) & (spans[1] >= 0)).all()
    sizes = pd.read_csv(folder / "sizes.csv", dtype=str).dropna(subset="difference")
    assert "[{} and {} points]".format(*sizes["difference"]) in text
    cache = pd.read_csv(folder / "cache.csv", dtype=str).set_index("variant").loc["window 12"]
    assert f"Keeping {float(cache['of the cache (%)']):.0f} % of it" in text
    assert f"costs {cache['difference']} points](figures/study/cache.md) ({cache['95 % interval']})" in text


def test_findings_of_the_study_with_the_other_classifier():
    folder = ROOT / "figures" / "study_flan"
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    text = readme.partition("**With the instruction-tuned classifier**")[2].partition("**What the reviewers asked for**")[0]
    verdicts = pd.read_csv(folder / "verdicts.csv", dtype=str).set_index("claim")
    said = {"Ours beats prompt tuning on the real pairs": "real pairs {} ({}; {})",
            "real pairs beside synthetic ones help (DawGen pairs)": "mend that: {} ({}; {})",
            "surgery helps (DawGen pairs)": "Surgery {} ({}; {})"}  # fmt: skip
    for claim, form in said.items():
        assert form.format(*verdicts.loc[claim, ["this run", "95 % over seeds", "verdict"]]) in text, claim
    effects = pd.read_csv(folder / "effects.csv", dtype=str).set_index("effect")
    over_ft = effects.loc["Ours minus FT"]
    assert f"Ours is {over_ft['this run (study_flan)']} ahead ({over_ft['95 % interval']})" in text
    mean = pd.read_csv(folder / "table1.csv", dtype=str).set_index("method")["AVG"].str.split().str[0].astype(float)
    assert mean["Prompt Tuning"] > mean["FT"]
    stages = json.loads((folder / "manifest.json").read_text())["stages"]
    assert f"`study_flan`: {sum(stage['seconds'] for stage in stages) / 3600:.0f} core-hours" in readme


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
    assert f"{(~measures.index.str.contains('oracle')).sum()} such measures" in text
    changed = arms.loc[["no duplicates", "no near duplicates"], "unlike none"].str.rstrip("%")
    assert "({} and {} % of the pairs)".format(*changed) in text
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
