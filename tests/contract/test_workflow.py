"""The Snakefile itself, without a notebook: plans for a cluster, and a whole run in which a stub takes papermill's place."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dawgen_core.app import jobs, reproduce
from dawgen_core.data.profiles import extended, load_profile, load_task
from dawgen_core.params import ROOT, ParamsError

# Writes what the notebook would: the executed copy and its index. Says when it ran, and on which device.
STUB = """\
#!{python}
import json, os, pathlib, sys, time
notebook, out, given = pathlib.Path(sys.argv[1]).stem, sys.argv[2], json.loads(sys.argv[6])
run = pathlib.Path("runs") / given["profile"]
of = f"{{given['task']}}/{{notebook}}.seeds-{{'-'.join(map(str, given['seeds']))}}" if "task" in given else notebook
started = time.time()
time.sleep(0.7)
for path in (out, run / f"{{of}}.json"):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).touch()
with open("ran.jsonl", "a") as log:
    device = os.environ["CUDA_VISIBLE_DEVICES"]
    log.write(json.dumps({{"notebook": notebook, "device": device, "from": started, "to": time.time()}}) + "\\n")
"""


def snakemake(folder: Path, *options: str, **env: str) -> str:
    """What Snakemake prints, in a folder that has the Snakefile's neighbours."""
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run([sys.executable, "-m", "snakemake", *options], cwd=folder, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT,
                          env=os.environ | {"PATH": path, "XDG_CACHE_HOME": str(folder)} | env)  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the workflow needs, to change."""
    for name in ("dawgen_core", "notebooks", "params", "workflow"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "Snakefile", tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "papermill").write_text(STUB.format(python=sys.executable))
    (tmp_path / "bin" / "papermill").chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("name", ["smoke", "study", "paper"])
def test_jobs_for_slurm_have_their_groups_and_sizes(name, tmp_path):
    for folder in ("dawgen_core", "notebooks", "params", "workflow", "Snakefile"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    study, table = load_profile(name), jobs.load()
    asked = ["--workflow-profile", "workflow/slurm", "--quiet", "host", "--verbose", "--config", f"profile={name}"]
    out = snakemake(tmp_path, "-n", *reproduce.grouped(study), *asked)
    grouped = re.findall(r"Group job pairs.*\n((?:\n| .*\n)+)", out)
    assert len(grouped) == len(study.tasks) * len(study.seed_groups())
    for group in grouped:
        assert re.findall(r"rule (\w+):", group) == ["generation", "generator_tuning"]
        ((task, seeds),) = set(re.findall(r"wildcards: task=(\w+), group=([\d-]+)", group))
        for rule, of in zip(("generation", "generator_tuning"), group.split(" rule ")[1:], strict=True):
            found = {key: int(value) for key, value in re.findall(r"(runtime|mem_mb|gpu)=(\d+)", of)}
            assert found == table.of(study, rule, [task], [int(seed) for seed in seeds.split("-")])
    alone = re.findall(r"^rule (\w+):\n(?:.*\n)*?    resources: .*gpu=(\d)", out, re.MULTILINE)
    assert {rule for rule, _ in alone} >= {"data_analysis", "prompt_tuning", "tables"}
    assert {gpu for rule, gpu in alone if rule == "prompt_tuning"} == {"1" if name == "paper" else "0"}


def test_jobs_share_two_devices_and_an_edited_table_makes_nothing_stale(checkout, tmp_path_factory):
    (checkout / "params" / "mine.yaml").write_text("extends: smoke\nprofile: mine\ncompute:\n  device: auto\n")
    options = ["--workflow-profile", "workflow/local", "--cores", "3", "--config", "profile=mine"]
    snakemake(checkout, *options, CUDA_VISIBLE_DEVICES="4,6", TMPDIR=str(checkout))
    ran = [json.loads(line) for line in (checkout / "ran.jsonl").read_text().splitlines()]
    leased = [job for job in ran if job["notebook"] != "05_tables"]
    assert len(ran) == 8 and {job["device"] for job in leased} == {"4", "6"}
    for device in ("4", "6"):
        spans = sorted((job["from"], job["to"]) for job in leased if job["device"] == device)
        assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))

    def runtimes() -> list[str]:
        return re.findall(r"runtime=(\d+)", snakemake(checkout, "-n", "--forceall", "--config", "profile=mine"))

    before, table = runtimes(), checkout / "workflow" / "jobs.yaml"
    table.write_text(table.read_text().replace("seconds: 2.5", "seconds: 25.0"))
    assert runtimes() != before
    assert "Nothing to be done" in snakemake(checkout, "-n", *options)
    checkout = checkout.rename(tmp_path_factory.mktemp("elsewhere") / "moved")  # nor does another place
    assert "Nothing to be done" in snakemake(checkout, "-n", *options)
    (checkout / "params" / "mine.yaml").write_text("extends: smoke\nprofile: mine\ncompute:\n  device: cpu\n")
    assert "Nothing to be done" not in snakemake(checkout, "-n", *options)


def test_shards_are_jobs_of_their_own_on_a_cluster_too(checkout):
    (checkout / "params" / "mine.yaml").write_text("extends: smoke\nprofile: mine\ngeneration: {shard: 5}\n")
    study = extended("smoke", {"extends": "smoke", "profile": "mine", "generation": {"shard": 5}})
    slurm = ["--workflow-profile", "workflow/slurm", *reproduce.grouped(study)]
    out = snakemake(checkout, "-n", *slurm, "--config", "profile=mine")
    counted = dict(re.findall(r"^(\w+) +(\d+)$", out, re.MULTILINE))
    n_labels = sum(len(load_task(task).labels) for task in study.tasks)
    assert int(counted["shard"]) == n_labels * math.ceil(study.generation.per_class / 5) and counted["generation"] == "2"


def test_models_of_a_folder_and_rows_of_sweeps_are_inputs(checkout):
    """What a job would be done again for; the tables read results alone."""
    weights, page = "dawgen_core/pocket/weights/pocket-t5/model.safetensors", "dawgen_core/audit/page.html"
    read_by: dict[str, set[str]] = {}
    for profile in ("pocket", "smoke"):
        out = snakemake(checkout, "-n", "--forceall", "--config", f"profile={profile}")
        for rule, inputs in re.findall(r"^rule (\w+):\n    input: (.*)$", out, re.MULTILINE):
            for path in inputs.split(", "):
                read_by.setdefault(path, set()).add(rule)
    assert read_by[weights] == {"generator_tuning", "generation", "data_analysis", "prompt_tuning"}
    assert {"data_analysis"} <= read_by[page] and "dawgen_core/audit/limits.csv" in read_by
    assert {"sweep", "beyond", "prompt_tuning"} <= read_by["params/embedded/mrpc/train.jsonl"]


def test_where_jobs_run_is_a_folder_with_options(tmp_path):
    assert reproduce.options_of("slurm") == ROOT / "workflow" / "slurm"
    (tmp_path / "config.yaml").write_text("executor: slurm\n")
    assert reproduce.options_of(str(tmp_path)) == tmp_path
    with pytest.raises(ParamsError, match="--on: expected one of local, slurm, or a folder with a config.yaml, found pbs"):
        reproduce.options_of("pbs")
