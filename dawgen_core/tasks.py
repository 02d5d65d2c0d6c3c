"""A task: two text fields, labels, texts for both models, decoding, and where its rows are (`data.rows` reads them)."""

import re
from string import Formatter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dawgen_core.params import PARAMS, Name, Positive, Record, read_yaml, validated

MASK = "[MASK]"


class TaskError(ValueError):
    """A task's rows are not what its file says."""


class ClassifierTexts(Record):
    """What the classifier reads, and the word that stands for each label."""

    template: str
    verbalizer: dict[str, str]


class GeneratorTexts(Record):
    """The words that each label's prompt starts from."""

    control_code: str
    prefix: dict[str, str]
    infix: str
    mode: Literal["given_first"]


class Decode(Record):
    """Decoding of one label; see `samplers.Decoding`."""

    temperature: Annotated[float, Field(ge=0)] = 0.0
    top_k: Annotated[int, Field(ge=0)] = 0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    repetition_penalty: Annotated[float, Field(ge=1)] = 1.0


class Rows(Record):
    """One set of labelled pairs: a file below the rows folder, or a split of the hub data set; expected counts."""

    file: str | None = None
    split: str | None = None
    rows: Positive | None = None
    labels: dict[str, int] | None = None


class Hub(Record):
    """A data set on the Hugging Face hub, by name, or a local folder that `datasets.load_dataset` reads."""

    path: str
    name: str | None = None
    revision: str | None = None


class Sentences(Record):
    """First sentences: lines of a text file, or one field of labelled rows (labels unused); n_lines is checked."""

    file: str | None = None
    hub: Hub | None = None
    split: str | None = None
    field: str | None = None
    n_lines: Positive | None = None
    min_words: Positive
    max_words: Positive

    @model_validator(mode="after")
    def _one_place(self) -> "Sentences":
        if (self.file is None) == (self.hub is None) or (self.hub and not (self.split and self.field)):
            raise ValueError("first_sentences: expected a file, or hub with split and field")
        if self.min_words > self.max_words:
            raise ValueError(f"min_words: expected at most max_words, found {self.min_words} and {self.max_words}")
        return self


class Source(Record):
    """One place where a task's rows are, with their expected counts."""

    shown_as: str  # printed in every table
    hub: Hub | None = None
    columns: dict[Literal["sentence1", "sentence2", "label"], str]
    label_names: dict[str, str] | None = None  # raw label -> label of the task
    drop_labels: list[str] = []  # rows without a gold label
    train: Rows
    test: Rows
    ready_made: str | None = None  # e.g. kshot/mrpc/16-{seed}/{split}.jsonl.gz
    synthetic: dict[Name, str] = {}  # released synthetic rows, e.g. fewgen/mrpc/16-{seed}.jsonl.gz
    synthetic_per_class: Positive | None = None
    first_sentences: Sentences

    @model_validator(mode="after")
    def _whole(self) -> "Source":
        if set(self.columns) != {"sentence1", "sentence2", "label"}:
            raise ValueError("columns: expected sentence1, sentence2 and label")
        patterns = {"ready_made": self.ready_made, **{f"synthetic.{k}": v for k, v in self.synthetic.items()}}
        for key, pattern in patterns.items():
            wanted = {"seed", "split"} if key == "ready_made" else {"seed"}
            if pattern is not None and {name for _, name, *_ in Formatter().parse(pattern) if name} != wanted:
                raise ValueError(f"{key}: expected the places {sorted(wanted)} in braces, found {pattern!r}")
        place = "split" if self.hub else "file"
        for name in ("train", "test"):
            if getattr(getattr(self, name), place) is None:
                raise ValueError(f"{name}.{place}: expected a value")
        return self


class Task(Record):
    """One task file."""

    task: Name
    title: str
    labels: list[Name]
    classifier: ClassifierTexts
    generator: GeneratorTexts
    decoding: dict[str, Decode]
    reject_containing: list[str]
    sources: dict[Literal["embedded", "local", "hub"], Source]

    @model_validator(mode="after")
    def _complete(self) -> "Task":
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels: expected two or more different names, found {self.labels}")
        texts = {"classifier.verbalizer": self.classifier.verbalizer, "generator.prefix": self.generator.prefix,
                 "decoding": self.decoding}  # fmt: skip
        for source, value in self.sources.items():
            for part in ("train", "test"):
                if (counts := getattr(value, part).labels) is not None:
                    texts[f"sources.{source}.{part}.labels"] = counts
        for key, value in texts.items():
            if set(value) != set(self.labels):
                raise ValueError(f"{key}: expected one entry for each of {self.labels}, found {list(value)}")
        slots = sorted(re.findall(r"\{\w*\}|\[MASK\]", self.classifier.template))
        if slots != [MASK, "{first}", "{second}"]:
            raise ValueError(f"classifier.template: expected {{first}}, {{second}} and {MASK} exactly once, found {slots}")
        words = list(self.classifier.verbalizer.values())
        if len(set(words)) != len(words):
            raise ValueError(f"classifier.verbalizer: expected a different word for each label, found {words}")
        return self

    def number(self, label: str) -> int:
        return self.labels.index(label)


def load_task(name: str) -> Task:
    """The task of `params/tasks/NAME.yaml`, checked. Errors: ParamsError."""
    path = PARAMS / "tasks" / f"{name}.yaml"
    task = validated(Task, read_yaml(path), path)
    if task.task != name:
        raise TaskError(f"{path}: task: expected {name}, found {task.task}")
    return task
