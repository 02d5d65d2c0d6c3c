"""Solutions of the exercises: each runs by itself, at once, and each assert could fail; all ran in the smoke profile."""

import ast
import time

import nbformat
import pytest

from dawgen_core.params import ROOT

PATHS = sorted((ROOT / "notebooks").glob("0[1-6]*.ipynb"))  # the tour's rest on what it computed: test_tour


def solutions(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if "solution" in cell.metadata.get("tags", [])]


def imported(source: str) -> ast.Module:
    """The imports of a source alone."""
    return ast.Module([node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)], [])


ALL = [(path, n) for path in PATHS for n in range(len(solutions(nbformat.read(path, as_version=4))))]


@pytest.fixture(scope="module", params=ALL, ids=lambda one: f"{one[0].stem[:2]}-{one[1] + 1}")
def solution(request) -> tuple[str, dict]:
    """The code of a solution, and what it may use: what its notebook and it itself import, and nothing computed there."""
    path, n = request.param
    notebook = nbformat.read(path, as_version=4)
    own, given = solutions(notebook)[n].source, {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell not in solutions(notebook):
            exec(compile(imported(cell.source), path.stem, "exec"), given)
    exec(compile(imported(own), path.stem, "exec"), given)
    return own, given


def test_a_solution_runs_at_once_with_the_imports_alone(solution):
    code, given = solution
    exec(compile(code, "warm", "exec"), dict(given))
    started = time.process_time()
    exec(compile(code, "solution", "exec"), dict(given))
    assert time.process_time() - started < 3  # a fraction of a second; the garbage of a whole test session costs the rest


class Negated(ast.NodeTransformer):
    """Turns the n-th assert of a source round."""

    def __init__(self, n: int):
        self.left = n

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        self.left -= 1
        return ast.Assert(ast.UnaryOp(ast.Not(), node.test), ast.Constant("turned round")) if self.left == -1 else node


def test_every_assert_is_reached_and_could_fail(solution):
    code, given = solution
    n_asserts = sum(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(code)))
    assert n_asserts
    for n in range(n_asserts):
        turned = ast.fix_missing_locations(Negated(n).visit(ast.parse(code)))
        with pytest.raises(AssertionError, match="turned round"):
            exec(compile(turned, "turned round", "exec"), dict(given))


@pytest.mark.smoke
def test_all_solutions_ran_in_the_profile(roots):
    executed = sorted((roots[0].root.parent.parent / "elsewhere").glob("*.ipynb"))
    assert {path.stem[:2] for path in executed} == {path.stem[:2] for path in PATHS}
    for path in executed:
        solved = solutions(nbformat.read(path, as_version=4))
        assert len(solved) >= 2 and all(cell.execution_count for cell in solved), path.name
        assert not [out for cell in solved for out in cell.outputs if out.output_type == "error"], path.name
