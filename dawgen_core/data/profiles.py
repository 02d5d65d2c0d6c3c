"""Profiles and task files: YAML, read into the records of a study.

A profile may `extend` another. Every value line of a profile carries a mark: `# established`,
`# inferred` or `# ours`, then a note (`app.entry.marks` reads them back for the notebooks).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from dawgen_core.data.sources import TaskFile
from dawgen_core.params import PARAMS, ParamsError, Profile, Record
from dawgen_core.tasks import TaskError

R = TypeVar("R", bound=Record)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping with unique keys. ParamsError names the file, the line and what was expected."""
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml") if p.stem != "claims")) or "none"
        raise ParamsError(f"expected a file at {path}, found none; known here: {known}")
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _unique_keys(node, path)
        value = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: expected UTF-8 text, found a byte that is not ({error}); re-save it") from error
    except RecursionError as error:
        raise ParamsError(f"{path}: expected plain values, found an alias inside itself") from error
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: expected YAML, found {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise ParamsError(f"{path}: expected keys with values, found {type(value).__name__}")
    return value


def _unique_keys(node: yaml.Node | None, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in seen:
                line = key.start_mark.line + 1
                raise ParamsError(f"{path}, line {line}: expected each key once, a plain word, found {key.value!r}")
            seen.add(key.value)
            _unique_keys(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _unique_keys(item, path)


def validated(record: type[R], values: Mapping[str, Any], where: str | Path) -> R:
    """The record, or a ParamsError that lists every wrong key with its path, what was expected and found."""
    try:
        return record.model_validate(dict(values))
    except ValidationError as error:
        lines = []
        for e in error.errors():
            key = ".".join(str(part) for part in e["loc"]) or "(whole file)"
            found = "" if e["type"] == "missing" or isinstance(e["input"], dict) else f", found {e['input']!r}"
            hint = ""
            if isinstance(e["input"], str) and e["type"] == "float_type":
                hint = " (YAML reads 5e-3 as text: write 5.0e-3)"
            lines.append(f"  {key}: {e['msg']}{found}{hint}")
        raise ParamsError(f"{where}:\n" + "\n".join(lines)) from error


def profile_path(name: str) -> Path:
    """A profile by name (`params/NAME.yaml`), or by the path of a YAML file."""
    return Path(name) if name.endswith(".yaml") else PARAMS / f"{name}.yaml"


def _merged(name: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    if name in seen:
        raise ParamsError(f"extends: expected no circle, found {' -> '.join((*seen, name))}")
    values = read_yaml(profile_path(name))
    base = values.get("extends")
    return _overlay(_merged(base, (*seen, name)), values) if isinstance(base, str) else values


def _overlay(base: dict, top: dict, inside: bool = False) -> dict:
    """top over base, section by section; inside a section, null takes an entry away."""
    whole = ("classifier", "generator")  # a backbone is replaced, never mixed
    out = dict(base)
    for key, value in top.items():
        nested = key not in whole and isinstance(value, dict) and isinstance(base.get(key), dict)
        out[key] = _overlay(base[key], value, inside=True) if nested else value
        if inside and value is None:
            del out[key]
    return out


def load_profile(name: str) -> Profile:
    """The profile `params/NAME.yaml`, or the one of a path, with what it extends, checked. Errors: ParamsError.

    A profile of another folder may bring its own: tasks in tasks/ beside it (known from now on, by names that params/tasks
    has not), rows in a data_dir there.
    """
    path = profile_path(name)
    profile = validated(Profile, _merged(name), path)
    if profile.profile != path.stem:
        raise ParamsError(f"{path}: profile: expected {path.stem}, found {profile.profile}")
    beside = path.resolve().parent
    if beside != PARAMS:
        _BESIDE[beside / "tasks"] = _BESIDE.pop(beside / "tasks", None)  # asked last, found first
        if profile.data_dir and (beside / profile.data_dir).is_dir():
            profile = profile.model_copy(update={"data_dir": str(beside / profile.data_dir)})
        if taken := [p for p in sorted((beside / "tasks").glob("*.yaml")) if (PARAMS / "tasks" / p.name).is_file()]:
            raise ParamsError(f"{taken[0]}: expected a task of a name of its own, found one that params/tasks has; "
                              "rename it")  # fmt: skip
    for task in profile.tasks:
        if not task_path(task).is_file():
            raise ParamsError(f"{path}: tasks: expected a file params/tasks/{task}.yaml, found none")
    return profile


_BESIDE: dict[Path, None] = {}  # folders of tasks beside profiles that were loaded by their path, the latest last


def task_path(name: str) -> Path:
    """Where a task's file is: in params/tasks, else beside a profile that was loaded by its path."""
    known = PARAMS / "tasks" / f"{name}.yaml"
    beside = (folder / f"{name}.yaml" for folder in reversed(_BESIDE))
    return known if known.is_file() else next((path for path in beside if path.is_file()), known)


def load_task(name: str) -> TaskFile:
    """The task of that name (see `task_path`), checked. Errors: ParamsError."""
    path = task_path(name)
    task = validated(TaskFile, read_yaml(path), path)
    if task.task != name:
        raise TaskError(f"{path}: task: expected {name}, found {task.task}")
    return task
