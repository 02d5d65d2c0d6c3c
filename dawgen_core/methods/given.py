"""What every compared method is given and gives back: the same signature, rows, budget and selection for all."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pandas as pd
import torch
from torch import Tensor

from dawgen_core import backbones
from dawgen_core.backbones import Classifier
from dawgen_core.data.encoding import encode_pairs
from dawgen_core.params import PromptTuning, Record
from dawgen_core.prompts import EncodedPairs
from dawgen_core.tasks import ClassifierTexts, Task


@dataclass(frozen=True)
class Lent:
    """What a method may ask for beside the few-shot rows; each is read when it is called. Its `READS` names what it uses.

    unlabelled: pairs of the task without their labels. adjacent: pairs of sentences that stood one after the other in
    unlabelled text (same columns). source: (task, labelled rows to train on, to select on) of another task, plenty of them.
    synthetic: generated rows of this seed. once: keeps tensors that several methods of a seed share (made at first call).
    """

    unlabelled: Callable[[], pd.DataFrame]
    adjacent: Callable[[], pd.DataFrame]
    source: Callable[[], tuple[Task, pd.DataFrame, pd.DataFrame]]
    synthetic: Callable[[], pd.DataFrame]
    once: Callable[[str, str, Record, Callable[[], dict[str, Tensor]]], dict[str, Tensor]]


@dataclass(frozen=True)
class Given:
    """What every method gets: the same rows, the same frozen classifier, the same budget. train and dev are empty for a
    method that draws nothing at random (its seed is None: one result for all seeds)."""

    task: Task
    classifier: Classifier
    train: pd.DataFrame
    dev: pd.DataFrame
    test: pd.DataFrame
    seed: int | None
    limits: PromptTuning  # the budget: steps, rows of a batch, when dev is asked; max_tokens, shorten, eval_batch_size
    lent: Lent | None = None

    def encoded(self, rows: pd.DataFrame, texts: ClassifierTexts | None = None) -> EncodedPairs:
        """Rows in the task's template, or in that of other texts."""
        task = self.task.model_copy(update={"classifier": texts or self.task.classifier})
        return encode_pairs(task, self.classifier, rows, max_tokens=self.limits.max_tokens, shorten=self.limits.shorten)

    def numbers(self, rows: pd.DataFrame) -> list[int]:
        """Class numbers of labelled rows."""
        return [self.task.number(label) for label in rows["label"]]

    def words(self, texts: ClassifierTexts | None = None) -> Tensor:
        """Token ids [C] of the label words."""
        chosen = (texts or self.task.classifier).verbalizer
        ids = [backbones.word_id(self.classifier.tokenizer, chosen[c], self.classifier.name) for c in self.task.labels]
        return torch.tensor(ids, device=self.classifier.device)

    def of(self, task: Task) -> "Given":
        """The same for another task's texts and words."""
        return replace(self, task=task)

    def copy(self) -> Classifier:
        """A classifier of one's own to train, in float32: in bfloat16 a step of 3e-5 would round to nothing."""
        whole = Classifier(copy.deepcopy(self.classifier.model).float(), self.classifier.tokenizer, self.classifier.name)
        whole.model.requires_grad_(True)
        return whole


@dataclass(frozen=True)
class Outcome:
    """Label-word logits [B, C] of the test rows (`best`: chosen on dev; `last`: after the last step), trained numbers,
    and what was trained, as chosen on dev (`learner.Learner.load` takes it back)."""

    logits: dict[str, Tensor]
    trainable: int
    metrics: dict[str, float] = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict)
