"""What a notebook is given: its parameters, checked, and the values of its profile with their marks."""

import ast
import json
import time
from pathlib import Path

import pandas as pd
import yaml

from dawgen_core.app import imports, lease
from dawgen_core.data.profiles import brief, load_profile, load_task, profile_path, read_yaml, task_path
from dawgen_core.data.rows import row_files
from dawgen_core.params import ROOT, ParamsError, Profile

MARKS = ("established", "inferred", "ours")
BEGUN = time.time()  # imported by the first cell (a process's own time of birth is off by seconds on some machines)
LONGEST = 10_000  # characters of a list of seeds that is given as text


def profile_files(name: str) -> list[Path]:
    """The YAML file of a profile and those it extends."""
    base = read_yaml(profile_path(name)).get("extends")
    return [profile_path(name), *(profile_files(base) if isinstance(base, str) else [])]


def marks(name: str) -> pd.DataFrame:
    """One row per value of a profile: key, value, mark (established, inferred, ours), note. Unmarked: empty."""
    values = read_yaml(profile_path(name))
    base = values.get("extends")
    inherited = marks(base).to_dict("records") if isinstance(base, str) else []
    replaced = [f"{key}." for key in ("classifier", "generator") if key in values]
    rows = {row["key"]: row for row in inherited if not row["key"].startswith(tuple(replaced))}
    lines = profile_path(name).read_text(encoding="utf-8").splitlines()

    def walk(node: yaml.Node, path: str) -> None:
        if isinstance(node, yaml.MappingNode) and not node.flow_style:
            for key, value in node.value:
                walk(value, f"{path}.{key.value}" if path else key.value)
            return
        comment = lines[node.end_mark.line - (node.end_mark.column == 0)].partition(" # ")[2].strip()
        mark, _, note = comment.partition(":")
        shown = yaml.safe_load(yaml.serialize(node))
        rows[path] = {"key": path, "value": str(shown), "mark": mark if mark in MARKS else "", "note": note.strip()}
        if shown is None and "." in path:  # inside a section, null takes an entry away
            del rows[path]

    walk(yaml.compose(profile_path(name).read_text(encoding="utf-8")), "")
    return pd.DataFrame(rows.values())


def chosen_seeds(seeds: str | list[int], profile: Profile) -> list[int]:
    """The seeds a notebook was given, as a list or as text such as '[13, 21]'; each one of the profile's."""
    try:
        values = json.loads(seeds) if isinstance(seeds, str) and len(seeds) < LONGEST else seeds
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or not values or not all(type(s) is int for s in values):
        raise ParamsError(f"seeds: expected a list of whole numbers such as [13], found {brief(seeds)}")
    if len(set(values)) != len(values):
        raise ParamsError(f"seeds: expected each seed once, found {brief(values)}")
    if unknown := sorted(set(values) - set(profile.seeds)):
        raise ParamsError(f"seeds: expected seeds of profile {profile.profile} ({profile.seeds}), found {brief(unknown)}")
    return values


def chosen_task(task: str, profile: Profile) -> str:
    """The task a notebook was given; one of the profile's."""
    if task not in profile.tasks:
        raise ParamsError(f"task: expected one of profile {profile.profile} ({', '.join(profile.tasks)}), "
                          f"found {brief(task)}")  # fmt: skip
    return task


def check_parameters(cells_run: list[str]) -> None:
    """Stop when papermill passed a name that the notebook does not declare (papermill itself only warns), or what is no
    name: papermill writes both into a cell as they are.

    cells_run is IPython's `In`: the sources of the cells run so far. Run by hand, nothing was injected: no check.
    From here on the notebook's tables show texts as texts: pandas would take them for HTML. It also keeps the digests of the
    package's code as it is now, and its GPU, where a job leased one.
    """
    global _by_papermill
    imports.remember()
    lease.keep()
    pd.set_option("styler.format.escape", "html")
    injected = [i for i, source in enumerate(cells_run) if source.startswith("# Parameters\n")]
    _by_papermill = bool(injected)
    if not injected:
        return
    declared = {
        node.target.id
        for source in cells_run[: injected[-1]]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    tree = ast.parse(cells_run[injected[-1]])
    given = {ast.unparse(part) for node in tree.body for part in (node.targets if isinstance(node, ast.Assign) else [node])}
    if unknown := sorted(given - declared):
        raise ParamsError(f"parameters: expected {', '.join(sorted(declared))}; found unknown {', '.join(unknown):.200}")


_by_papermill = False


def unedited(notebook: str, profile: str, tasks: list[str]) -> None:
    """Stops a job before it says what it made, where a file that it reads was edited since it began: the workflow takes a
    job's output for newer than all that it read. By hand nothing is checked. Errors: ParamsError."""
    if not _by_papermill:
        return
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    rows = [file for task in tasks for file in row_files(load_task(task), load_profile(profile))]
    files = [path, *imports.files_behind(path), *profile_files(profile), *map(task_path, tasks), *rows]
    if edited := sorted(str(file) for file in files if file.stat().st_mtime > BEGUN):
        raise ParamsError(f"expected files that stay as they were while a job reads them, found edited: "
                          f"{', '.join(edited):.1000}; run the same command again")  # fmt: skip
