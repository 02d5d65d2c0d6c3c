"""Exercises, notation and leader's guide: complete, and what they name exists."""

import ast
import re
from functools import cache
from pathlib import Path

import nbformat
import pytest
import yaml

from dawgen_core.app import imports
from dawgen_core.audit import claims
from dawgen_core.params import ROOT

FOLDER = ROOT / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
PAGES = {name: (FOLDER / f"{name}.md").read_text(encoding="utf-8") for name in ("LEADERS_GUIDE", "NOTATION")}
FOLDED = re.compile(r"<details><summary>Solution</summary>\n\n\S.*\S\n\n</details>$", re.DOTALL)
LINK = re.compile(r"\[([^\]]*)\]\(([^)]+)\)")
each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)


def solves(cell) -> bool:
    return "solution" in cell.metadata.get("tags", [])


def exercises(notebook) -> list[tuple[str, list]]:
    """(kind, code cells) of each exercise. Errors: AssertionError where one is incomplete or out of order."""
    heads = [i for i, cell in enumerate(notebook.cells) if cell.source.startswith(("## Exercises", "## Receipt"))]
    assert len(heads) == 2, "expected ## Exercises, then ## Receipt"
    found = []
    for cell in notebook.cells[heads[0] : heads[1]]:
        if cell.cell_type == "code":
            assert solves(cell) and cell.metadata["jupyter"] == {"source_hidden": True, "outputs_hidden": True}
            assert any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(cell.source))), cell.id
            found[-1][1].append(cell)
        else:
            ((number, kind),) = re.findall(r"^\*\*(\d) · ([\w ]+)\.\*\* \S", cell.source, re.MULTILINE)
            assert int(number) == len(found) + 1 and FOLDED.search(cell.source), cell.id
            found.append((kind, []))
    assert 2 <= len(found) <= 3 and all(cells for _, cells in found)
    assert not any(map(solves, notebook.cells[: heads[0]])), "a solution among the cells that make results"
    return found


def bound(source: str) -> set[str]:
    """Names that a cell gives a value: by assignment, definition, loop or import."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.arg):
            names.add(node.arg if isinstance(node, ast.arg) else node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return names


def keys(value) -> set[str]:
    if not isinstance(value, dict):
        return set()
    return set(value).union(*map(keys, value.values()))


@cache
def defined(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    return bound(text) if path.suffix == ".py" else keys(yaml.safe_load(text))


def rows(page: str) -> list[list[str]]:
    """The cells of every table line that is neither head nor rule."""
    lines = [line for line in page.splitlines() if line.startswith("|")]
    below = [line for line, rule in zip(lines[2:], lines[1:], strict=False) if not re.match(r"\|-", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in below]


def named(page: str) -> list[tuple[str, str]]:
    """(name in backticks, file of the link beside it) for all that a page says of the code."""
    found = [(name, target) for name, target in LINK.findall(page) if name.startswith("`")]
    for line in rows(page):
        link = LINK.fullmatch(line[3]) if len(line) == 7 else None
        found += [(name, link[2]) for name in re.findall(r"`[^`]+`", line[2])] if link else []
    return [(name.strip("`"), target) for name, target in found]


def unknown(page: str) -> list[tuple[str, str]]:
    return [(name, target) for name, target in named(page) if name not in defined((FOLDER / target).resolve())]


# ---------------------------------------------------------------- exercises


@each_notebook
def test_two_or_three_exercises_with_folded_solutions(path):
    kinds = [kind for kind, _ in exercises(nbformat.read(path, as_version=4))]
    assert kinds[0] == "Reading" and kinds[-1] == "Research" and set(kinds) <= {"Reading", "A number", "Research"}


@each_notebook
def test_solutions_leave_the_receipt_alone(path):
    notebook = nbformat.read(path, as_version=4)
    read = {node.id for node in ast.walk(ast.parse(notebook.cells[-1].source)) if isinstance(node, ast.Name)}
    for cell in filter(solves, notebook.cells):
        assert not bound(cell.source) & read, cell.id


@each_notebook
def test_a_solution_is_no_input_of_a_result(path):
    """An edited exercise must not make a finished study stale."""
    notebook = nbformat.read(path, as_version=4)
    code = imports.notebook_code(path)
    solutions = [cell.source for cell in notebook.cells if solves(cell)]
    others = [cell.source for cell in notebook.cells if cell.cell_type == "code" and not solves(cell)]
    assert not any(source in code for source in solutions) and all(source in code for source in others)


BROKEN = {
    "no fold": lambda nb: nb.cells[-4].update(source=nb.cells[-4].source.replace("<details>", "")),
    "no code": lambda nb: nb.cells.pop(-3),
    "no assert": lambda nb: nb.cells[-3].update(source="print(1)"),
    "no tag": lambda nb: nb.cells[-3].update(metadata={}),
    "one exercise": lambda nb: nb.cells.__delitem__(slice(-6, -2)),
    "wrong number": lambda nb: nb.cells[-4].update(source=nb.cells[-4].source.replace("**3 ·", "**2 ·")),
    "a solution above": lambda nb: nb.cells[1].metadata.update(tags=["solution"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_incomplete_exercise_is_found(name):
    notebook = nbformat.read(PATHS[-1], as_version=4)
    BROKEN[name](notebook)
    with pytest.raises(AssertionError):
        exercises(notebook)


def test_sixteen_tests_as_exercise_05_2_says():
    tested = [claim for claim in claims.load().claims.values() if claim.kind != "comparable"]
    assert len(tested) == 16


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    targets = [target for _, target in LINK.findall(PAGES[name])]
    assert len(targets) > 15 and [target for target in targets if not (FOLDER / target).exists()] == []


@pytest.mark.parametrize("name", PAGES)
def test_names_exist_in_their_files(name):
    assert len(named(PAGES[name])) >= 25 and unknown(PAGES[name]) == []


def test_an_unknown_name_is_found():
    page = PAGES["NOTATION"]
    assert unknown(page.replace("`lm_loss`", "`lm_lost`")) == [("lm_lost", "../dawgen_core/losses.py")]
    assert unknown(page.replace("[backbones](../dawgen_core/backbones.py)", "[losses](../dawgen_core/losses.py)"))


def test_the_table_has_every_equation_and_no_line_without_a_name():
    lines = rows(PAGES["NOTATION"])
    assert len(lines) >= 30 and all(len(line) == 7 and "`" in line[2] and LINK.fullmatch(line[3]) for line in lines)
    tags = {line[6] for line in lines}
    assert {f"E{n}" for n in range(1, 8)} | {"Algorithm 1 (a)", "Algorithm 1 (b)", "Algorithm 2"} <= tags


def test_the_guide_fills_ninety_minutes_and_names_exercises_that_are_there():
    times = [tuple(map(int, found)) for found in re.findall(r"^\| (\d+) to (\d+) \|", PAGES["LEADERS_GUIDE"], re.MULTILINE)]
    assert times[0][0] == 0 and times[-1][1] == 90
    assert all(end == start for (_, end), (start, _) in zip(times, times[1:], strict=False))
    there = {f"{path.stem[:2]}·{i + 1}" for path in PATHS for i in range(len(exercises(nbformat.read(path, as_version=4))))}
    said = set(re.findall(r"\d\d·\d", PAGES["LEADERS_GUIDE"]))
    assert len(said) > 4 and said <= there
