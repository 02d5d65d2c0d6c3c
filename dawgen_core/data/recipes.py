"""What goes into each kind of artifact, as far as it can be told without loading a model.

Notebooks put this (and more) into a result's inputs; readers hold a result against it, so that one made under
other settings, from other rows or from an older upstream is never used.
"""

from pathlib import Path

from dawgen_core.artifacts import NO_GENERATOR, NOTEBOOKS, Runs, digest, digest_of, read_json
from dawgen_core.params import Profile
from dawgen_core.tasks import Task


def texts(task: Task) -> str:
    """Digest of everything in a task file that results depend on (rows are digested where they are read)."""
    return digest_of(task.model_dump(exclude={"title", "sources"}))


def upstream(folder: Path, kind: str) -> str:
    """Digest of the result that another one is made from. ArtifactError names the notebook when there is none."""
    read_json(folder / "result.json", made_by=NOTEBOOKS[kind])
    return digest(folder / "result.json")


def few_shot(study: Profile, task: Task, seed: int) -> dict:
    """Of the real rows of one seed."""
    return {"task": texts(task), "source": study.source, "shots": study.shots, "seed": seed,
            "splits": study.ready_made_splits}  # fmt: skip


def generator(study: Profile, task: Task, runs: Runs, seed: int, kind: str) -> dict:
    """Of a tuned generator prompt."""
    return {"task": texts(task), "seed": seed, "kind": kind, "model": study.generator.model_dump(),
            "settings": study.generator_tuning.model_dump(exclude={"kinds", "stack"}),
            "few_shot": upstream(runs.few_shot(task.task, seed), "few_shot")}  # fmt: skip


def synthetic(study: Profile, task: Task, runs: Runs, seed: int, kind: str) -> dict:
    """Of generated rows, of those that an arm chose among them, or of released ones (which have no generator).

    Some arms tune a prompt: its settings and its model are an input of every arm."""
    if kind in study.curated:
        curation = study.generation.curation
        return {"kind": kind, "seed": seed, "arm": study.curated[kind], "kept_per_class": curation.kept_per_class,
                "model": study.classifier.model_dump(), "tuning": _budget(study),
                "rows": upstream(runs.synthetic(task.task, seed, curation.of), "synthetic")}  # fmt: skip
    if kind not in study.generator_tuning.kinds:
        return {"kind": kind, "seed": seed, "per_class": study.generation.per_class}
    settings = study.generation.model_dump(exclude={"curation"})  # what is chosen later changes nothing here
    return {"task": texts(task), "seed": seed, "kind": kind, "settings": settings,
            "generator": upstream(runs.generator(task.task, seed, kind), "generator")}  # fmt: skip


def condition(study: Profile, task: Task, runs: Runs, seed: int | None, generator_kind: str, method: str) -> dict:
    """Of a tuned or untuned condition."""
    used = [] if seed is None else [(runs.few_shot(task.task, seed), "few_shot")]
    used += [] if generator_kind == NO_GENERATOR else [(runs.synthetic(task.task, seed, generator_kind), "synthetic")]
    settings = _budget(study)
    if method in study.methods:  # one that trains nothing has no budget
        budget = settings if seed is not None else {key: settings[key] for key in ("max_tokens", "shorten")}
        settings = {"method": study.methods[method], "budget": budget}
    return {"task": texts(task), "seed": seed, "generator": generator_kind, "method": method,
            "model": study.classifier.model_dump(), "settings": settings,
            "rows": {runs.name(folder): upstream(folder, kind) for folder, kind in used}}  # fmt: skip


def _budget(study: Profile) -> dict:
    """What tuning a prompt depends on."""
    return study.prompt_tuning.model_dump(exclude={"strategies", "stack", "eval_batch_size"})
