"""Prompting with contextual calibration (Zhao et al. 2021): a class's score over what the template alone gives it.

The model's answer to rows without content ("N/A", nothing, "[MASK]" in both fields) shows its bias towards a label word; its
mean over the three is taken away in log space.
"""

import pandas as pd

from dawgen_core import tuning
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.params import Record

SEEDED = False
WITHOUT_CONTENT = ("N/A", "", "[MASK]")


class Settings(Record):
    """None."""


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: 0. Draws nothing at random."""
    empty = pd.DataFrame({"sentence1": WITHOUT_CONTENT, "sentence2": WITHOUT_CONTENT, "label": given.task.labels[0]})
    sets = [given.encoded(given.test), given.encoded(empty)]
    test_BC, empty_BC = tuning.predict(None, sets, given.classifier, given.words(), given.limits.eval_batch_size)
    bias_C = empty_BC.softmax(-1).mean(0).log()
    return Outcome({"best": test_BC.log_softmax(-1) - bias_C}, 0)
