"""A run of the reduced profile as a process group of its own: started, watched, stopped, compared."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from dawgen_core.artifacts import digest
from dawgen_core.params import ROOT

PROFILE = Path(__file__).with_name("survive.yaml")
# Differ from run to run, or hold what does: costs, clock times, names of processes.
UNCOMPARED = {"costs", "logs", "notebooks", "receipt.json", "wall.json"}
STEP = re.compile(r"notebooks/(\d\d_\w+)\.ipynb")


def digests(run: Path) -> dict[str, str]:
    """Every file of a run but receipts, costs, locks, logs and executed notebooks, by name."""
    files = [p for p in run.rglob("*") if p.is_file() and not p.name.endswith(".lock")]
    return {p.relative_to(run).as_posix(): digest(p) for p in files if not UNCOMPARED & set(p.relative_to(run).parts)}


class Study:
    """The reduced profile in a folder of its own, with its runs; `run` is what a run leaves.

    kernel and more environment are for every start; root: the checkout that is run.
    """

    def __init__(self, folder: Path, kernel: str = "python3", root: Path = ROOT, **environment: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.kernel, self.root, self.environment = folder, kernel, root, environment
        self.profile = folder / PROFILE.name
        shutil.copyfile(PROFILE, self.profile)
        self.runs = folder / "runs"
        self.run = self.runs / PROFILE.stem

    def command(self, cores: int = 2) -> list[str]:
        return [sys.executable, "-m", "dawgen_core.app.reproduce", str(self.profile), "--cores", str(cores),
                "--kernel", self.kernel, "--runs-dir", str(self.runs)]  # fmt: skip

    def start(self, cores: int = 2) -> "Started":
        return Started(self.command(cores), self.folder / "said.txt", self.root, self.all_environment())

    def all_environment(self) -> dict[str, str]:
        """This session's, without pytest's own, and the study's."""
        return {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | self.environment

    def finish(self, cores: int = 2, timeout: float = 900) -> "Started":
        """Runs it to its end. Errors: AssertionError with what it said."""
        started = self.start(cores)
        code = started.process.wait(timeout)
        assert code == 0, started.said()
        return started


class Started:
    """One start of a run: the leader of a process group, and the notebooks' kernels, which leave the group."""

    def __init__(self, command: list[str], said: Path, root: Path, environment: dict[str, str]):
        self.path, self.at = said, time.monotonic()
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # these tests run in the background: not so the run
            signal.signal(signal.SIGINT, signal.default_int_handler)
        with open(said, "w") as handle:
            self.process = subprocess.Popen(command, cwd=root, env=environment, stdout=handle,
                                            stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip

    def said(self) -> str:
        return self.path.read_text(encoding="utf-8", errors="replace")

    def last_line(self) -> str:
        return (self.said().strip().splitlines() or [""])[-1]

    def below(self) -> list[psutil.Process]:
        """All processes that it started, and those that these started."""
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def kernels(self) -> list[psutil.Process]:
        return [one for one in self.below() if "ipykernel_launcher" in said_by(one)]

    def steps(self) -> list[str]:
        """The notebooks that are being run now, by name."""
        return sorted({found[1] for one in self.below() if (found := STEP.search(said_by(one)))})

    def until(self, reached, timeout: float = 180) -> bool:
        """Waits until `reached()`; False when the run ended before. Errors: AssertionError after `timeout` seconds."""
        end = time.monotonic() + timeout
        while self.process.poll() is None:
            if reached():
                return True
            assert time.monotonic() < end, f"expected the moment within {timeout} s, found none: {self.said()[-2000:]}"
            time.sleep(0.05)
        return False

    def signal(self, number: int, group: bool = True) -> None:
        (os.killpg if group else os.kill)(self.process.pid, number)

    def kill(self) -> None:
        """The whole group, at once; the kernels, which left it, must go by themselves."""
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        self.process.wait()


def said_by(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def gone_after(processes: list[psutil.Process], timeout: float) -> float:
    """Seconds until all of them are gone. Errors: AssertionError when one lives on."""
    started = time.monotonic()
    while living := [one for one in processes if lives(one)]:
        assert time.monotonic() - started < timeout, f"expected no process of a stopped run, found {living}"
        time.sleep(0.02)
    return time.monotonic() - started


def report(path: Path, value: dict) -> None:
    """Prints it, and writes it to a file."""
    text = json.dumps(value, indent=1) + "\n"
    print(text)
    path.write_text(text, encoding="utf-8")
