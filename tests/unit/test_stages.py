"""What a run is going to take, from what a published one took; what a result took of work that it shares."""

import json

import pandas as pd
import pytest

from dawgen_core.app import cli, provenance, stages


@pytest.fixture
def published(smoke, tmp_path):
    """A run of half as much as smoke that took 100 s, 50 MiB and 10 MiB of disk in each notebook."""
    lines = stages.jobs(smoke).assign(seconds=100.0, memory=50.0, disk=10.0)
    lines["units"] //= 2
    (tmp_path / "smoke").mkdir()
    (tmp_path / "smoke" / "manifest.json").write_text(json.dumps({"stages": lines.to_dict("records")}))
    return tmp_path


def test_jobs_by_pencil(smoke):
    """Two tasks, two seeds in one group: 2 jobs of each task's notebooks; 3 kinds of prompts for each of 4 runs."""
    table = stages.jobs(smoke).set_index("notebook")
    assert table["jobs"].tolist() == [2, 2, 1, 2, 1]
    n_kinds, per_class = len(smoke.generator_tuning.kinds), smoke.generation.per_class
    assert table.loc["01_generator_tuning", "units"] == 4 * n_kinds
    assert table.loc["02_generation", "units"] == 4 * n_kinds * per_class
    assert table.loc["04_prompt_tuning", "units"] == table.loc["05_tables", "units"] > 100


def test_twice_as_much_takes_twice_as_long_over_the_cores(smoke, published):
    plan, source = stages.planned(smoke, 2, published)
    assert source == "scaled from what the published run of smoke took (one thread a job)"
    by = plan.set_index("notebook")
    columns = ["seconds", "memory (MiB)", "disk (MiB)"]
    assert by.loc["01_generator_tuning", columns].tolist() == [100, 100, 20]  # two at a time
    assert by.loc["03_data_analysis", columns].tolist() == [200, 50, 20]  # one job
    one, _ = stages.planned(smoke, 1, published)
    assert one.set_index("notebook").loc["01_generator_tuning", ["seconds", "memory (MiB)"]].tolist() == [200, 50]


def test_without_a_published_run_nothing_is_made_up(smoke, tmp_path):
    plan, source = stages.planned(smoke, 2, tmp_path)
    assert list(plan.columns) == list(stages.jobs(smoke).columns) and "costs not measured" in source


@pytest.mark.parametrize(("profile", "said"), [("pocket", " on 2 cores, "), ("paper", "costs not measured")])
def test_plan_says_it_before_anything_starts(profile, said, capsys):
    assert cli.main(["plan", profile]) == 0
    out = capsys.readouterr().out
    assert said in out.splitlines()[-1] and out.startswith(f"{profile}: ") and out.count("04_prompt_tuning") == 1
    assert ("time" in out) == (profile == "pocket")


@pytest.mark.parametrize(("receipt", "expected"), [
    ({"seconds": 12.0}, 12), ({"seconds": 12.0, "stack": 4}, 3), ({"seconds": 12.0, "stack": 4, "share": 0.5}, 6),
])  # fmt: skip
def test_what_a_result_took_of_work_that_it_shares(receipt, expected):
    assert provenance.seconds(receipt) == expected


@pytest.mark.parametrize(("seconds", "said"), [
    (0, "0 s"), (99.4, "99 s"), (100, "2 min"), (5999, "100 min"), (6000, "1.7 h"),
])  # fmt: skip
def test_seconds_for_people(seconds, said):
    assert stages.lasting(seconds) == said


def test_what_nothing_is_made_of(tmp_path):
    assert provenance.results(tmp_path).equals(pd.DataFrame())
