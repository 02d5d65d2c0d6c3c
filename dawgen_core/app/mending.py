"""Damaged results of a run: found, named, and removed with the workflow's indexes that rest on them, so that the workflow
makes these again and nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path

from dawgen_core import artifacts
from dawgen_core.app import reproduce
from dawgen_core.app.provenance import receipt_of
from dawgen_core.artifacts import ArtifactError
from dawgen_core.data import parts

OF_ALL = {"audit": "03_data_analysis", "tables": "05_tables", "figures": "05_tables", "costs": "05_tables",
          "beyond": "06_beyond"}  # fmt: skip


def damaged(run: Path) -> dict[Path, str]:
    """Every damaged thing of a run with what is wrong: a result's folder, an answer of an unfinished generation, an index.

    An index is damaged too where a result that it lists is not there, or is another one."""
    found: dict[Path, str] = {}
    for path in sorted(run.rglob("result.json")):
        try:
            kind = artifacts.read_json(path, made_by="above", keys=artifacts.RESULT)["kind"]
            if kind not in artifacts.NOTEBOOKS:
                raise ArtifactError(f"{path}: expected a kind of result, found {kind!r:.100}")
            artifacts.verified(path.parent, kind)
            receipt_of(path.parent)
        except ArtifactError as error:
            found[path.parent] = str(error)
    for path in sorted(run.rglob(f"{parts.FOLDER}/*/*.json")):
        try:
            parts.whole(path)
        except ArtifactError as error:
            found[path] = str(error)
    return found | {path: wrong for path in _indexes(run) if (wrong := _wrong_index(run, path))}


def mend(run: Path) -> list[str]:
    """Removes what is damaged, and the indexes of the jobs that made it; a sentence for each.

    Errors: BusyError while a run of the profile is at work; ArtifactError where a link stands for a folder."""
    said = []
    if not run.is_dir():
        return said
    with reproduce.alone(run):
        for path, wrong in damaged(run).items():
            if path.is_dir():
                artifacts.begin(path)
                for index in _indexes_of(run, path.relative_to(run).parts):
                    index.unlink(missing_ok=True)
            path.is_file() and path.unlink()
            said.append(f"removed, to be made again: {path.relative_to(run)} ({wrong.splitlines()[0]})")
        for path in _indexes(run):  # of other jobs that a removed result is listed in
            if _wrong_index(run, path):
                path.unlink()
    return said


def _indexes(run: Path) -> list[Path]:
    return sorted([*run.glob("[0-9][0-9]_*.json"), *run.glob("*/[0-9][0-9]_*.json"), *run.glob("*/shards.*/*.json")])


def _wrong_index(run: Path, path: Path) -> str:
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        for name, wanted in dict(listed).items():
            result = run / name / "result.json"
            if isinstance(wanted, str) and not (result.is_file() and artifacts.digest(result) == wanted):
                return f"it lists {name} with another result than there is"
    except (ValueError, TypeError, RecursionError):
        return "expected what a job made, as JSON, found a truncated or edited file"
    return ""


def _indexes_of(run: Path, name: tuple[str, ...]) -> Iterator[Path]:
    """The indexes of the jobs that made a result, by its folder's name; what is shared by methods has none."""
    if name[0] in OF_ALL:
        yield run / f"{OF_ALL[name[0]]}.json"
    elif name[0] != "shared":
        notebook = artifacts.NOTEBOOKS.get({"few_shot": "few_shot", "generator": "generator", "synthetic": "synthetic"}.get(
            name[-1], "condition"))  # fmt: skip
        for index in (run / name[0]).glob(f"{notebook}.seeds-*.json"):
            seeds = index.stem.partition(".seeds-")[2].split("-")
            if not name[1].startswith("seed-") or name[1].removeprefix("seed-") in seeds:
                yield index
