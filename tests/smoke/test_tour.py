"""Notebook 00 by papermill at its cheapest: all pictures are there as images, no widget that nobody can move, a receipt."""

import nbformat
import pytest
from rehearsal import perform, printed

from dawgen_core.params import ROOT

pytestmark = pytest.mark.smoke
SLIDERS = "(sliders, live in JupyterLab)"


@pytest.fixture(scope="module")
def tour(tmp_path_factory) -> nbformat.NotebookNode:
    folder = tmp_path_factory.mktemp("elsewhere")
    made = perform("00_tour", folder, profile="smoke", task="mrpc", seed=21, pairs=6, asked=20)
    assert [path.name for path in folder.iterdir()] == ["00_tour-mrpc.ipynb"], "the tour writes nothing"
    return made


def test_every_picture_is_an_image_with_a_text(tour):
    bundles = [out.data for cell in tour.cells if cell.cell_type == "code" for out in cell.outputs if "data" in out]
    pictures = [data for data in bundles if "image/png" in data]
    source = "".join(cell.source for cell in tour.cells if cell.cell_type == "code")
    assert len(pictures) == source.count("looking.show(") + source.count("looking.interactive(")
    assert all(len(data["image/png"]) > 10_000 and len(data["text/plain"]) > 20 for data in pictures)
    assert source.count("looking.interactive(") == 3
    assert SLIDERS not in [data.get("text/plain") for data in bundles]


def test_its_page_holds_the_pictures_and_no_error(tour):
    nbconvert = pytest.importorskip("nbconvert")
    exporter = nbconvert.HTMLExporter(template_name="page", extra_template_basedirs=[str(ROOT / "notebooks")])
    page, _ = exporter.from_notebook_node(tour)
    assert page.count("<summary>Code of the solution</summary>") == 3  # folded, as in JupyterLab
    assert "No description has been provided" not in page and 'alt="Two gradients before and after surgery' in page
    assert page.count('src="data:image/png;base64,') == 7 and "Traceback" not in page and "Slider(" not in page


def test_said_with_n_and_paid_for(tour):
    said = "".join(out["data"]["text/markdown"] for cell in tour.cells if "**What was seen**" in cell.source
                   for out in cell.outputs if "data" in out)  # fmt: skip
    assert "these numbers mean nothing" in said and "n=6 each, 20 test pairs" in said and "nobody knows how many" in said
    assert "'prompts_tuned': 16" in printed(tour) and "MiB at most" in printed(tour)


def test_solutions_ran(tour):
    solved = [cell for cell in tour.cells if "solution" in cell.metadata.get("tags", [])]
    assert len(solved) == 3 and all(cell.execution_count for cell in solved)
