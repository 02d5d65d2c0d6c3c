"""FT: every weight of the classifier is tuned on the few real rows, without a template (row "FT" of Table 1).

Our reading: both sentences in a row, then [MASK]; classes are scored by the label words, as everywhere else. AdamW,
weight decay on matrices only (OPTIMA: 3e-5 and 0.01). The classifier that it was given stays as it is: a copy learns.
"""

from functools import partial

from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.learner import Learner, Learning, learn, tensors
from dawgen_core.tasks import MASK, ClassifierTexts

SEEDED = True


class Settings(Learning):
    """Rate and weight decay."""


def build(given: Given, texts: ClassifierTexts | None = None) -> Learner:
    """All weights; texts: in another template or with other words than both sentences in a row and the task's."""
    texts = texts or given.task.classifier.model_copy(update={"template": "{first} {second} " + MASK})
    whole, words_C = given.copy(), given.words(texts)
    return Learner(dict(whole.model.named_parameters()), partial(given.encoded, texts=texts),
                   lambda ids: whole.label_word_logits(*tensors(ids, whole), words_C), whole.model)  # fmt: skip


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: all weights."""
    return learn(build(given), given, settings)
