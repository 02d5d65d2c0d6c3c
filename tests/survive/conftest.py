"""One undisturbed run of the reduced profile, against which every other one is held."""

from pathlib import Path

import pytest
from performing import Study, digests


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.survive)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> Study:
    """A finished run; read only."""
    study = Study(tmp_path_factory.mktemp("undisturbed"))
    study.finish()
    return study


@pytest.fixture(scope="session")
def wanted(undisturbed) -> dict[str, str]:
    """What a run has to end with, whatever happened to it."""
    found = digests(undisturbed.run)
    kinds = {name.rpartition(".")[2] for name in found}
    assert {"json", "parquet", "safetensors", "csv", "md", "tex", "svg", "png"} <= kinds and len(found) > 100
    return found


@pytest.fixture
def study(tmp_path) -> Study:
    return Study(tmp_path)
