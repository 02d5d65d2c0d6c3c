"""What every compared method is given and gives back: the same signature, rows, limits and selection for all."""

from dataclasses import dataclass, field

import pandas as pd
import torch
from torch import Tensor

from dawgen_core import backbones
from dawgen_core.backbones import Classifier
from dawgen_core.data.encoding import encode_pairs
from dawgen_core.params import PromptTuning
from dawgen_core.prompts import EncodedPairs
from dawgen_core.tasks import ClassifierTexts, Task


@dataclass(frozen=True)
class Given:
    """What every method gets: the same rows, the same frozen classifier, the same limits. train and dev are empty for a
    method that draws nothing at random (its seed is None: one result for all seeds)."""

    task: Task
    classifier: Classifier
    train: pd.DataFrame
    dev: pd.DataFrame
    test: pd.DataFrame
    seed: int | None
    limits: PromptTuning  # max_tokens, shorten, eval_batch_size

    def encoded(self, rows: pd.DataFrame, texts: ClassifierTexts | None = None) -> EncodedPairs:
        """Rows in the task's template, or in that of other texts."""
        task = self.task.model_copy(update={"classifier": texts or self.task.classifier})
        return encode_pairs(task, self.classifier, rows, max_tokens=self.limits.max_tokens, shorten=self.limits.shorten)

    def words(self, texts: ClassifierTexts | None = None) -> Tensor:
        """Token ids [C] of the label words."""
        chosen = (texts or self.task.classifier).verbalizer
        ids = [backbones.word_id(self.classifier.tokenizer, chosen[c], self.classifier.name) for c in self.task.labels]
        return torch.tensor(ids, device=self.classifier.device)


@dataclass(frozen=True)
class Outcome:
    """Label-word logits [B, C] of the test rows (`best`: chosen on dev; `last`: after the last step), trained numbers."""

    logits: dict[str, Tensor]
    trainable: int
    metrics: dict[str, float] = field(default_factory=dict)
