"""The data card of synthetic rows: what they are, how they were made, what they are not. Same rows, same text."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from dawgen_core.artifacts import replacing
from dawgen_core.data.sources import TaskFile
from dawgen_core.data.synthetic import REASONS
from dawgen_core.params import Profile

LIMITS = """\
- A label is what the generator was asked for; nobody checked that the pair deserves it.
- Sentences may be untrue, unfair or broken: they carry what the model and its first sentences carry.
- The terms of the model and of the corpus of first sentences apply.
- Made to train small prompts in a study of this method; not a test set."""


Counts = Mapping[str, Mapping[str, int]]


def write(folder: Path, task: TaskFile, study: Profile, kind: str, seed: int, counts: Counts) -> None:
    """README.md beside synthetic.parquet; its front matter lets `datasets.load_dataset(folder)` read that file alone.

    counts: what was counted per label (`synthetic.generate`); at least `accepted`.
    """
    front = {
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "synthetic.parquet"}]}],
        "task_categories": ["text-classification"], "tags": ["synthetic"],
    }  # fmt: skip
    own = kind in study.generator_tuning.kinds
    lines = [f"---\n{yaml.safe_dump(front, sort_keys=False)}---", f"# {task.title}: synthetic pairs, {kind}, seed {seed}",
             "**Synthetic.** A language model wrote these rows; no person did.",
             *_warning(study, own), "## Labels", _table(counts), "## How they were made",
             "\n".join(f"- {line}" for line in (_made(task, study, kind, seed) if own else _released(kind, seed))),
             "## Limits", LIMITS]  # fmt: skip
    with replacing(folder / "README.md") as part:
        part.write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def _warning(study: Profile, own: bool) -> list[str]:
    return ["**Random model.** Its weights were never trained: the sentences mean nothing, only their bookkeeping does."
            ] if own and study.generator.is_tiny else []  # fmt: skip


def _table(counts: Counts) -> str:
    known = set.intersection(*(set(count) for count in counts.values()))
    names = [name for name in ("accepted", "attempts", "closed", "copies", "duplicates") if name in known]
    rows = [["label", *names, "rejects"], ["---"] * (len(names) + 2)]
    for label, count in counts.items():
        rejects = ", ".join(f"{reason} {count[reason]}" for reason in REASONS if count.get(reason)) or "none"
        rows.append([label, *(str(count[name]) for name in names), rejects])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _made(task: TaskFile, study: Profile, kind: str, seed: int) -> list[str]:
    settings, firsts = study.generation, task.sources[study.source].first_sentences
    corpus = firsts.hub.path if firsts.hub else firsts.file or "the pocket world"
    given = f"given, from {corpus}, {firsts.min_words} to {firsts.max_words} words"
    rules = {label: ", ".join(f"{k} {v}" for k, v in rule.model_dump().items()) for label, rule in task.decoding.items()}
    return [
        f"generator: {study.generator.model}{' (random weights)' if study.generator.is_tiny else ''}, frozen, under a "
        f"{study.generator_tuning.prompt} prompt per label, tuned as {kind} on {study.shots} pairs per class",
        f"profile {study.profile}, task {task.task}, seed {seed}",
        f"first sentences: {'generated too' if task.generator.mode == 'both' else given}",
        *(f"decoding, {label}: {rule}" for label, rule in rules.items()),
        f"at most {settings.max_new_tokens} new tokens; a sentence without an end: {settings.on_length}",
        f"second sentence equal to the first: {task.on_copy}; written before for its label: {task.on_duplicate}",
        f"refused when a sentence holds one of {task.reject_containing!r}",
    ]


def _released(kind: str, seed: int) -> list[str]:
    return [f"released by others as {kind}, seed {seed}; the first rows of each label, in their order"]
