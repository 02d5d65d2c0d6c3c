"""PPT (Gu et al. 2022): the prompt is pre-trained on a next-sentence task over unlabelled text, then tuned.

In the task's own template: did the second sentence stand after the first in a text? Two classes, told by the task's label
words ("yes" and "no" where it has them); the original has a third for pairs (another sentence of the same text), which
two-sentence texts cannot give, so that a word for "neutral" is not pre-trained.
"""

import pandas as pd
import torch

from dawgen_core import samplers
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.prompted import Source, tune_from, tuned_on
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
    goes_on = next((label for label in labels if words[label] == "yes"), None)
    does_not = next((label for label in labels if words[label] == "no"), None)
    goes_on = goes_on or next(label for label in labels if label != does_not)
    does_not = does_not or next(label for label in reversed(labels) if label != goes_on)
    rows = rows.iloc[torch.randperm(len(rows), generator=samplers.seeded(given.seed, samplers.REAL)).tolist()]
    rows = rows.head(settings.pairs + max(10, settings.pairs // 10)).reset_index(drop=True)
    swapped = rows.assign(sentence2=rows["sentence2"].shift(-1, fill_value=rows["sentence2"][0]), label=does_not)
    odd = pd.Series(range(len(rows))) % 2 == 1
    rows = pd.concat([rows.assign(label=goes_on)[~odd], swapped[odd]]).sort_index()
    return given.encoded(rows.head(settings.pairs)), given.encoded(rows.iloc[settings.pairs :])


def pretrained(given: Given, settings: Settings) -> Source:
    """After pre-training, once for all methods of a task and seed."""

    def make() -> Source:
        start_PD = initial_prompt(given.classifier, given.limits.prompt_tokens)
        return tuned_on(start_PD, given, *next_sentences(given, settings), given.words(), settings.source_steps)

    return given.lent.once("ppt", given.task.task, settings, make)


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: the prompt."""
    return tune_from(pretrained(given, settings), given)
