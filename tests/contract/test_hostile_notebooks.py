"""Hostile parameters of notebooks, as papermill injects them: refused in the first cell, by the package's own errors."""

import json
import textwrap

import pandas as pd
import pytest
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from dawgen_core.app import entry
from dawgen_core.artifacts import Runs
from dawgen_core.data import profiles
from dawgen_core.params import ROOT, ParamsError


@pytest.fixture(autouse=True)
def own_options():
    """check_parameters sets an option of pandas, for a notebook's whole life."""
    with pd.option_context("styler.format.escape", None):
        yield


NAMES = ["01_generator_tuning", "04_prompt_tuning"]


def first_cells(name: str, given: dict) -> dict:
    """Runs a notebook's parameters, what papermill injects, and its cell of setup. The names that this makes."""
    notebook = load_notebook_node(str(ROOT / "notebooks" / f"{name}.ipynb"))
    cells = [cell["source"] for cell in parameterize_notebook(notebook, given).cells if cell["cell_type"] == "code"][:3]
    assert cells[1].startswith("# Parameters") and "check_parameters(In)" in cells[2]
    made = {"In": [""]}
    for source in cells:
        made["In"].append(source)
        exec(source, made)  # as the kernel would
    return made


HOSTILE = {
    "an unknown name": ({"sedes": [13]}, "parameters: expected profile, runs_dir, seeds, task; found unknown sedes"),
    "a name of Python's": ({"__builtins__": {}}, "found unknown __builtins__|__import__ not found"),
    "a thousand names": ({f"x{i}": 1 for i in range(1000)}, "found unknown x0, x1, .{1,300}$"),
    "a profile that leads out": ({"profile": "../smoke"}, "profile: expected a name in letters, digits, _ and -"),
    "an absolute profile": ({"profile": "/etc/passwd"}, "profile: expected a name in letters"),
    "a profile that is a number": ({"profile": 13}, "profile: expected a name in letters.*found 13"),
    "a profile that is a list": ({"profile": ["smoke"]}, r"profile: expected a name in letters.*found \['smoke'\]"),
    "no profile": ({"profile": None}, "profile: expected a name in letters.*found None"),
    "a profile without end": ({"profile": "a" * 100_000}, r"profile: expected a name in letters.*found 'a{1,200}\.\.\.$"),
    "code for a profile": ({"profile": "__import__('os').system('touch pwned')"}, "profile: expected a name in letters"),
    "code that closes its quotes": ({"profile": "\"; open('pwned', 'w'); \""}, "profile: expected a name in letters"),
    "code behind a line end": ({"profile": "smoke\nopen('pwned', 'w')"}, "profile: expected a name in letters"),
    "code behind a backslash": ({"profile": "\\\"; open('pwned', 'w') #"}, "profile: expected a name in letters"),
    "a task that leads out": ({"task": "../../x"}, r"task: expected one of profile smoke .*found '\.\./\.\./x'"),
    "a task of another kind": ({"task": {"a": 1}}, "task: expected one of profile smoke .*found {'a': 1}"),
    "a task without end": ({"task": "a" * 100_000}, r"task: expected one of profile smoke .*\.\.\.$"),
    "seeds of code": ({"seeds": "__import__('os').system('touch pwned')"}, "seeds: expected a list of whole numbers"),
    "seeds of depth": ({"seeds": "[" * 9_000}, "seeds: expected a list of whole numbers"),
    "seeds of depth without end": ({"seeds": "[" * 1_000_000}, r"seeds: expected a list of whole numbers .*\.\.\.$"),
    "seeds of a huge number": ({"seeds": f"[{'9' * 5000}]"}, "seeds: expected a list of whole numbers"),
    "many seeds": (
        {"seeds": list(range(10**5))},
        r"seeds: expected seeds of profile smoke .*found \[0, 1, .{1,300}$",
    ),
    "a seed many times": ({"seeds": [13] * 10**5}, r"seeds: expected each seed once, found \[13, 13.*\.\.\.$"),
    "a negative seed": ({"seeds": [-13]}, r"seeds: expected seeds of profile smoke .*found \[-13\]"),
    "seeds of texts": ({"seeds": ["../13"]}, "seeds: expected a list of whole numbers"),
    "a seed of thirty digits": ({"seeds": [10**30]}, "seeds: expected seeds of profile smoke"),
    "no seeds": ({"seeds": None}, "seeds: expected a list of whole numbers"),
    "seeds by name": ({"seeds": {"13": 13}}, "seeds: expected a list of whole numbers"),
    "infinitely many": ({"seeds": float("inf")}, "seeds: expected a list of whole numbers"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_parameters_of_a_notebook(kind, name, tmp_path, unharmed):
    given, message = HOSTILE[kind]
    with unharmed(), pytest.raises((ParamsError, ImportError), match=message) as found:
        first_cells(name, {"profile": "smoke", "task": "mrpc", "seeds": [13]} | given)
    assert len(str(found.value)) < 2000


def test_good_parameters_pass():
    made = first_cells("04_prompt_tuning", {"profile": "smoke", "task": "mrpc", "seeds": "[13]"})
    assert made["seeds"] == [13] and made["study"].profile == "smoke"


@pytest.mark.parametrize("runs_dir", ["../x", "runs/../../x", "", "a\0b", 13, ["runs"], {}, None], ids=repr)
def test_hostile_folders_of_runs(runs_dir, unharmed):
    with unharmed(), pytest.raises(ParamsError, match="runs_dir: expected a folder below the project's or an absolute one"):
        Runs.of(profiles.load_profile("smoke"), runs_dir)


INJECTED = ["import os", "profile.x = 1", "open", "def f(): pass", "profile, task = 1, 2", "for x in (): pass", "p[0] = 1"]


@pytest.mark.parametrize("line", INJECTED)
def test_names_that_are_code(line):
    """papermill writes a parameter's name as it is; whatever it makes of it, the first cell stops there."""
    with pytest.raises(ParamsError, match="parameters: expected profile; found unknown"):
        entry.check_parameters(["", 'profile: str = "smoke"', f"# Parameters\n{line}\n", "entry.check_parameters(In)"])


def test_solutions_and_outputs_of_a_notebook_are_no_code_that_we_run():
    """A notebook is code; what is committed holds no output, no attachment and no widget that a page would run."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs") and not cell.get("attachments"), path.name
            assert "<script" not in textwrap.dedent("".join(cell["source"])), path.name
