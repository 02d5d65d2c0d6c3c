"""The processes of a run: they end with it, and another run of the same profile begins when none is left.

A notebook's kernel leaves the process group of what started it and outlives it by a second or more; a killed head leaves
Snakemake and its jobs at work. So all of them carry the run's folder in their environment, and are found by it.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

MARK = "DAWGEN_RUN"  # environment variable: the folder of the run that a process works on
PATIENCE = 10.0  # seconds until what was asked to end has ended
LEAST_FREE = 16 * 2**20  # bytes: below it, a failed job is told of the disk


def environment(run: Path) -> dict[str, str]:
    """What a run's processes are started with, beside the rest."""
    return {MARK: str(run.resolve())}


def at_work(run: Path) -> list[psutil.Process]:
    """Processes on this machine that work on a run, without the present one and those above it."""
    own = {os.getpid(), *(one.pid for one in psutil.Process().parents())}
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # ended meanwhile, or another person's
            if one.pid not in own and one.environ().get(MARK) == str(run.resolve()):
                found.append(one)
    return found


def left_over(run: Path, patience: float = PATIENCE) -> list[int]:
    """Numbers of the processes that an earlier run left at work, after `patience` seconds to end by themselves."""
    end = time.monotonic() + patience
    while (found := at_work(run)) and time.monotonic() < end:
        time.sleep(0.1)
    return sorted(one.pid for one in found)


@contextmanager
def together(run: Path) -> Iterator[None]:
    """Inside, SIGTERM is as Ctrl-C: KeyboardInterrupt. Whoever is stopped takes all processes of the run along."""
    main = threading.current_thread() is threading.main_thread()  # no other may set a handler
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if main else None
    try:
        yield
    except BaseException:
        _end(run)
        raise
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def _end(run: Path) -> None:
    for ask in (psutil.Process.terminate, psutil.Process.kill):
        asked = at_work(run)
        for one in asked:
            with suppress(psutil.Error):
                ask(one)
        psutil.wait_procs(asked, PATIENCE)


def full_disk(run: Path) -> str:
    """A sentence on the disk below a run, where it has next to no room left; else an empty text."""
    disk = os.statvfs(run)
    free = disk.f_bavail * disk.f_frsize
    if free >= LEAST_FREE and (disk.f_favail or not disk.f_files):
        return ""
    return (f"{run}: the disk that holds it has {free / 2**20:.1f} MiB and {disk.f_favail:,} files left; make room, "
            "then run the same command: what is finished is kept")  # fmt: skip
