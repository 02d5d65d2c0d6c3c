"""One edit, and which jobs the workflow would do again: those that depend on it, no other one.

A job reads whole files, so one value of a profile is an input of all its jobs; which results they make again is decided by
each result's own inputs, and held against them here by their time of making.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import copied, edited
from runs import Study

ALL = {"generator_tuning", "generation", "data_analysis", "prompt_tuning", "tables"}
AFTER_02 = {"data_analysis", "prompt_tuning", "tables"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Study:
    """A finished run in a checkout of its own."""
    folder = tmp_path_factory.mktemp("stale")
    root = copied(folder / "checkout")
    study = Study(folder / "study", root=root, PYTHONPATH=str(root))
    study.finish()
    return study


def stale(study: Study) -> set[str]:
    """Names of rules from the package's own dry run, in the copied checkout."""
    asked = "import json, sys; from dawgen_core.app import provenance; print(json.dumps(provenance.stale(*sys.argv[1:])))"
    command = [sys.executable, "-c", asked, str(study.profile), str(study.runs)]
    done = subprocess.run(command, cwd=study.root, env=study.all_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {job.split()[0] for job, _ in json.loads(done.stdout.splitlines()[-1])}


def value(old: str, new: str):
    return lambda text: text.replace(old, new, 1)


def comment(text: str) -> str:
    """One line more, at the end."""
    return text + "\n# an edited line\n"


def last_row(text: str) -> str:
    *rows, row = text.splitlines()
    return "\n".join([*rows, re.sub(r'("sentence2": ")', r"\1changed ", row)]) + "\n"


CODE = "dawgen_core"
CASES = {  # the file, the edit, the rules whose jobs are to do again
    "nothing": (None, None, set()),
    "a loss": (f"{CODE}/losses.py", comment, ALL),
    "the surgery": (f"{CODE}/surgery.py", comment, None),
    "a compared method": (f"{CODE}/methods/lora.py", comment, {"prompt_tuning", "tables"}),
    "what draws the tables": (f"{CODE}/audit/tables.py", comment, {"tables"}),
    "a text of the task": ("params/tasks/mrpc.yaml", None, ALL),
    "a row": ("params/embedded/mrpc/train.jsonl", last_row, ALL),
    "a row of the source task": ("params/embedded/sick/train.jsonl", last_row, {"prompt_tuning", "tables"}),
    "a row of another task": ("params/embedded/sick/test.jsonl", last_row, None),
    "a judged claim": ("params/claims.yaml", comment, {"tables"}),
    "a notebook's code": (
        "notebooks/03_data_analysis.ipynb",
        value("import pandas as pd", "import pandas as pd "),
        {"data_analysis", "tables"},
    ),
    "a task that is not run": ("params/tasks/rte.yaml", comment, set()),
    "a method that is not run": (f"{CODE}/pocket/gates.py", comment, set()),
    "a page of the audit": (f"{CODE}/app/cli_audit.py", comment, set()),
}


@pytest.mark.parametrize("case", CASES)
def test_an_edit_makes_the_dependent_jobs_stale_and_no_other(finished, case):
    name, change, wanted = CASES[case]
    if name is None:
        assert stale(finished) == wanted
        return
    with edited(finished.root / name, change or comment):
        assert stale(finished) == wanted
    assert stale(finished) == set()
