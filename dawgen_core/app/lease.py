"""Runs a command on a GPU of its own, on a machine that has several: `python -m dawgen_core.app.lease COMMAND ...`.

A device is leased by a file lock that the command itself holds to its end: it takes this process's place, so that
the operating system frees the device with it, however it ends. A notebook's kernel holds it too (`keep`), since it outlives
a killed papermill by seconds: the lock is taken alone, then shared with it. It keeps apart the jobs of one user on one
machine who name devices in one way.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

CHOSEN, LEASED = "CUDA_VISIBLE_DEVICES", "DAWGEN_LEASE"  # environment variables: devices; the file of the lock


def pool(env: Mapping[str, str] = os.environ, dev: Path = Path("/dev")) -> list[str]:
    """The devices that jobs may lease, as CUDA_VISIBLE_DEVICES names them: those of that variable where it is set (by the
    user, or by Slurm for its job), else all that there are. None in a Slurm job that was given none, none without a GPU."""
    if CHOSEN in env:
        return list(takewhile(lambda name: name != "-1", filter(None, map(str.strip, env[CHOSEN].split(",")))))  # as CUDA
    if "SLURM_JOB_ID" in env:
        return []
    n_found = len(list(dev.glob("nvidia[0-9]*"))) or _listed()
    return [str(number) for number in range(n_found)]


def _listed() -> int:
    """GPUs that the driver's own tool lists: some systems have no device files."""
    if not shutil.which("nvidia-smi"):
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
    return sum(line.startswith("GPU ") for line in listed.splitlines())


def locks(env: Mapping[str, str] = os.environ) -> Path:
    """The folder of the lock files: of this machine and user; under Slurm, which may number devices anew, of a job."""
    job = f"-job-{env['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in env else ""
    return Path(tempfile.gettempdir()) / f"dawgen-gpus-{os.getuid()}{job}"


def taken(devices: list[str], folder: Path, wait: float = 1.0) -> str:
    """The first device that nobody holds, after a wait if need be; this process holds it from now on, or what it becomes."""
    said = False
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        for name in devices:
            if (handle := _held(folder / name.replace("/", "-"))) is not None:
                os.set_inheritable(handle, True)
                os.environ[LEASED] = str(folder / name.replace("/", "-"))
                return name
        if not said:
            print(f"waiting for one of the devices {', '.join(devices)}: other jobs hold them", file=sys.stderr, flush=True)
            said = True
        time.sleep(wait)


def _held(path: Path) -> int | None:
    """A lock that nobody else had, then shared; None where somebody has it, or the file was removed meanwhile."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino == os.stat(path).st_ino:
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(handle)
    return None


def keep() -> None:
    """This process, too, holds the device that its job leased, to its end; nothing where none was."""
    if path := os.environ.get(LEASED):
        with suppress(FileNotFoundError):  # a temporary folder was cleaned
            fcntl.flock(os.open(path, os.O_RDWR), fcntl.LOCK_SH)  # the descriptor is never closed


def main(command: list[str]) -> None:
    """Becomes the command, with its device in CUDA_VISIBLE_DEVICES; without any devices, as it was started."""
    if not command:
        sys.exit("expected a command, found none: python -m dawgen_core.app.lease COMMAND ...")
    if devices := pool():
        os.environ[CHOSEN] = taken(devices, locks())
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"expected a command that can be run, found {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
