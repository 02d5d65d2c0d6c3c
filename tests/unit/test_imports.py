"""The code that a result remembers is the code that made it: the one in memory, not what became of the files."""

import importlib
import subprocess
import sys
from pathlib import Path

from dawgen_core.app import imports

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


def test_files_that_a_module_reads_are_its_inputs():
    behind = {path.relative_to(imports.PACKAGE).as_posix() for path in imports.files_behind(Path(report()))}
    assert {"audit/limits.csv", "audit/page.html", "audit/limits.py"} <= behind
    assert not any(name.startswith("pocket/weights") or name.endswith(".md") for name in behind)


def report() -> str:
    return importlib.import_module("dawgen_core.app.fit_report").__file__
