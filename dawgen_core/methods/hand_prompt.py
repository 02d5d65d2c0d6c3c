"""Hand prompt: as Prompting, with the template and label words that an expert chose (`classifier.hand` of the task file).

In the pocket world that is a form which the classifier met in its training: what a soft prompt could hope to find.
"""

from dawgen_core import tuning
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.params import Record
from dawgen_core.tasks import TaskError

SEEDED = False


class Settings(Record):
    """None."""


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: 0. Draws nothing at random. Errors: TaskError where the task has no hand prompt."""
    if (hand := given.task.classifier.hand) is None:
        raise TaskError(f"hand_prompt: expected classifier.hand in params/tasks/{given.task.task}.yaml, found none")
    rows, size = given.encoded(given.test, hand), given.limits.eval_batch_size
    return Outcome({"best": tuning.predict(None, [rows], given.classifier, given.words(hand), size)[0]}, 0)
