"""A copy of params/ to break; what hostile input is held to."""

import pickle
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from dawgen_core import params
from dawgen_core.app import cli
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


def tree(*folders: Path) -> dict[str, tuple]:
    """Every file, link and folder below these, with what would tell that it changed."""
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if "__pycache__" not in path.parts:
                about = path.lstat()
                found[str(path)] = (about.st_mode, about.st_size, None if path.is_dir() else about.st_mtime_ns)
    return found


@pytest.fixture
def unharmed(tmp_path, monkeypatch):
    """`with unharmed(): ...` holds hostile input to what is promised: five seconds at most, and not a file made, changed or
    removed, neither beside it nor in the project. Processor time: the machine may have other work."""
    monkeypatch.chdir(tmp_path)
    watched = (tmp_path, *(params.ROOT / name for name in ("params", "notebooks", "figures", "runs/own")))

    @contextmanager
    def held():
        before, started, began = tree(*watched), time.process_time(), time.monotonic()
        yield
        assert time.process_time() - started < 5 and time.monotonic() - began < 60
        assert tree(*watched) == before

    return held


@pytest.fixture
def dawgen(unharmed, capsys):
    """Runs the command with wrong input: it must say so in one clear message and exit with 2. The message."""

    def run(*arguments, code: int = 2) -> str:
        capsys.readouterr()
        with unharmed():
            try:
                found = cli.main([str(argument) for argument in arguments])
            except SystemExit as stop:  # argparse
                found = stop.code
        out, err = capsys.readouterr()
        assert found == code and "Traceback" not in err, (found, out, err)
        assert len(err) < 6000 and "\x1b" not in err + out and "\u202e" not in err + out
        return err if code == 2 else out

    return run


class Payload:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.fixture
def payload(tmp_path):
    """What to pickle: at the end nothing has unpickled it, though that would have shown."""
    made = Payload(tmp_path / "pwned")
    yield made
    assert not (tmp_path / "pwned").exists()
    pickle.loads(pickle.dumps(made))
    assert (tmp_path / "pwned").exists()
