"""The shape of every notebook: parameters, prose beside code, short cells, public names, no outputs, a receipt."""

import ast
import re
import statistics

import nbformat
import papermill
import pytest

from dawgen_core.params import ROOT

PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DECLARED = re.compile(r"\w+: (str|list|int|float|bool) = \S.*  # \S.*")
each_notebook = pytest.mark.parametrize("notebook", PATHS, ids=lambda p: p.stem, indirect=True)


@pytest.fixture(scope="module")
def notebook(request) -> nbformat.NotebookNode:
    return nbformat.read(request.param, as_version=4)


def code(notebook) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def parameters(notebook) -> str:
    (cell,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    return cell.source


def n_lines(source: str) -> int:
    return sum(bool(line.strip()) for line in source.splitlines())


@each_notebook
def test_valid_and_committed_without_outputs(notebook):
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None


@each_notebook
def test_title_with_its_box_comes_first(notebook):
    title = notebook.cells[0].source
    assert notebook.cells[0].cell_type == "markdown" and re.match(r"# \d\d · \S", title)
    assert all(f"| **{word}** |" in title for word in ("reads", "writes", "takes"))


@each_notebook
def test_parameters_are_few_plain_typed_and_explained(notebook):
    lines = parameters(notebook).splitlines()
    assert 1 <= len(lines) <= 6
    for line in lines:
        assert DECLARED.fullmatch(line), line
        ast.literal_eval(ast.parse(line).body[0].value)
    first_code = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert first_code.source == parameters(notebook), "expected the parameters in the first code cell"


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_papermill_reads_the_parameters(path):
    lines = parameters(nbformat.read(path, as_version=4)).splitlines()
    found = papermill.inspect_notebook(str(path))
    assert list(found) == [line.partition(":")[0] for line in lines]
    for name, one in found.items():
        assert one["help"] and one["inferred_type_name"] in ("str", "list", "int", "float", "bool"), name


@each_notebook
def test_parameters_are_checked_before_anything_else(notebook):
    assert "entry.check_parameters(In)" in code(notebook)[1]


@each_notebook
def test_as_much_prose_as_code(notebook):
    assert len(prose(notebook)) >= len(code(notebook))


@each_notebook
def test_code_cells_are_short(notebook):
    lines = [n_lines(source) for source in code(notebook)]
    assert max(lines) <= 20, lines
    assert statistics.median(lines) <= 8, sorted(lines)


@each_notebook
def test_no_classes_and_no_long_functions(notebook):
    for node in ast.walk(ast.parse("\n".join(code(notebook)))):
        assert not isinstance(node, ast.ClassDef), node.name
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 12, f"{node.name} has more than 12 lines"


@each_notebook
def test_only_public_names(notebook):
    for node in ast.walk(ast.parse("\n".join(code(notebook)))):
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_"), node.attr
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert not any(part.startswith("_") for alias in node.names for part in alias.name.split("."))


@each_notebook
def test_reading_aloud_then_exercises_if_any_then_the_receipt_last(notebook):
    heads = [source.splitlines()[0] for source in prose(notebook) if source.startswith("## ")]
    assert [head for head in heads if head != "## Exercises"][-2:] == ["## Reading aloud", "## Receipt"]
    (aloud,) = [i for i, cell in enumerate(notebook.cells) if cell.source.startswith("## Reading aloud")]
    assert "For discussion" in notebook.cells[aloud + 1].source
    assert prose(notebook)[-1].startswith("## Receipt") and "receipt.close(" in code(notebook)[-1]


@each_notebook
def test_exercises_have_folded_solutions_that_run(notebook):
    solved = [cell for cell in notebook.cells if "solution" in cell.metadata.get("tags", [])]
    assert len(solved) == sum(source.count("<details><summary>Solution</summary>") for source in prose(notebook))
    for cell in solved:
        assert "assert " in cell.source and cell.metadata["jupyter"]["source_hidden"]


@each_notebook
def test_only_the_package_knows_where_artifacts_lie(notebook):
    assert "runs/" not in "\n".join(code(notebook)).replace('"runs"', "")


def test_numbers_in_order_and_in_the_workflow():
    stems = [p.stem for p in PATHS]
    snakefile = (ROOT / "Snakefile").read_text(encoding="utf-8")
    assert len({stem[:2] for stem in stems}) == len(stems)
    assert [s for s in stems if s[:2] in ("01", "02", "03", "04", "05") and f'code("{s}")' not in snakefile] == []
