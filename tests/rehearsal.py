"""Notebooks run by papermill from a folder that is not the project's: one of them, or a whole profile in sequence; what
two runs have to have in common."""

from pathlib import Path

import nbformat
import papermill

from dawgen_core import artifacts
from dawgen_core.artifacts import Runs
from dawgen_core.beyond import sweeps
from dawgen_core.data.profiles import load_profile
from dawgen_core.params import ROOT


def perform(notebook: str, folder: Path, **parameters) -> nbformat.NotebookNode:
    """The executed notebook, run in `folder` and kept there. Errors: papermill's PapermillExecutionError."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "-".join([notebook, *(str(parameters[k]) for k in ("task",) if k in parameters)])
    path, out = ROOT / "notebooks" / f"{notebook}.ipynb", folder / f"{name}.ipynb"
    return papermill.execute_notebook(
        str(path), str(out), parameters, kernel_name="python3", progress_bar=False, cwd=str(folder)
    )


def perform_profile(profile: str, runs_dir: Path, folder: Path) -> None:
    """All notebooks for all tasks and seeds of a profile, in the workflow's order."""
    study = load_profile(profile)
    given = {"profile": profile, "runs_dir": str(runs_dir)}
    for notebook in ("01_generator_tuning", "02_generation", "04_prompt_tuning"):
        for task in study.tasks:
            perform(notebook, folder, **given, task=task, seeds=study.seeds)
    for notebook in ("03_data_analysis", "05_tables", *(["06_beyond"] if sweeps.load(study) else [])):
        perform(notebook, folder, **given)


def printed(notebook: nbformat.NotebookNode, cell: int = -1) -> str:
    """What a code cell showed as plain text; the last one by default."""
    cell = [c for c in notebook.cells if c.cell_type == "code"][cell]
    return "".join(out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell.outputs)


def digests(runs: Runs) -> dict[str, str]:
    """All files of a run but receipts, locks and costs (seconds are never the same), by name."""
    files = [p for p in runs.root.rglob("*") if p.is_file() and p.name != "receipt.json" and p.suffix != ".lock"]
    files = [p for p in files if p.parent.name != "costs"]
    return {runs.name(p): artifacts.digest(p) for p in files}
