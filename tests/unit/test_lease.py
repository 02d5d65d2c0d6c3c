"""A GPU for each job: devices as a faked /dev lists them, commands in processes of their own."""

import os
import select
import signal
import subprocess
import sys

import pytest

from dawgen_core.app import lease

SAY_AND_STAY = "import os, sys; print(os.environ.get('CUDA_VISIBLE_DEVICES', 'unset'), flush=True); sys.stdin.read()"


def machine(tmp_path, *names):
    for name in names:
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def leased(tmp_path):
    """Starts a leased command that says its device and stays until its input ends; all are killed afterwards."""
    started, bare = [], {k: v for k, v in os.environ.items() if k not in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID")}

    def start(script=SAY_AND_STAY, **env):
        command = [sys.executable, "-m", "dawgen_core.app.lease", sys.executable, "-c", script]
        env = bare | {"TMPDIR": str(tmp_path)} | env
        started.append(subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True))  # fmt: skip
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process) -> str:
    return process.stdout.readline().strip()


def waiting(process) -> str:
    """What a process says that waits for a device; nothing where it has one."""
    ready, _, _ = select.select([process.stdout, process.stderr], [], [], 20)
    return process.stderr.readline() if process.stderr in ready else ""


def test_the_pool_is_what_there_is_or_what_was_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")  # no nvidia-smi
    dev = machine(tmp_path, "nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null")
    assert lease.pool({}, dev) == ["0", "1"]
    assert lease.pool({}, tmp_path / "none") == []
    assert lease.pool({"CUDA_VISIBLE_DEVICES": "3, GPU-5d"}, dev) == ["3", "GPU-5d"]
    assert lease.pool({"CUDA_VISIBLE_DEVICES": "1", "SLURM_JOB_ID": "7"}, dev) == ["1"]
    assert lease.pool({"SLURM_JOB_ID": "7"}, dev) == []
    assert [lease.pool({"CUDA_VISIBLE_DEVICES": text}, dev) for text in ("", "-1", "-1,1", "0,-1,1")] == [[], [], [], ["0"]]


def test_devices_without_files_are_counted_by_the_drivers_tool(tmp_path, monkeypatch):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'GPU 0: made up'\necho '  MIG 1g: x'\necho 'GPU 1: made up'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert lease.pool({}, tmp_path) == ["0", "1"]


def test_two_jobs_have_two_devices_a_third_waits_and_a_killed_one_gives_its_own_back(leased):
    chosen = {"CUDA_VISIBLE_DEVICES": "4,6"}
    first = leased(**chosen)
    assert said(first) == "4"
    second = leased(**chosen)
    assert said(second) == "6"
    third = leased(**chosen)
    assert "waiting for one of the devices 4, 6" in waiting(third) and third.poll() is None
    assert select.select([third.stdout], [], [], 2.5)[0] == [] and third.poll() is None  # some looks later it still waits
    second.send_signal(signal.SIGKILL)
    assert said(third) == "6" and first.poll() is None
    first.communicate("")  # its end is as good
    assert said(leased(**chosen)) == "4"


KERNEL = """\
import subprocess, sys, time
kept = "from dawgen_core.app import lease; lease.keep(); print('kept', flush=True); import sys; sys.stdin.read()"
child = subprocess.Popen([sys.executable, "-c", kept], start_new_session=True, close_fds=True)
time.sleep(600)
"""


def test_a_kernel_that_outlives_its_papermill_keeps_the_device_until_it_ends(leased, tmp_path):
    """It inherits no descriptor, and a session of its own, as Jupyter starts it."""
    first = leased(KERNEL, CUDA_VISIBLE_DEVICES="0")
    assert said(first) == "kept"
    first.kill()
    second = leased(CUDA_VISIBLE_DEVICES="0")
    assert "waiting" in waiting(second)
    first.stdin.close()  # the child ends
    first.stdin = None
    assert said(second) == "0"


def test_a_lock_file_that_was_cleaned_away_is_no_lock(leased, tmp_path):
    first = leased(CUDA_VISIBLE_DEVICES="0")
    assert said(first) == "0"
    (file,) = (path for path in tmp_path.glob("dawgen-gpus-*/0"))
    file.unlink()
    second = leased(CUDA_VISIBLE_DEVICES="0")  # nobody can know of the first any more: but one has the new file alone
    assert said(second) == "0" and "waiting" in waiting(leased(CUDA_VISIBLE_DEVICES="0"))


def test_one_device_is_not_shared_between_two_runs_of_a_user(leased):
    assert said(leased(CUDA_VISIBLE_DEVICES="0")) == "0"
    assert "waiting" in waiting(leased(CUDA_VISIBLE_DEVICES="0"))


def test_jobs_of_slurm_do_not_wait_for_each_other(leased):
    """A cluster may number the device of each job 0."""
    assert [said(leased(CUDA_VISIBLE_DEVICES="0", SLURM_JOB_ID=job)) for job in ("7", "8")] == ["0", "0"]
    assert said(leased(SLURM_JOB_ID="9")) == "unset"


def test_what_the_command_does_is_what_is_seen(tmp_path):
    def run(*command):
        env = os.environ | {"TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": "1"}
        return subprocess.run([sys.executable, "-m", "dawgen_core.app.lease", *command], env=env, text=True,
                              capture_output=True)  # fmt: skip

    assert run("sh", "-c", "exit 5").returncode == 5
    assert "expected a command, found none" in run().stderr
    assert "expected a command that can be run, found /nowhere: No such file" in run("/nowhere").stderr
