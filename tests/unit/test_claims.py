"""The paper's claims: what is on file, how a verdict is reached, which rows it rests on."""

import json
import subprocess

import numpy as np
import pandas as pd
import pytest

from dawgen_core.artifacts import Runs
from dawgen_core.audit import claims, statistics
from dawgen_core.data.profiles import load_profile
from dawgen_core.params import PARAMS, ROOT, ParamsError

RULE = claims.load()
BETTER, SAME = RULE.claims["surgery_fewgen"], RULE.claims["ours_spot"]
SPREAD = np.array([-0.9, -0.7, -0.5, -0.3, -0.1, 0.1, 0.3, 0.5, 0.7, 0.9])


@pytest.mark.parametrize(("shift", "spread", "verdict"), [
    (2.0, 1.0, "holds"), (-2.0, 1.0, "does not hold"), (0.0, 1.0, "does not hold"),  # a null with a tight interval
    (0.0, 10.0, "cannot tell"), (0.4, 2.0, "cannot tell"),
])  # fmt: skip
def test_a_better_arm(shift, spread, verdict):
    points = pd.Series(shift + spread * SPREAD)
    assert claims.decide(BETTER, RULE, points, statistics.sign_flip(points)) == verdict


def test_an_effect_that_is_sure_and_too_small_does_not_hold():
    points = pd.Series(0.4 + 0.1 * SPREAD)
    assert statistics.sign_flip(points) < 0.05 and claims.decide(BETTER, RULE, points, 0.002) == "does not hold"


def test_a_claim_that_correction_takes_its_significance_from_cannot_be_told():
    points = pd.Series(2.0 + SPREAD)
    assert claims.decide(BETTER, RULE, points, 0.03) == "holds"
    assert claims.decide(BETTER, RULE, points, 0.06) == "cannot tell"


@pytest.mark.parametrize(("shift", "spread", "verdict"), [
    (0.0, 1.0, "holds"), (-2.0, 1.0, "holds"), (5.0, 1.0, "holds"), (-6.0, 1.0, "does not hold"), (-3.0, 3.0, "cannot tell"),
])  # fmt: skip
def test_an_arm_that_is_not_worse(shift, spread, verdict):
    """One side only: far better is not worse either, and the claim says so."""
    assert claims.decide(SAME, RULE, pd.Series(shift + spread * SPREAD), float("nan")) == verdict
    assert "not worse" in SAME.says


def test_five_seeds_cannot_tell():
    assert claims.decide(BETTER, RULE, pd.Series([9.0, 9.1, 9.2, 9.3, 9.4]), 0.001) == "cannot tell"


def test_published_effects_are_the_paper_s():
    """Worked from the printed cells: surgery +1.74 and +2.36, Ours minus FT +3.81, Ours minus SPoT on three tasks."""
    at = {name: claims.published(claim, "T5-large") for name, claim in RULE.claims.items()}
    assert (at["surgery_fewgen"], at["surgery_dawgen"], at["ours_ft"]) == ("+1.74", "+2.36", "+3.81")
    assert float(at["ours_spot"]) == pytest.approx((66.77 + 69.67 + 72.73 - 64.5 - 68.7 - 72.9) / 3, abs=0.01)
    assert claims.published(RULE.claims["pairing_fewgen"], "Flan-T5-large") == "+3.54"
    assert all(claims.published(c, b) not in ("", "+nan") for c in RULE.claims.values() for b in c.backbones)


def ledger(profile, arms: dict, seeds: list[int]) -> pd.DataFrame:
    """Accuracies by (generator, method): value plus a hundredth per seed number."""
    rows = [{"task": task, "seed": seed, "generator": g, "method": m, "accuracy": value + 0.01 * i, "name": "none"}
            for task in profile.tasks for (g, m), value in arms.items() for i, seed in enumerate(seeds)]  # fmt: skip
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def test_differences_are_paired_by_seed_and_task():
    study = load_profile("study")
    found = claims.differences(ledger(study, {("fewgen", "paired"): 0.6, ("fewgen", "paired_surgery"): 0.65}, study.seeds),
                               BETTER, study.tasks)  # fmt: skip
    assert list(found.columns) == study.tasks and sorted(found.index) == sorted(study.seeds)
    assert np.allclose(found, 5.0)


def test_a_method_that_draws_nothing_stands_against_every_seed():
    study = load_profile("study")
    table = ledger(study, {("dawgen", "paired_surgery"): 0.6}, study.seeds)
    alone = ledger(study, {("none", "prompting"): 0.5}, [0]).assign(seed=pd.NA)
    found = claims.differences(pd.concat([table, alone]), RULE.claims["ours_prompting"], study.tasks)
    assert sorted(found.iloc[:, 0].round(6)) == [10.0 + i for i in range(10)]


