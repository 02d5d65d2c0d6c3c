"""A task: two text fields, labels, texts for both models, decoding."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dawgen_core.params import Name, Record, Title

MASK = "[MASK]"


class TaskError(ValueError):
    """A task's rows are not what its file says."""


class ClassifierTexts(Record):
    """What the classifier reads, and the word that stands for each label."""

    template: str
    verbalizer: dict[str, str]
    hand: "ClassifierTexts | None" = None  # the prompt of an expert, in a form that the classifier was trained on


class GeneratorTexts(Record):
    """The words that each label's prompt starts from."""

    control_code: str
    prefix: dict[str, str]
    infix: str
    mode: Literal["given_first", "both"]


class Decode(Record):
    """Decoding of one label; see `samplers.choose_token`."""

    temperature: Annotated[float, Field(ge=0)] = 0.0
    top_k: Annotated[int, Field(ge=0)] = 0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    repetition_penalty: Annotated[float, Field(ge=1)] = 1.0


Repeats = Literal["keep", "reject", "report"]  # taken unseen, not taken, or taken and counted


class Task(Record):
    """What both models read and write for one task; `data.sources.TaskFile` adds where its rows are."""

    task: Name
    title: Title
    labels: list[Name]
    classifier: ClassifierTexts
    generator: GeneratorTexts
    decoding: dict[str, Decode]
    reject_containing: list[str]
    on_copy: Repeats = "report"  # sentence 2 equals sentence 1
    on_duplicate: Repeats = "report"  # sentence 2 was taken before for the same label

    @model_validator(mode="after")
    def _complete(self) -> "Task":
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels: expected two or more different names, found {self.labels}")
        read = {"classifier": self.classifier} | ({"classifier.hand": hand} if (hand := self.classifier.hand) else {})
        texts = {f"{key}.verbalizer": value.verbalizer for key, value in read.items()}
        texts |= {"generator.prefix": self.generator.prefix, "decoding": self.decoding}
        for key, value in texts.items():
            if set(value) != set(self.labels):
                raise ValueError(f"{key}: expected one entry for each of {self.labels}, found {list(value)}")
        for key, value in read.items():
            slots, words = sorted(re.findall(r"\{[^{}]*\}|\[MASK\]", value.template)), list(value.verbalizer.values())
            if slots != [MASK, "{first}", "{second}"]:
                raise ValueError(f"{key}.template: expected {{first}}, {{second}} and {MASK} exactly once, found {slots}")
            if len(set(words)) != len(words):
                raise ValueError(f"{key}.verbalizer: expected a different word for each label, found {words}")
        if self.generator.mode == "both" and (greedy := [k for k, d in self.decoding.items() if d.temperature == 0]):
            raise ValueError("decoding: expected a temperature above 0 for every label, for with mode `both` a greedy "
                             f"generator writes one sentence again and again; found 0 for {greedy}")  # fmt: skip
        return self

    def number(self, label: str) -> int:
        return self.labels.index(label)
