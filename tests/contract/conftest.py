"""A copy of params/ to break, and a folder of one's own rows."""

import shutil
import sys
import time
from pathlib import Path

import pytest

from dawgen_core import params
from dawgen_core.data import profiles, rows


@pytest.fixture
def copied_params(tmp_path, monkeypatch) -> Path:
    """A copy of params/ that the package reads instead of its own; no DAWGEN_DATA."""
    folder = tmp_path / "params"
    shutil.copytree(params.PARAMS, folder)
    importing = [m for name, m in sys.modules.items() if name.startswith("dawgen_core.") and hasattr(m, "PARAMS")]
    assert {params, profiles, rows} <= set(importing)
    for module in importing:  # each has taken the name as its own
        monkeypatch.setattr(module, "PARAMS", folder)
    monkeypatch.delenv("DAWGEN_DATA", raising=False)
    return folder


@pytest.fixture
def at_once():
    """Wrong input is named before any long work: within seconds, even on a busy machine."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < 10
