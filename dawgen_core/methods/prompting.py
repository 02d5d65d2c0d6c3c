"""Prompting: the frozen classifier reads template and fields, nothing is trained (row "Prompting" of Table 1)."""

from dawgen_core import tuning
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.params import Record

SEEDED = False


class Settings(Record):
    """None."""


def run(given: Given, settings: Settings) -> Outcome:
    """Without any soft prompt. Trainable numbers: 0. Draws nothing at random."""
    rows, size = given.encoded(given.test), given.limits.eval_batch_size
    return Outcome({"best": tuning.predict(None, [rows], given.classifier, given.words(), size)[0]}, 0)
