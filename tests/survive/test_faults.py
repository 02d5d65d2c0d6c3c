"""Signals, disks, folders, kernels and memory: a run stops with a sentence that names the fault, and goes on later."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from performing import Started, Study, digests, gone_after

STOPPED = "stopped; run the same command to go on where it was"


def at_work(study: Study, name: str = "04_prompt_tuning") -> Started:
    """Started, and now in a notebook whose kernel is there."""
    started = study.start()
    assert started.until(lambda: name in started.steps() and started.kernels()), started.said()
    return started


def resumes(study: Study, wanted: dict[str, str]) -> None:
    study.finish()
    assert digests(study.run) == wanted


# ---------------------------------------------------------------- signals and other runs


@pytest.mark.parametrize("group", [True, False], ids=["to the group", "to its head"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_all_of_a_run_with_a_clear_last_line(study, wanted, number, group):
    started = at_work(study, "01_generator_tuning" if group else "02_generation")
    all_of_it = started.below()
    started.signal(number, group)
    assert started.process.wait(60) == 1 and started.last_line() == STOPPED, started.said()
    gone_after(all_of_it, 5)
    resumes(study, wanted)


def test_a_second_run_is_refused_at_once_and_a_headless_one_keeps_others_out(study, wanted):
    first, began = at_work(study, "02_generation"), time.monotonic()
    second = Started(study.command(), study.folder / "second.txt", study.root, study.all_environment())
    assert second.process.wait(60) == 1 and time.monotonic() - began < 20
    assert second.last_line().endswith(f"expected no other run of this profile, found one at work in {study.run}")
    rest = first.below()
    first.signal(signal.SIGKILL, group=False)  # the head alone: Snakemake and its jobs work on, the lock is free
    first.process.wait()
    third = Started(study.command(), study.folder / "third.txt", study.root, study.all_environment())
    assert third.process.wait(90) == 1
    assert f"expected no process of an earlier run, found {rest[0].pid}" in third.last_line(), third.said()
    gone_after(rest, 300)
    resumes(study, wanted)


# ---------------------------------------------------------------- kernels and memory


def test_a_kernel_that_dies_fails_its_job_which_names_log_and_notebook(study, wanted):
    name = "02_generation"  # at work alone
    started = at_work(study, name)
    for kernel in started.kernels():
        with contextlib.suppress(psutil.Error):
            kernel.kill()
    assert started.process.wait(120) == 1
    said, job = started.said(), f"{name}.mrpc.seeds-13"
    assert "Kernel died" in said and f"{study.run}/logs/{job}.log" in said, said
    assert f"executed so far: {study.run}/notebooks/{job}.ipynb.running.ipynb" in said, said
    resumes(study, wanted)


@pytest.mark.parametrize("mib", [600, 1500])
def test_too_little_memory_fails_a_job_and_loses_nothing(study, wanted, mib):
    """A kernel of that name with an address space too small to import torch, or to work with it."""
    folder = study.folder / "jupyter" / "kernels" / "small"
    folder.mkdir(parents=True)
    line = f"ulimit -v {mib * 1024}; exec {sys.executable} -m ipykernel_launcher -f $0"
    argv = ["bash", "-c", line, "{connection_file}"]
    (folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "small", "language": "python"}))
    study.kernel, study.environment = "small", {"JUPYTER_PATH": str(study.folder / "jupyter")}
    started = study.start()
    assert started.process.wait(180) == 1
    said = started.said()
    assert f"{study.run}/logs/01_generator_tuning.mrpc.seeds-13.log" in said
    assert any(word in said for word in ("MemoryError", "allocate memory", "failed to map segment", "Kernel died",
                                    "PapermillExecutionError")), said
    study.kernel, study.environment = "python3", {}
    resumes(study, wanted)


# ---------------------------------------------------------------- disks


@pytest.fixture
def mounted(study):
    """The folder of the study's runs as a disk of its own. Skips where this user may mount none."""
    study.runs.mkdir()

    def mount(*options: str) -> None:
        done = subprocess.run(["mount", *options, str(study.runs)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a disk of its own needs the right to mount one: {done.stderr.strip()}")

    mount("-t", "tmpfs", "-o", "size=64m", "tmpfs")
    yield mount
    for _ in range(50):
        if subprocess.run(["umount", str(study.runs)], capture_output=True).returncode == 0:
            break
        time.sleep(0.2)


def fill(path: Path, leaving: int) -> None:
    disk = os.statvfs(path.parent)
    with open(path, "wb") as handle:
        handle.write(b"\0" * max(0, disk.f_bavail * disk.f_frsize - leaving))


@pytest.mark.parametrize("leaving", [0, 40_000, 300_000])
def test_a_full_disk_is_named_and_room_is_all_that_is_needed(study, wanted, mounted, leaving):
    study.run.mkdir()
    fill(study.runs / "filling", leaving)
    started = study.start()
    assert started.process.wait(180) == 1
    assert f"{study.run}: the disk that holds it has 0." in started.last_line(), started.said()
    (study.runs / "filling").unlink()
    resumes(study, wanted)


def test_a_disk_that_fills_while_a_run_is_at_work(study, wanted, mounted):
    started = at_work(study)
    fill(study.runs / "filling", 0)
    assert started.process.wait(180) == 1
    assert f"{study.run}: the disk that holds it has 0." in started.last_line(), started.said()
    (study.runs / "filling").unlink()
    resumes(study, wanted)


def test_a_folder_that_cannot_be_written_in(study, wanted, mounted):
    mounted("-o", "remount,ro")
    started = study.start()
    assert started.process.wait(60) == 1
    assert "Read-only file system" in started.last_line() and str(study.run) in started.last_line(), started.said()
    assert "Traceback" not in started.said()
    mounted("-o", "remount,rw")
    resumes(study, wanted)
