"""The sweeps of a profile (`params/beyond/PROFILE.yaml`): which variants, and a table of what each gave."""

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import Field, ValidationError, model_validator

from dawgen_core import methods
from dawgen_core.beyond import damage
from dawgen_core.beyond.arms import Arms
from dawgen_core.data import profiles
from dawgen_core.data.sources import TaskFile
from dawgen_core.data.synthetic import CorpusError
from dawgen_core.params import PARAMS, Name, ParamsError, Positive, Profile, Record

Share = Annotated[float, Field(gt=0, le=1)]
OURS = "paired_surgery"


class Sweeps(Record):
    """Values of every sweep. shots and rows: labelled and synthetic pairs per class, each sweep with one number of steps for
    all, enough to read the most; shares: damaged pairs; generators and options: what is changed of the profile, by name;
    windows: places of the cache."""

    tasks: list[Name]
    seeds: list[Annotated[int, Field(ge=0)]]
    shots: list[Positive]
    shots_steps: Annotated[int, Field(ge=3)]
    labelled: list[Name]
    rows: list[Annotated[int, Field(ge=0)]]
    rows_steps: Annotated[int, Field(ge=3)]
    shares: list[Share]
    generators: dict[str, dict[str, Any]]
    options: dict[str, dict[str, dict[str, Any]]]
    windows: list[Positive]

    @model_validator(mode="after")
    def _possible(self) -> "Sweeps":
        sections = {key for change in self.options.values() for key in change}
        if not sections <= {"generator_tuning", "prompt_tuning"}:
            raise ValueError(f"options: expected generator_tuning and prompt_tuning, found {sorted(sections)}")
        return self


def path_of(profile: str) -> Path:
    return PARAMS / "beyond" / f"{profile}.yaml"


def load(study: Profile) -> Sweeps | None:
    """The sweeps of a profile, None where it has none. Errors: ParamsError."""
    path = path_of(study.profile)
    if not path.is_file():
        return None
    try:
        sweeps = Sweeps.model_validate(profiles.read_yaml(path))
    except ValidationError as error:
        lines = [f"{path}, {'.'.join(map(str, e['loc']))}: {e['msg']}, found {e['input']!r}" for e in error.errors()]
        raise ParamsError("\n".join(lines)) from error
    for name, found, known in (("tasks", sweeps.tasks, study.tasks), ("seeds", sweeps.seeds, study.seeds),
                               ("labelled", sweeps.labelled, list(study.methods))):  # fmt: skip
        if odd := [value for value in found if value not in known]:
            raise ParamsError(f"{path}, {name}: expected some of the profile's {known}, found {odd}")
    if needy := [name for name in sweeps.labelled if methods.method(name).reads]:
        raise ParamsError(f"{path}, labelled: expected methods that read few-shot rows alone, found {needy}")
    for overlay in [*sweeps.options.values(), *({"generator": one} for one in sweeps.generators.values())]:
        changed(study, overlay)
    return sweeps


def changed(study: Profile, overlay: dict[str, dict]) -> Profile:
    """The profile with entries of its sections changed; a generator is replaced. Errors: ParamsError."""
    values = study.model_dump()
    for section, entries in overlay.items():
        values[section] = entries if section == "generator" else values[section] | entries
    return profiles.validated(Profile, values, path_of(study.profile))


def with_pool(task: TaskFile, study: Profile, shots: int) -> TaskFile:
    """The task with a pool of twice these shots per class, where rows are drawn; a task with files stays as it is."""
    source = task.sources[study.source]
    if not source.twin:
        return task
    labels = dict.fromkeys(task.labels, 2 * shots)
    train = source.train.model_copy(update={"rows": sum(labels.values()), "labels": labels})
    return task.model_copy(update={"sources": task.sources | {study.source: source.model_copy(update={"train": train})}})


def run(study: Profile, sweeps: Sweeps, task: TaskFile, seeds: list[int], root: Path, code: str) -> pd.DataFrame:
    """All sweeps on one task and group of seeds: sweep, arm, x, method, task, seed, accuracy (and what else was seen).

    A variant whose generator cannot fill its set (texts that do not end, too many rejects) has no accuracy: NaN.
    """
    arms, out = Arms(study, task, seeds, root, code), []

    def add(sweep: str, arm: str, x: float, method: str, found: pd.DataFrame, **more) -> None:
        out.append(found.assign(sweep=sweep, arm=arm, x=x, method=method, task=task.task, **more))

    def written(sweep: str, arm: str, x: float, other: Profile, window: int | None = None) -> None:
        try:
            pairs = arms.pairs(other, window)
        except CorpusError as error:
            print(f"{sweep}, {arm}: {error}")
            add(sweep, arm, x, OURS, pd.DataFrame({"seed": seeds, "accuracy": float("nan")}))
        else:
            share = {"share": pairs["cache"].iloc[0]} if window else {}
            add(sweep, arm, x, OURS, arms.tuned(other, OURS, pairs), **_labels(pairs), **share)

    whole = arms.pairs(study)
    roomy = Arms(study, with_pool(task, study, max(sweeps.shots)), seeds, root, code)
    for shots in sweeps.shots:
        own = _longer(study.model_copy(update={"shots": shots}), sweeps.shots_steps)
        add("shots", "Prompt Tuning", shots, "real", roomy.tuned(own, "real", None))
        for name in sweeps.labelled:
            add("shots", name, shots, name, roomy.method(own, name, study.methods[name]))
        add("shots", "Ours", shots, OURS, roomy.tuned(own, OURS, roomy.pairs(own)))
    many = arms.pairs(changed(study, {"generation": {"per_class": max(sweeps.rows)}}))
    longer = _longer(study, sweeps.rows_steps)
    for n in sweeps.rows:
        few = many.groupby(["seed", "label"], sort=False).head(n) if n else None
        for strategy in ("paired", OURS):
            add("rows", strategy, n, strategy, arms.tuned(longer, strategy, few) if n else arms.tuned(longer, "real", None))
    for share in (0.0, *sweeps.shares):
        for kind in damage.DAMAGE:
            worse = damage.damaged(whole, kind, share) if share else whole
            for strategy in ("paired", OURS):
                add("damage", kind, share, strategy, arms.tuned(study, strategy, worse))
    for name, generator in sweeps.generators.items():
        other = changed(study, {"generator": generator})
        written("size", name, other.generator.shape["n_embd"], other)
    add("options", "as in the profile", 0, OURS, arms.tuned(study, OURS, whole), **_labels(whole))
    for number, (name, overlay) in enumerate(sweeps.options.items(), 1):
        written("options", name, number, changed(study, overlay))
    add("cache", "whole", 0, OURS, arms.tuned(study, OURS, whole), share=1.0, **_labels(whole))
    for window in sweeps.windows:
        written("cache", f"window {window}", window, study, window)
    return pd.concat(out, ignore_index=True)


def _longer(study: Profile, steps: int) -> Profile:
    return changed(study, {"prompt_tuning": {"steps": steps, "eval_every": steps}})


def _labels(pairs: pd.DataFrame) -> dict[str, float]:
    """Right labels and pairs in the grammar, where an oracle judged them."""
    return {name: float(pairs[name].astype(float).mean()) for name in ("label_right", "in_grammar") if name in pairs}
