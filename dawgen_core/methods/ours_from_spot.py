"""Ours started from SPoT's prompt: tuned on a source task, then real and DawGen pairs with surgery."""

from dawgen_core.methods import spot
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.prompted import tune_from

SEEDED = True
READS = ("source", "synthetic")
Settings = spot.Settings


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: the prompt."""
    return tune_from(spot.transferred(given, settings), given, "paired_surgery", given.encoded(given.lent.synthetic()))
