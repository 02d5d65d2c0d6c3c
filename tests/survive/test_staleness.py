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
from checkout import copied, edit, edited
from performing import Study

ALL = {"generator_tuning", "generation", "data_analysis", "prompt_tuning", "tables"}


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


CODE, PROFILE = "dawgen_core", "the study's profile"
# The file, the edit, the rules whose jobs are to do again. A job whose index is made anew sets off those that read it, so a
# file that notebook 01 imports sets off all; what they find finished they leave as it is (below).
CASES = {
    "nothing": (None, None, set()),
    "a loss": (f"{CODE}/losses.py", comment, ALL),
    "a value of the profile": (PROFILE, value("steps: 9", "steps: 8"), ALL),
    "a text of the task": ("params/tasks/mrpc.yaml", value("are equivalent?", "are alike?"), ALL),
    "a row": ("params/embedded/mrpc/train.jsonl", last_row, ALL),
    "a row of the source task": ("params/embedded/sick/train.jsonl", last_row, {"prompt_tuning", "tables"}),
    "the audit's page": (f"{CODE}/audit/page.py", comment, {"data_analysis", "tables"}),
    "a notebook": ("notebooks/03_data_analysis.ipynb", value("**Is the", "**Was the"), {"data_analysis", "tables"}),
    "a claim": ("params/claims.yaml", comment, {"tables"}),
    "a task of other studies": ("params/tasks/rte.yaml", comment, set()),
    "the command's words": (f"{CODE}/app/cli_audit.py", comment, set()),
    "the pocket world": (f"{CODE}/pocket/gates.py", comment, set()),
}


@pytest.mark.parametrize("case", CASES)
def test_an_edit_makes_the_dependent_jobs_stale_and_no_other(finished, case):
    name, change, wanted = CASES[case]
    if name is None:
        assert stale(finished) == wanted
        return
    with edited(place(finished, name), change):
        assert stale(finished) == wanted
    assert stale(finished) == set()


def place(study: Study, name: str) -> Path:
    return study.profile if name == PROFILE else study.root / name


def made(study: Study) -> dict[str, int]:
    """When each result was made, but those of notebooks 03 and 05, which draw anew whatever they are given."""
    found = study.run.rglob("result.json")
    names = {path.parent.relative_to(study.run).as_posix(): path.stat().st_mtime_ns for path in found}
    return {name: at for name, at in names.items() if name not in ("audit", "tables", "figures", "costs")}


TUNED = r"mrpc/seed-13/(mle|dawgen|dawgen_none|dawgen_exact|none)/(?!generator|synthetic)\w+"
CURATED = r"mrpc/seed-13/dawgen_(none|exact)/synthetic"
WRITTEN = r"mrpc/seed-13/(mle|dawgen)/synthetic"
STACKED = r"mrpc/seed-13/none/real"  # tuned in one stack with those: made again with them, to the same bytes
READS_WRITTEN = r"mrpc/seed-13/(mle|dawgen|dawgen_none|dawgen_exact)/(?!generator|synthetic)\w+"
# A text of the task holds words of the tiny model, which all that learns is made with.
REMADE = {  # the file, the edit, the results that are made again: all whose names match, and no other
    "a method": (f"{CODE}/methods/lora.py", comment, r"mrpc/seed-13/none/lora"),
    "a step width": (PROFILE, lambda text: text.replace("prompt_tuning:\n", "prompt_tuning:\n  lr: 0.2\n"),
                     rf"{TUNED}|{CURATED}|shared/.*"),
    "a way to write": (PROFILE, lambda text: text.replace("generation:\n", "generation:\n  max_new_tokens: 11\n"),
                       rf"{WRITTEN}|{CURATED}|{READS_WRITTEN}|{STACKED}"),
    "a text of the task": ("params/tasks/mrpc.yaml", value("are equivalent?", "are alike?"), r"mrpc/.*|shared/.*"),
    "a loss": (f"{CODE}/losses.py", comment, r"mrpc/(?!seed-13/few_shot|seed-13/none/tfidf).*|shared/.*"),
}  # fmt: skip


@pytest.mark.parametrize("case", REMADE)
def test_an_edit_makes_the_dependent_results_again_and_no_other(finished, case):
    name, change, wanted = REMADE[case]
    study, before = finished, made(finished)
    edit(place(study, name), change)  # it stays: the next case begins from here
    study.finish()
    after = made(study)
    assert set(after) == set(before)
    assert {name for name in after if after[name] != before[name]} == {n for n in before if re.fullmatch(wanted, n)}
