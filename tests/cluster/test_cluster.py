"""The smoke profile on a cluster of two nodes, one of which fails on the way: the same bytes as on this machine alone."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
from rehearsal import digests

from dawgen_core.app import jobs as table
from dawgen_core.app import reproduce
from dawgen_core.artifacts import Runs
from dawgen_core.params import ROOT

pytestmark = pytest.mark.cluster
# Snakemake asks squeue, since there is no accounting, and asks often; the long jobs and the grouped ones want the GPUs.
OPTIONS = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2",
           "--set-resources", "prompt_tuning:gpu=1", "generator_tuning:gpu=1"]  # fmt: skip
RUN = """\
import sys
from dawgen_core.app import reproduce
sys.exit(reproduce.workflow("smoke", 1, "python3", {}, {!r}, on="slurm"))
"""
PAIRED = ("generation", "generator_tuning")
PAIRS = f"pairs_{'_'.join(PAIRED)}"
TOLD = ("notebooks/", "logs/", reproduce.WALL)  # what a run says of itself: times, folders


def results(runs: Runs) -> dict[str, str]:
    return {name: digest for name, digest in digests(runs).items() if not name.startswith(TOLD)}


def rule(job: dict[str, str]) -> str:
    """prompt_tuning, ..., or both of a group, from the comment that Snakemake gives a job."""
    return job["Comment"].removeprefix("rule_").partition("_wildcards_")[0]


def test_a_node_fails_and_every_byte_is_the_same(cluster, tmp_path, smoke):
    assert reproduce.workflow("smoke", 2, "python3", [], tmp_path / "here") == 0
    runs = Runs(tmp_path / "runs" / "smoke")
    command = [sys.executable, "-c", RUN.format(OPTIONS, str(tmp_path / "runs"))]
    with open(tmp_path / "run.log", "w", encoding="utf-8") as log:
        run = subprocess.Popen(command, cwd=ROOT, env=cluster.env, stdout=log, stderr=log, start_new_session=True)
    try:
        struck = working_with_results(cluster, runs, run)
        node, receipts = struck["NodeList"], {path: path.read_bytes() for path in finished(runs, struck)}
        assert cluster.kill_node(node) > 4  # a shell, two Snakemakes, papermill, its kernel
        cluster.until(lambda: cluster.states()[node].startswith("down"), f"{node} down")
        assert run.poll() is None
        cluster.start_node(node)
        cluster.until(lambda: run.poll() is not None, "the end of the run", 1200)
    finally:
        with suppress(ProcessLookupError):  # it has ended, with its Snakemake
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert run.returncode == 0, (tmp_path / "run.log").read_text()[-3000:]
    jobs = cluster.jobs()
    (lost,) = [job for job in jobs if job["JobState"] != "COMPLETED"]
    assert (lost["JobId"], lost["JobState"]) == (struck["JobId"], "NODE_FAIL")
    jobs.remove(lost)
    (again,) = [job for job in jobs if job["Comment"] == lost["Comment"]]
    assert minutes(again) == 2 * minutes(lost) and {job["NodeList"] for job in jobs} == {"node1", "node2"}
    n = len(smoke.tasks) * len(smoke.seed_groups())
    assert sorted(map(rule, jobs)) == sorted(["beyond", "data_analysis", "sweep", "tables", *[PAIRS, "prompt_tuning"] * n])
    assert sorted(rule(job) for job in jobs if "gpu:1" in job.get("TresPerJob", "")) == sorted([PAIRS, "prompt_tuning"] * n)
    sizes = [table.load().of(smoke, name, smoke.tasks[:1], smoke.seeds)["runtime"] for name in PAIRED]
    assert {minutes(job) for job in jobs if rule(job) == PAIRS} == {sum(sizes)}
    assert receipts == {path: path.read_bytes() for path in receipts}  # what was finished was not done again
    here, there = results(Runs(tmp_path / "here" / "smoke")), results(runs)
    assert len(here) > 1000 and set(here) == set(there)
    assert [name for name in here if here[name] != there[name]] == []


def minutes(job: dict[str, str]) -> int:
    """What it asked for: HH:MM:SS, in whole minutes here."""
    hours, whole, _ = job["TimeLimit"].split(":")
    return 60 * int(hours) + int(whole)


def finished(runs: Runs, job: dict[str, str]) -> list:
    """Receipts of the conditions without synthetic rows that a job of prompt tuning has finished."""
    task = job["Comment"].partition("_wildcards_")[2].partition("_")[0]
    return [path.with_name("receipt.json") for path in (runs.root / task).glob("*/none/*/result.json")]


def working_with_results(cluster, runs: Runs, run: subprocess.Popen) -> dict[str, str]:
    """A job of prompt tuning that has finished some conditions and works on, as soon as there is one."""
    found = []

    def some() -> bool:
        assert run.poll() is None, "the run ended before a node could fail"
        running = [job for job in cluster.jobs() if job["JobState"] == "RUNNING" and rule(job) == "prompt_tuning"]
        found[:] = [job for job in running if finished(runs, job)]
        return bool(found)

    cluster.until(some, "a job of prompt tuning with finished conditions", 900)
    return found[0]
