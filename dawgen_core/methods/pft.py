"""PFT: prompt-based fine-tuning: as FT, with the task's template and label words (LM-BFF, Gao et al. 2021; row "PFT")."""

from dawgen_core.methods import fine_tuning
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.learner import Learner, Learning, learn

SEEDED = True


class Settings(Learning):
    """Rate and weight decay."""


def build(given: Given) -> Learner:
    """All weights, in the task's template."""
    return fine_tuning.build(given, given.task.classifier)


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: all weights."""
    return learn(build(given), given, settings)
