"""The data card of synthetic rows: what they are, how they were made, what they are not. Same rows, same text."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from dawgen_core.artifacts import replacing
from dawgen_core.data.sources import Sentences, TaskFile
from dawgen_core.data.synthetic import REASONS
from dawgen_core.params import Profile

COUNTED = ("candidates", "accepted", "passed", "topped_up", "attempts", "closed", "copies", "duplicates")
USE = """\
- Made to tune small prompts in a study of this method, alone or beside a few labelled pairs.
- Not a test set: nothing is measured on these rows."""
LIMITS = """\
- A label is what the generator was asked for; nobody checked that the pair deserves it.
- Sentences may be untrue, unfair or broken: they carry what the model and its first sentences carry.
- The terms of the model and of the corpus of first sentences apply."""


Counts = Mapping[str, Mapping[str, int]]


def write(
    folder: Path, task: TaskFile, study: Profile, kind: str, seed: int, counts: Counts,
    figures: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """README.md beside synthetic.parquet; its front matter lets `datasets.load_dataset(folder)` read that file alone.

    counts: what was counted per label (`synthetic.generate`, `beyond.curation`); at least `accepted`.
    figures: what an audit found, by name, where there was one.
    """
    front = {
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "synthetic.parquet"}]}],
        "task_categories": ["text-classification"], "tags": ["synthetic"],
    }  # fmt: skip
    arm, of = study.curated.get(kind), study.generation.curation.of if kind in study.curated else kind
    own = of in study.generator_tuning.kinds
    made = _made(task, study, of, seed) if own else [_released(kind, seed)]
    lines = [f"---\n{yaml.safe_dump(front, sort_keys=False)}---", f"# {task.title}: synthetic pairs, {kind}, seed {seed}",
             "**Synthetic.** A language model wrote these rows; no person did.",
             *_warning(study, own), "## Labels", _table(counts),
             "## How they were made", _list(made + ([_curated(arm, of, counts)] if arm else [])),
             "## Intended use", USE, "## Licence of the first sentences", _licence(task, study, own)]  # fmt: skip
    lines += ["## Audit", _list([f"{name}: {found}" for name, found in figures.items()])] if figures else []
    lines += ["## Limits", LIMITS]
    with replacing(folder / "README.md") as part:
        part.write_text("\n\n".join([lines[0], *(line.replace("<", "&lt;") for line in lines[1:])]) + "\n", encoding="utf-8")


def _warning(study: Profile, own: bool) -> list[str]:
    return ["**Random model.** Its weights were never trained: the sentences mean nothing, only their bookkeeping does."
            ] if own and study.generator.is_tiny else []  # fmt: skip


def _table(counts: Counts) -> str:
    known = set.intersection(*(set(count) for count in counts.values()))
    names, judged = [name for name in COUNTED if name in known], ["rejects"] * ("attempts" in known)
    rows = [["label", *names, *judged]]
    rows.append(["---"] * len(rows[0]))
    for label, count in counts.items():
        rejects = ", ".join(f"{reason} {count[reason]}" for reason in REASONS if count.get(reason)) or "none"
        rows.append([label, *(str(count[name]) for name in names), *([rejects] if judged else [])])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _made(task: TaskFile, study: Profile, kind: str, seed: int) -> list[str]:
    settings, firsts = study.generation, task.sources[study.source].first_sentences
    given = f"given, from {_corpus(firsts)}, {firsts.min_words} to {firsts.max_words} words"
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


def _released(kind: str, seed: int) -> str:
    return f"released by others as {kind}, seed {seed}; the first rows of each label, in their order"


def _curated(arm: str, of: str, counts: Counts) -> str:
    n, filled = (sum(count.get(name, 0) for count in counts.values()) for name in ("accepted", "topped_up"))
    known = all("topped_up" in count for count in counts.values())
    return f"curation: arm {arm} of {of}; {n} rows kept" + (
        f", {filled} of them topped up (its filter had dropped them)" if known else "")  # fmt: skip


def _corpus(firsts: Sentences) -> str:
    return firsts.hub.path if firsts.hub else firsts.file or "the pocket world"


def _licence(task: TaskFile, study: Profile, own: bool) -> str:
    source = task.sources[study.source]
    if own and task.generator.mode == "both":
        return "None were given: the generator wrote them too."
    if not (own or source.twin):
        return "Not stated."  # whoever released the rows chose them
    return f"{_corpus(source.first_sentences)}: {source.first_sentences.licence or 'not stated'}."
