"""The table of job sizes: what it says, what it was measured from, and what is wrong with a wrong one."""

import json

import pytest
import yaml

from dawgen_core.app import entry, jobs, stages
from dawgen_core.data import profiles
from dawgen_core.params import PARAMS, ROOT, ParamsError

PROFILES = sorted(p.stem for p in PARAMS.glob("*.yaml") if p.stem != "claims")
MANIFESTS = [p for p in sorted((ROOT / "figures").glob("*/manifest.json")) if json.loads(p.read_text()).get("stages")]


@pytest.fixture
def written(tmp_path):
    """A table with one scale, each time changed as said."""

    def write(**changes) -> jobs.Jobs:
        cost = {"seconds": 10, "memory": 1000}
        scales = {"all": {"classifier": "", "rules": {rule: dict(cost) for rule in jobs.NOTEBOOK}}}
        table = {"safety": {"seconds": 2, "memory": 1.5}, "start": {"seconds": 40, "memory": 200}, "gpu": ["generation"],
                 "scales": scales}  # fmt: skip
        path = tmp_path / "jobs.yaml"
        path.write_text(yaml.safe_dump(table | changes))
        return jobs.load(path)

    return write


def test_every_value_has_its_mark():
    marks = entry.marks(str(jobs.TABLE))
    assert len(marks) > 20 and marks.loc[~marks["mark"].isin(["ours", "inferred"]), "key"].tolist() == []


@pytest.mark.parametrize("name", PROFILES)
def test_every_job_of_every_profile_has_a_size(name):
    table, study = jobs.load(), profiles.load_profile(name)
    for rule in jobs.NOTEBOOK:
        size = table.of(study, rule, study.tasks[:1], study.seed_groups()[0])
        assert size["runtime"] >= 1 and size["mem_mb"] > 1000
        assert size["gpu"] == (study.compute.device != "cpu" and rule != "tables"), rule


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.name)
def test_the_table_covers_what_was_measured(path):
    """Before its factors of safety."""
    study = profiles.load_profile(path.parent.name)
    rules = {notebook: rule for rule, notebook in jobs.NOTEBOOK.items()}
    costs = jobs.load().scale(study).rules
    for stage in json.loads(path.read_text())["stages"]:
        cost = costs[rules[stage["notebook"]]]
        assert cost.seconds >= stage["seconds"] / stage["units"] and cost.memory >= stage["memory"], stage["notebook"]


def test_a_size_by_pencil(written, smoke):
    """One task and seed have 4 prompts: 2 x (40 + 4 x 10) s = 160 s, 3 minutes; 1.5 x (200 + 1000) MiB."""
    table = written()
    assert len(smoke.generator_tuning.kinds) == 4
    assert table.of(smoke, "generator_tuning", ["mrpc"], [13]) == {"runtime": 3, "mem_mb": 1800, "gpu": 0}
    assert table.of(smoke, "sweep", ["mrpc"], [13, 21])["runtime"] == 2  # 2 x (40 + 2 x 10) s
    cuda = smoke.model_copy(update={"compute": smoke.compute.model_copy(update={"device": "auto"})})
    assert [table.of(cuda, rule, ["mrpc"], [13])["gpu"] for rule in ("generation", "tables")] == [1, 0]


def test_time_grows_with_tasks_and_seeds(smoke):
    one, both = stages.units(smoke, ["mrpc"], [13]), stages.units(smoke, ["mrpc", "sick"], [13, 21])
    assert both["01_generator_tuning"] == 4 * one["01_generator_tuning"]
    assert both == dict(stages.jobs(smoke)[["notebook", "units"]].itertuples(index=False))


WHOLE = {rule: {"seconds": 1, "memory": 1} for rule in jobs.NOTEBOOK}


@pytest.mark.parametrize(("changes", "said"), [
    ({"safety": {"seconds": 0.5, "memory": 1}}, "safety.seconds: Input should be greater than or equal to 1, found 0.5"),
    ({"safety": {"seconds": 2}}, "expected seconds and memory, found ['seconds']"),
    ({"start": {"seconds": 40, "memory": "2 GB"}}, "start.memory: Input should be a valid integer, found '2 GB'"),
    ({"start": {"seconds": "1e2", "memory": 1}}, "found '1e2' (YAML reads 5e-3 as text: write 5.0e-3)"),
    ({"gpu": ["training"]}, "gpu.0: Input should be 'generator_tuning'"),
    ({"queue": "long"}, "queue: Extra inputs are not permitted"),
    ({"scales": {"all": {"classifier": "", "rules": WHOLE | {"tables": {"seconds": -1, "memory": 1}}}}},
     "scales.all.rules.tables.seconds: Input should be greater than 0, found -1"),
    ({"scales": {"all": {"classifier": "", "rules": {k: v for k, v in WHOLE.items() if k != "sweep"}}}},
     "expected every rule of the Snakefile, found none of ['sweep']"),
])  # fmt: skip
def test_a_wrong_table_is_named(written, changes, said):
    with pytest.raises(ParamsError) as error:
        written(**changes)
    assert said in str(error.value) and "jobs.yaml" in str(error.value)


def test_models_that_no_scale_fits_are_named(written, smoke):
    table = written(scales={"pocket": {"classifier": "dawgen_core/", "rules": WHOLE}})
    with pytest.raises(ParamsError, match="expected one for tiny:t5, found 'dawgen_core/'; add it to the table"):
        table.of(smoke, "tables", smoke.tasks, smoke.seeds)
