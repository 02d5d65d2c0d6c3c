"""Ours started from PPT's prompt: pre-trained on next sentences, then real and DawGen pairs with surgery."""

from dawgen_core.methods import ppt
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.prompted import tune_from

SEEDED = True
READS = ("adjacent", "synthetic")
Settings = ppt.Settings


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: the prompt."""
    return tune_from(ppt.pretrained(given, settings), given, "paired_surgery", given.encoded(given.lent.synthetic()))
