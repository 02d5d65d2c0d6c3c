"""The twins of the paper's tasks and the development tasks: their settings, read from tasks.yaml (explained there)."""

import zlib
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from dawgen_core.params import Name, Record
from dawgen_core.pocket import oracle
from dawgen_core.pocket.edits import EDITS
from dawgen_core.pocket.language import Meaning, Question, parse_question, read_clauses
from dawgen_core.pocket.lexicon import SLOTS, lexicon
from dawgen_core.pocket.oracle import Relation

TASKS_FILE = Path(__file__).with_name("tasks.yaml")
Chance = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(gt=0)]
Side = tuple[Meaning, ...] | Question  # what one field of a pair says: sentences (one, as a rule), or a question
SLOT_FIELDS = Literal[SLOTS]


class Genre(Record):
    """What is talked about, and how."""

    domain: str
    style: Literal["caption", "report", "question"]


class Twin(Record):
    """One task of the pocket world; the keys are explained in tasks.yaml."""

    task: Name
    mirrors: str
    kind: Literal["statements", "clauses", "questions", "answers"]
    genres: list[Genre]
    labels: dict[Name, list[Literal["entailment", "contradiction", "neutral", "equivalent"]]]
    balance: dict[Name, Weight]
    fill: dict[SLOT_FIELDS, Chance]
    general: Chance
    denied: Chance = 0.0
    two_clauses: Chance = 0.0
    asked: dict[SLOT_FIELDS, Weight] = {}
    wording: dict[Literal["passive", "front", "early", "by_no"], Chance]
    reorder: Chance
    reword: dict[Name, Chance]
    edits: dict[Name, dict[str, Weight]]

    @model_validator(mode="after")
    def _whole(self) -> "Twin":
        for key in ("balance", "reword", "edits"):
            if set(found := getattr(self, key)) != set(self.labels):
                raise ValueError(f"{key}: expected one entry for each of {list(self.labels)}, found {list(found)}")
        known = {*EDITS, "ask"}
        used = {name for recipes in self.edits.values() for recipe in recipes for name in recipe.split()}
        if not used <= known:
            raise ValueError(f"edits: expected edits of {sorted(known)}, found {sorted(used - known)}")
        if (self.kind in ("questions", "answers")) != bool(self.asked):
            raise ValueError("asked: expected for tasks with questions, and for them only")
        return self

    @property
    def number(self) -> int:
        """A small number of its own, from its name: its random streams do not move when a task is added."""
        return zlib.crc32(self.task.encode()) % 100_003

    def label_of(self, relation: Relation) -> str:
        """What the task calls this relation."""
        for label, relations in self.labels.items():
            if relation.value in relations:
                return label
        raise ValueError(f"{self.task}: expected a relation of {self.labels}, found {relation.value}")

    def relation(self, first: Side, second: Side) -> Relation:
        """The oracle's word on two sides of this task."""
        if self.kind == "questions":
            return oracle.question_relation(first, second)
        if self.kind == "answers":
            return Relation.entailment if oracle.answers(second[0], first) else Relation.neutral
        return oracle.relation_of_clauses(first, second[0])

    def read(self, text: str, field: Literal["sentence1", "sentence2"]) -> tuple[Side, set[str]]:
        """(what a text of this field says, its styles). NotInGrammar where it says nothing."""
        if self.kind == "questions" or (self.kind, field) == ("answers", "sentence1"):
            return parse_question(text), {"question"}
        meanings, styles = read_clauses(text)
        most = 2 if (self.kind, field) == ("clauses", "sentence1") else 1
        if len(meanings) > most:
            raise ValueError(f"{self.task}, {field}: expected {most} clauses at most, found {len(meanings)}")
        return meanings, styles


@cache
def twins() -> dict[str, Twin]:
    """All tasks by name, in the order of tasks.yaml. ValueError with the task and the key where one is not right."""
    out = {}
    for name, values in yaml.safe_load(TASKS_FILE.read_text(encoding="utf-8"))["tasks"].items():
        try:
            out[name] = Twin(task=name, **values)
        except ValidationError as error:
            raise ValueError(f"tasks.yaml, {name}: {error}") from error
    return out


def free_domains() -> list[str]:
    """The domains that no task uses: there, pairs may be drawn for pretraining."""
    used = {genre.domain for t in twins().values() for genre in t.genres}
    return [domain for domain in lexicon().domains if domain not in used]


def twin(task: "str | Twin") -> Twin:
    """The twin of this name; a Twin is returned as it is, so that tasks outside the file can be drawn too."""
    if isinstance(task, Twin):
        return task
    if task not in twins():
        raise ValueError(f"task: expected one of {list(twins())}, found {task!r}")
    return twins()[task]
