"""Profiles and task files: YAML, read into the records of a study.

A profile may `extend` another. Every value line of a profile carries a mark: `# established`,
`# inferred` or `# ours`, then a note (`app.entry.marks` reads them back for the notebooks).
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from dawgen_core.data.sources import TaskFile
from dawgen_core.params import PARAMS, ParamsError, Profile, Record
from dawgen_core.tasks import TaskError

R = TypeVar("R", bound=Record)
LARGEST, DEEPEST, MOST_ERRORS = 60_000, 20, 20  # bytes of a file, levels of its values, errors told of it
# What a pattern of the records asks for, in words.
ASKED = {"A-Za-z0-9_-": "letters, digits, _ and - only", "<>|": "one line of plain text, without <>|`$\\ and invisible "
         "characters, not beginning as a formula does (= + - @)"}  # fmt: skip


class _Plain(yaml.SafeLoader):
    """Plain values alone: no tags, which ask for other types; no aliases, by which a short text becomes an endless one."""

    level = 0

    def compose_node(self, parent, index):
        event, self.level = self.peek_event(), self.level + 1
        tag, anchor = getattr(event, "tag", None), event.anchor
        found = (f"the tag {tag:.100}" if tag else f"the anchor or alias {anchor:.100}" if anchor else
                 f"more than {DEEPEST} levels" if self.level > DEEPEST else "")  # fmt: skip
        if found:
            asked = f"{found} (wanted: plain values, written out)"
            raise yaml.composer.ComposerError(None, None, asked, event.start_mark)
        node, self.level = super().compose_node(parent, index), self.level - 1
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping of plain values with unique keys. ParamsError names the file, the line and what was expected."""
    if not _is_there(path):
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml") if p.stem != "claims")) or "none"
        raise ParamsError(f"expected a file at {str(path):.500}, found none; known here: {known}")
    if (size := path.stat().st_size) > LARGEST:
        raise ParamsError(f"{path}: expected a file of at most {LARGEST:,} bytes, found {size:,}; is it the right one?")
    try:
        loader = _Plain(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        _unique_keys(node, path)
        value = loader.construct_document(node) if node else None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: expected UTF-8 text, found a byte that is not ({error}); re-save it") from error
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: expected YAML, found {' '.join(str(error).split())}") from error
    except ParamsError:
        raise
    except (ValueError, OverflowError) as error:  # a day 2024-02-31, a number of 5,000 digits
        raise ParamsError(f"{path}: expected plain values, found one that cannot be read ({error})") from error
    if not isinstance(value, dict):
        raise ParamsError(f"{path}: expected keys with values, found {type(value).__name__}")
    return value


def brief(value: object) -> str:
    """Its repr, at most 200 characters of it: what a message says of a value that may be long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 200 else f"{text[:200]}..."


def _is_there(path: Path) -> bool:
    """False also for a name that no file can have."""
    try:
        return path.is_file()
    except OSError:
        return False


def _unique_keys(node: yaml.Node | None, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in seen:
                line = key.start_mark.line + 1
                raise ParamsError(f"{path}, line {line}: expected each key once, a plain word, found "
                                  f"{brief(key.value)}")  # fmt: skip
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
        for e in error.errors()[:MOST_ERRORS]:
            key = ".".join(str(part)[:100] for part in e["loc"]) or "(whole file)"
            found = "" if e["type"] == "missing" or isinstance(e["input"], dict) else f", found {brief(e['input'])}"
            hint = next((f" ({said})" for form, said in ASKED.items() if form in e.get("ctx", {}).get("pattern", "")), "")
            if isinstance(e["input"], str) and e["type"] == "float_type":
                hint = " (YAML reads 5e-3 as text: write 5.0e-3)"
            if e["type"] == "extra_forbidden":
                keys = {name for each in Record.__subclasses__() for name in each.model_fields}
                near = difflib.get_close_matches(str(e["loc"][-1])[:100], sorted(keys), 1)
                hint = f" (no such key{f'; did you mean {near[0]}?' if near else ''})"
            lines.append(f"  {key}: {e['msg']}{found}{hint}")
        lines += [f"  and {more} more"] if (more := error.error_count() - MOST_ERRORS) > 0 else []
        raise ParamsError(f"{where}:\n" + "\n".join(lines)) from error


def profile_path(name: str) -> Path:
    """A profile by name (`params/NAME.yaml`), or by the path of a YAML file. ParamsError for what is neither."""
    if isinstance(name, str) and name.endswith(".yaml") and "\0" not in name:
        return Path(name)
    return PARAMS / f"{_plain_name('profile', name, ' or the path of a .yaml file')}.yaml"


def as_asked(name: str) -> str:
    """The name of a profile, or the whole path of its file: the same from any folder."""
    return str(profile_path(name).resolve()) if name.endswith(".yaml") else name


def _plain_name(what: str, name: object, or_else: str = "") -> str:
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name)):
        raise ParamsError(f"{what}: expected a name in letters, digits, _ and -{or_else}, found {brief(name)}")
    return name


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


def extended(name: str, values: Mapping[str, Any]) -> Profile:
    """The profile that a file with these values would be, which extends the one of that name. Errors: ParamsError."""
    return validated(Profile, _overlay(_merged(name), dict(values)), "the profile")


def changes(profile: Profile) -> list[str]:
    """What it says otherwise than the profile that it extends: `generator_tuning.margin 0.5 (1.0)`. Errors: ParamsError."""
    def differ(one: object, other: object, at: str) -> Iterator[str]:
        if isinstance(one, dict) and isinstance(other, dict):
            for key in {**other, **one}:
                yield from differ(one.get(key), other.get(key), f"{at}.{key}")
        elif one != other:
            yield f"{at[1:]} {_words(one)} ({_words(other)})"

    if profile.extends is None:
        return []
    said = {"profile", "about", "extends"}
    base = load_profile(profile.extends).model_dump(exclude=said)
    return list(differ(profile.model_dump(exclude=said), base, ""))


def _words(value: object) -> str:
    if isinstance(value, dict):
        return "some" if value else "nothing"
    return "nothing" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


_BESIDE: dict[Path, None] = {}  # folders of tasks beside profiles that were loaded by their path, the latest last


def task_path(name: str) -> Path:
    """Where a task's file is: in params/tasks, else beside a profile that was loaded by its path."""
    known = PARAMS / "tasks" / f"{_plain_name('task', name)}.yaml"
    beside = (folder / f"{name}.yaml" for folder in reversed(_BESIDE))
    return known if known.is_file() else next((path for path in beside if path.is_file()), known)


def load_task(name: str) -> TaskFile:
    """The task of that name (see `task_path`), checked. Errors: ParamsError."""
    path = task_path(name)
    task = validated(TaskFile, read_yaml(path), path)
    if task.task != name:
        raise TaskError(f"{path}: task: expected {name}, found {task.task}")
    return task
