"""SPoT (Vu et al. 2022): a prompt tuned on a source task with plenty of labels is where the target's prompt starts."""

import torch

from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.prompted import tune_from, tuned_on
from dawgen_core.params import Positive, Record
from dawgen_core.prompts import initial_prompt

SEEDED = True
READS = ("source",)


class Settings(Record):
    """Steps on the source task."""

    source_steps: Positive


def transferred(given: Given, settings: Settings) -> torch.Tensor:
    """P after the source task, once for all its targets and their seeds."""
    task, train, dev = given.lent.source()

    def make() -> dict[str, torch.Tensor]:
        start_PD = initial_prompt(given.classifier, given.limits.prompt_tokens)
        there = given.of(task)
        rows, dev_rows = there.encoded(train), there.encoded(dev)
        return {"soft_prompt": tuned_on(start_PD, there, rows, dev_rows, there.words(), settings.source_steps)}

    return given.lent.once("spot", task.task, settings, make)["soft_prompt"]


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: the prompt."""
    return tune_from(transferred(given, settings), given)
