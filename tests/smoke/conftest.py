"""The smoke profile, performed twice in two folders, once per test session however many workers there are."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock
from rehearsal import perform_profile

from dawgen_core.artifacts import Runs


@pytest.fixture(scope="session")
def roots(tmp_path_factory) -> tuple[Runs, Runs]:
    """The artifacts of two performances with the same seeds, made in parallel; read only."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    folders = [shared / "smoke" / name for name in ("first", "second")]
    done = shared / "smoke" / "done"
    done.parent.mkdir(exist_ok=True)
    with FileLock(shared / "smoke.lock"):
        if not done.is_file():
            with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
                jobs = [pool.submit(perform_profile, "smoke", f / "runs", f / "elsewhere") for f in folders]
                for job in jobs:
                    job.result()
            done.touch()
    return tuple(Runs(Path(folder) / "runs" / "smoke") for folder in folders)
