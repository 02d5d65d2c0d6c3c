"""PPT (Gu et al. 2022): the prompt is pre-trained on a next-sentence task over unlabelled text, then tuned.

In the task's own template: did the second sentence stand after the first in a text? Our reading of "next sentence" for
pairs: two classes, told by the task's first and last label word ("yes" and "no" where it has them).
"""

import pandas as pd
import torch

from dawgen_core import samplers
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.prompted import tune_from, tuned_on
from dawgen_core.params import Positive, Record
from dawgen_core.prompts import EncodedPairs, initial_prompt

SEEDED = True
READS = ("adjacent",)


class Settings(Record):
    """Steps of pre-training; pairs of adjacent sentences to pre-train on (a tenth more to select on)."""

    source_steps: Positive
    pairs: Positive


def next_sentences(given: Given, settings: Settings) -> tuple[EncodedPairs, EncodedPairs]:
    """(train, dev): half adjacent pairs, half first sentences with another text's second; class numbers of the task.

    Errors: ValueError when there is too little text.
    """
    rows = given.lent.adjacent()
    if len(rows) < settings.pairs + 10:
        raise ValueError(f"ppt.pairs: expected at least {settings.pairs + 10} adjacent sentences, found {len(rows)}")
    words, labels = given.task.classifier.verbalizer, given.task.labels
    goes_on, does_not = (next((label for label in labels if words[label] == word), default)
                         for word, default in (("yes", labels[0]), ("no", labels[-1])))  # fmt: skip
    rows = rows.iloc[torch.randperm(len(rows), generator=samplers.seeded(0, samplers.REAL)).tolist()]
    rows = rows.head(settings.pairs + max(10, settings.pairs // 10)).reset_index(drop=True)
    swapped = rows.assign(sentence2=rows["sentence2"].shift(-1, fill_value=rows["sentence2"][0]), label=does_not)
    odd = pd.Series(range(len(rows))) % 2 == 1
    rows = pd.concat([rows.assign(label=goes_on)[~odd], swapped[odd]]).sort_index()
    return given.encoded(rows.head(settings.pairs)), given.encoded(rows.iloc[settings.pairs :])


def pretrained(given: Given, settings: Settings) -> torch.Tensor:
    """P after pre-training, once for all seeds of a task."""
    def make() -> dict[str, torch.Tensor]:
        start_PD = initial_prompt(given.classifier, given.limits.prompt_tokens)
        rows, dev = next_sentences(given, settings)
        return {"soft_prompt": tuned_on(start_PD, given, rows, dev, given.words(), settings.source_steps)}

    return given.lent.once("ppt", given.task.task, settings, make)["soft_prompt"]


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: the prompt."""
    return tune_from(pretrained(given, settings), given)
