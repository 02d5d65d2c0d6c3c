"""PPT with surgery: the next-sentence pairs are kept and stand beside the real rows, where the synthetic ones would.

The authors said that surgery has no gradients to work on once a prompt is pre-trained; kept pairs have them.
"""

from dawgen_core.methods import ppt
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.prompted import tune_from

SEEDED = True
READS = ("adjacent",)
Settings = ppt.Settings


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: the prompt."""
    start = ppt.pretrained(given, settings)
    return tune_from(start, given, "paired_surgery", ppt.next_sentences(given, settings)[0])
