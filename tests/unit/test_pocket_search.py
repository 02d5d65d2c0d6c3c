"""The search on the development tasks: its lines are possible, and what was found is for these lines."""

import json
from itertools import product

import pandas as pd
import pytest

from dawgen_core.data.profiles import load_profile, read_yaml
from dawgen_core.params import Profile
from dawgen_core.pocket import search

LINES = read_yaml(search.LINES)


@pytest.mark.parametrize("name", LINES["lines"])
def test_a_line_changes_the_profile_and_nothing_else(name):
    line, study = LINES["lines"][name], load_profile("pocket")
    changed = search.changed(study, line)
    Profile.model_validate(changed.model_dump())  # model_copy checks nothing
    assert line["asks"] in ("generator", "classifier")
    assert set(line) <= {"asks", "generator_tuning", "prompt_tuning", "temperature"}
    before, after = study.model_dump(), changed.model_dump()
    assert {key for key in before if before[key] != after[key]} <= {"generator_tuning", "prompt_tuning"}
    for key in ("generator_tuning", "prompt_tuning"):
        assert all(after[key][name] == value for name, value in line.get(key, {}).items())


def test_only_development_tasks_and_seeds_from_1000_are_searched():
    assert all("_dev_" in task for task in search.TASKS) and min(LINES["seeds"]) >= 1000
    assert len(LINES["lines"]) <= 40


def test_every_line_was_tried_on_both_tasks_with_these_seeds():
    found = pd.read_csv(search.FOUND)
    assert set(zip(found["line"], found["task"], strict=True)) == set(product(LINES["lines"], search.TASKS))
    assert set(found["n"]) == {len(LINES["seeds"])} and not found[["line", "task", "what"]].duplicated().any()


def means(prefix: str) -> pd.DataFrame:
    """Per line and task, in columns: what was found, mean over seeds."""
    found = pd.read_csv(search.FOUND)
    return found[found["line"].str.startswith(prefix)].pivot_table(index=["line", "task"], columns="what", values="mean")


def test_the_generators_settings_are_those_of_the_rule_and_its_figures_are_found():
    found = means("g")
    kinds = {what.split()[0] for what in found}
    share = pd.DataFrame({kind: found[f"{kind} label_right"] * found[f"{kind} in_grammar"] for kind in kinds})
    share = share.stack().groupby(level="line").mean()
    untuned, best = share[share.index.str.contains("untuned")].item(), share.drop("g12 untuned, the start of all kinds")
    settings = load_profile("pocket").generator_tuning.model_dump()
    chosen = LINES["lines"][best.idxmax()]["generator_tuning"]
    assert best.idxmax().startswith("g13") and all(settings[key] == value for key, value in chosen.items())
    text = search.LINES.read_text(encoding="utf-8")
    assert f"g13 ({best.max():.3f})".replace("0.", ".") in text and f"{untuned:.3f} (g12)".replace("0.", ".") in text


def test_the_figures_of_the_classifiers_rule_are_found():
    ways = ["none real", "oracle syn", "dawgen syn", "dawgen paired", "dawgen paired_surgery"]
    found = means("c")[ways].mean(axis=1)
    said = [f"{found[line, task]:.3f}"[1:] for line in ("c07 rate 1", "c01 rate 0.3")
            for task in ("pocket_dev_paraphrase", "pocket_dev_nli")]  # fmt: skip
    text = " ".join(search.LINES.read_text(encoding="utf-8").replace("#", "").split())
    assert "{} and {} against {} and {}".format(*said) in text


# ---------------------------------------------------------------- the compared methods' few settings

METHODS = read_yaml(search.METHOD_LINES)
AS = {"pet": "pft", "pet_weighted": "pft", "pft_demonstrations": "pft", "pft_search": "pft", "ours_lora": "lora",
      "ppt_kept": "ppt", "ours_from_ppt": "ppt", "spot_kept": "spot", "ours_from_spot": "spot"}  # fmt: skip


def test_every_setting_of_a_method_was_tried_on_both_tasks():
    found = pd.read_csv(search.METHODS_FOUND)
    tried = [(name, json.dumps(values), task) for name, several in METHODS["lines"].items() for values in several
             for task in search.TASKS]  # fmt: skip
    assert sorted(found[["method", "settings", "task"]].itertuples(index=False, name=None)) == sorted(tried)
    assert set(found["n"]) == {len(METHODS["seeds"])} and min(METHODS["seeds"]) >= 1000


def test_the_study_s_methods_have_the_best_of_their_settings():
    found = pd.read_csv(search.METHODS_FOUND).groupby(["method", "settings"])["mean"].mean()
    study = load_profile("study").methods
    for name in METHODS["lines"]:
        assert study[name] == json.loads(found[name].idxmax()), name
    for name, other in AS.items():
        assert {key: study[name][key] for key in study[other]} == study[other], name
    assert set(study) - set(METHODS["lines"]) - set(AS) == {
        "prompting", "calibrated_prompting", "hand_prompt", "in_context", "soft_verbalizer"}  # fmt: skip
