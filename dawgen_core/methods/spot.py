"""SPoT (Vu et al. 2022): a prompt tuned on a source task with plenty of labels is where the target's prompt starts."""

from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.prompted import Source, tune_from, tuned_on
from dawgen_core.params import Positive, Record
from dawgen_core.prompts import initial_prompt

SEEDED = True
READS = ("source",)


class Settings(Record):
    """Steps on the source task."""

    source_steps: Positive


def transferred(given: Given, settings: Settings) -> Source:
    """After the source task, once for all its targets and methods of a seed."""
    task, train, dev = given.lent.source()

    def make() -> Source:
        start_PD, there = initial_prompt(given.classifier, given.limits.prompt_tokens), given.of(task)
        return tuned_on(start_PD, there, there.encoded(train), there.encoded(dev), there.words(), settings.source_steps)

    return given.lent.once("spot", task.task, settings, make)


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: the prompt."""
    return tune_from(transferred(given, settings), given)
