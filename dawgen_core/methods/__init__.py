"""Compared methods, one short file each: `Settings`, `SEEDED` (False: one result for all seeds), `run(given, settings)`."""

from types import ModuleType

from pydantic import ValidationError

from dawgen_core.methods import fine_tuning, hand_prompt, prompting
from dawgen_core.params import ParamsError, Profile, Record

METHODS: dict[str, ModuleType] = {"prompting": prompting, "hand_prompt": hand_prompt, "fine_tuning": fine_tuning}


def method(name: str) -> ModuleType:
    """The file of a method. Errors: ParamsError."""
    if name not in METHODS:
        raise ParamsError(f"methods: expected some of {', '.join(METHODS)}, found {name!r}")
    return METHODS[name]


def settings_of(profile: Profile) -> dict[str, Record]:
    """The checked settings of every method of a profile. Errors: ParamsError with the key and what was found."""
    found = {}
    for name, values in profile.methods.items():
        try:
            found[name] = method(name).Settings.model_validate(values)
        except ValidationError as error:
            lines = [f"methods.{name}.{e['loc'][0]}: {e['msg']}, found {e['input']!r}" for e in error.errors()]
            raise ParamsError("\n".join(lines)) from error
    return found