def test_an_arm_of_one_seed_is_not_one_that_draws_nothing():
    study = load_profile("study")
    table = pd.concat([ledger(study, {("dawgen", "paired_surgery"): 0.6}, study.seeds),
                       ledger(study, {("none", "fine_tuning"): 0.5}, study.seeds[:1])])  # fmt: skip
    assert list(claims.differences(table, RULE.claims["ours_ft"], study.tasks).index) == study.seeds[:1]


def test_verdicts_are_corrected_over_the_claims_and_told_on_fit_tasks_too(monkeypatch):
    """Two claims were run, each at the floor of ten seeds: 2 x 2 / 1024."""
    study = load_profile("study")
    monkeypatch.setattr(claims, "_rights", lambda *_: [np.zeros((10, 4))])
    arms = {("fewgen", "paired"): 0.5, ("fewgen", "paired_surgery"): 0.55, ("fewgen", "syn"): 0.4}
    lines, by_task = claims.judged(ledger(study, arms, study.seeds), study, Runs.of(study))
    run = lines[lines["this run"] != "not run"].set_index("claim")
    assert run["p (sign flip)"].tolist() == ["0.002"] * 2 and run["p (Holm over claims)"].tolist() == ["0.004"] * 2
    assert run["on fit tasks"].tolist() == ["+5.00: holds", "+10.00: holds"] and len(by_task) == 2 * 7
    assert claims.tasks_of(BETTER, study, RULE.fit) == ["pocket_mrpc", "pocket_sick"]


def test_an_arm_that_was_not_run_is_said_to_be_so():
    study = load_profile("study")
    lines, by_task = claims.judged(ledger(study, {("fewgen", "paired"): 0.6}, study.seeds), study, Runs.of(study))
    assert set(lines["this run"]) == {"not run"} and set(lines["verdict"]) == {"cannot tell"} and by_task.empty
    assert len(lines) == len(RULE.claims)
    flan = load_profile("study_flan")
    there = [c for c in RULE.claims.values() if "Flan-T5-large" in c.backbones]
    assert len(claims.judged(ledger(flan, {("fewgen", "paired"): 0.6}, flan.seeds), flan, Runs.of(flan))[0]) == len(there)


def test_twins_stand_for_their_originals():
    assert claims.tasks_of(SAME, load_profile("study")) == ["pocket_qqp", "pocket_mrpc", "pocket_sick"]
    assert claims.tasks_of(SAME, load_profile("paper")) == ["qqp", "mrpc", "sick"]
    assert claims.tasks_of(BETTER, load_profile("paper")) == load_profile("paper").tasks


def test_claims_on_file_are_all_asked_of_the_study():
    """Every arm is a condition of `study` with ten seeds, or one that draws nothing."""
    from dawgen_core.audit.ledger import conditions

    study = load_profile("study")
    keys = conditions(study, "pocket_mrpc", study.seeds)
    for claim in RULE.claims.values():
        for arm in (claim.arm, claim.against):
            seeds = [seed for seed, *key in keys if key == list(arm)]
            assert seeds == [None] or len(seeds) >= RULE.seeds, (claim.says, arm)


@pytest.mark.parametrize(("change", "message"), [
    ({"seeds": 5}, "seeds|smallest p 0.0625"), ({"alpha": 2.0}, "alpha: .*found 2.0"), ({"margin": -1.0}, "margin: .*-1.0"),
])  # fmt: skip
def test_a_rule_that_cannot_decide_is_refused(change, message, monkeypatch):
    values = claims.read_yaml(claims.FILE)
    monkeypatch.setattr(claims, "read_yaml", lambda path: values | change)
    with pytest.raises(ParamsError, match=message):
        claims.load()


def test_results_of_the_study_descend_from_the_claims():
    """What was claimed was on file before any result of the study: its commit descends from the claims' last one."""
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    written = git("log", "-1", "--format=%H", "--", str(PARAMS / "claims.yaml"))
    if not written or git("rev-parse", "--is-shallow-repository") == "true":
        pytest.skip("no git history here")
    for name in ("study", "study_flan"):
        manifest = ROOT / "figures" / name / "manifest.json"
        if manifest.is_file():
            for commit in json.loads(manifest.read_text())["commits"]:
                assert git("merge-base", written, commit) == written, (name, commit)
