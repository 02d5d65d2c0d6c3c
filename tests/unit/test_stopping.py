"""A run's processes are found by their mark, end with it, and keep another run out; a full disk is said."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from dawgen_core.app import reproduce, stopping


@pytest.fixture
def marked(tmp_path):
    """Starts a process of a run, in a session of its own as a kernel is, and ends it at last."""
    started = []

    def start() -> subprocess.Popen:
        environment = os.environ | stopping.environment(tmp_path)
        sleep = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
        started.append(subprocess.Popen(sleep, env=environment, start_new_session=True, stdout=subprocess.PIPE))
        started[-1].stdout.readline()
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()
        one.stdout.close()


def test_processes_of_a_run_and_no_others_are_found(marked, tmp_path):
    assert stopping.left_over(tmp_path, 0) == []
    first, second = marked(), marked()
    assert stopping.left_over(tmp_path, 0) == sorted([first.pid, second.pid])
    assert stopping.left_over(tmp_path / "another", 0) == []
    first.kill()
    first.wait()
    assert stopping.left_over(tmp_path, 0) == [second.pid]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_stopped_takes_all_along(marked, tmp_path, number):
    one = marked()
    with pytest.raises(KeyboardInterrupt), stopping.together(tmp_path):
        os.kill(os.getpid(), number)
    assert psutil.Process(one.pid).status() == psutil.STATUS_ZOMBIE if psutil.pid_exists(one.pid) else True
    assert stopping.at_work(tmp_path) == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_what_ends_well_ends_nothing_else(marked, tmp_path):
    one = marked()
    with stopping.together(tmp_path):
        pass
    assert one.poll() is None


def test_a_run_is_refused_while_an_earlier_one_has_processes(marked, tmp_path, monkeypatch):
    monkeypatch.setattr(stopping, "left_over", lambda run, patience: [4, 17])
    with pytest.raises(reproduce.BusyError, match="no process of an earlier run, found 4, 17 at work in .*smoke; wait"):
        reproduce.workflow("smoke", 1, "python3", [], tmp_path)


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def missing(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)
    with pytest.raises(reproduce.BusyError, match="expected a file system with locks .*mount Lustre with -o flock"):
        reproduce.workflow("smoke", 1, "python3", [], tmp_path)


@pytest.mark.parametrize(("free", "files", "said"), [(2**30, 10, ""), (2**20, 10, "1.0 MiB"), (2**30, 0, "0 files left")])
def test_a_full_disk_is_said(tmp_path, monkeypatch, free, files, said):
    disk = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_favail=files, f_files=100)
    monkeypatch.setattr(os, "statvfs", lambda path: disk)
    found = stopping.full_disk(tmp_path)
    assert said in found and bool(found) == bool(said) and (not said or f"{tmp_path}: the disk" in found)
