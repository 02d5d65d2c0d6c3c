"""The search on the development tasks: its lines are possible, and what was found is for these lines."""

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
