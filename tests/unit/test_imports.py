"""The code that a result remembers is the code that made it: the one in memory, not what became of the files."""

import importlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dawgen_core.app import imports
from dawgen_core.params import ROOT

SCRIPT = """\
from dawgen_core.app import entry, imports
entry.check_parameters([])
before = imports.modules_digest("generation")
path = imports.PACKAGE / "generation.py"
path.write_text(path.read_text() + "# edited\\n")
assert imports.modules_digest("generation") == before
print(before)
"""


def test_an_edit_while_a_kernel_is_at_work_is_no_input_of_what_it_makes(tmp_path):
    package = tmp_path / "dawgen_core"
    for path in imports.PACKAGE.rglob("*"):
        if path.is_file() and path.suffix in (".py", ".csv", ".html", ".yaml") and "weights" not in path.parts:
            (package / path.relative_to(imports.PACKAGE)).parent.mkdir(parents=True, exist_ok=True)
            (package / path.relative_to(imports.PACKAGE)).write_bytes(path.read_bytes())

    def said() -> str:
        command = [sys.executable, "-c", SCRIPT]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    first = said()
    assert first != said()  # the next kernel sees it


WORK = """\
import pathlib
from dawgen_core.app import entry
from dawgen_core.params import ParamsError
entry.check_parameters(["profile: str = 'smoke'", "# Parameters\\nprofile = 'smoke'"][:{cells}])
entry.unedited("02_generation", "smoke", ["mrpc"])
pathlib.Path("dawgen_core/app/cli.py").touch()  # nothing to notebook 02
entry.unedited("02_generation", "smoke", ["mrpc"])
pathlib.Path({path!r}).touch()
try:
    entry.unedited("02_generation", "smoke", ["mrpc"])
except ParamsError as error:
    print(error)
"""


@pytest.mark.parametrize("path", ["dawgen_core/generation.py", "notebooks/02_generation.ipynb", "params/smoke.yaml",
                                  "params/tasks/mrpc.yaml", "params/embedded/mrpc/train.jsonl"])  # fmt: skip
def test_a_job_whose_input_was_edited_says_so_and_makes_no_index(tmp_path, path):
    for folder in ("dawgen_core", "params", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    time.sleep(0.1)

    def said(cells: int) -> str:
        command = [sys.executable, "-c", WORK.format(path=path, cells=cells)]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    assert f"found edited: {tmp_path / path}; run the same command again" in said(2)
    assert said(1) == ""  # by hand: who explores edits


def test_files_that_a_module_reads_are_its_inputs():
    behind = {path.relative_to(imports.PACKAGE).as_posix() for path in imports.files_behind(Path(report()))}
    assert {"audit/limits.csv", "audit/page.html", "audit/limits.py"} <= behind
    assert not any(name.startswith("pocket/weights") or name.endswith(".md") for name in behind)


def report() -> str:
    return importlib.import_module("dawgen_core.app.fit_report").__file__
