"""SPoT with surgery: the source rows are kept and stand beside the real rows, where the synthetic ones would.

The authors said that surgery has no gradients to work on once a prompt is transferred; kept rows have them. Source rows
whose label word the target lacks are left out.
"""

from dawgen_core.methods import spot
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.prompted import in_words_of, tune_from

SEEDED = True
READS = ("source",)
Settings = spot.Settings


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: the prompt. Errors: ValueError where source and target share no label word."""
    start = spot.transferred(given, settings)
    task, train, _ = given.lent.source()
    return tune_from(start, given, "paired_surgery", in_words_of(given, task, given.of(task).encoded(train)))
