"""Real rows through the package's own profiles; without them the tests are skipped, or fail if DAWGEN_REQUIRE says so."""

import os
from pathlib import Path

import pytest

from dawgen_core.data.profiles import load_profile, load_task
from dawgen_core.data.rows import TaskRows
from dawgen_core.params import Profile


@pytest.fixture(scope="session", autouse=True)
def data() -> Path:
    """The folder of real rows."""
    folder = os.environ.get("DAWGEN_DATA")
    if not folder:
        pytest.skip("DAWGEN_DATA is not set: it names a folder of real rows")
    if not (Path(folder) / "mrpc").is_dir():
        pytest.skip(f"DAWGEN_DATA: expected a folder mrpc in {folder}, found none")
    return Path(folder)


@pytest.fixture(scope="session")
def paper(data) -> Profile:
    return load_profile("paper")


@pytest.fixture(scope="session")
def rows_of(paper):
    """TaskRows of a task by name, under the paper's profile."""
    return lambda name: TaskRows(load_task(name), paper)
