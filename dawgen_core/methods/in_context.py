"""In-context learning (Brown et al. 2020): demonstrations with their answers before the row; 8 at random, 5 draws averaged.

Both numbers are the paper's. Averaged are, as we read it, the class probabilities of the draws; the mean accuracy of single
draws is among the metrics. A context is read whole, even beyond the length that
the model was trained on; how many are is among the metrics, nothing is cut.
"""

import torch

from dawgen_core import samplers, tuning
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.params import Positive, Record
from dawgen_core.prompts import EncodedPairs
from dawgen_core.tasks import MASK

SEEDED = True


class Settings(Record):
    """Demonstrations, draws, and the number of tokens that the model was trained on (for the count of longer contexts)."""

    demonstrations: Positive
    draws: Positive
    trained_on: Positive


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: 0. Errors: ValueError when there are fewer rows than demonstrations."""
    if len(given.train) < settings.demonstrations:
        raise ValueError(f"in_context.demonstrations: expected at most the {len(given.train)} rows to train on, "
                         f"found {settings.demonstrations}")  # fmt: skip
    random, texts = samplers.seeded(given.seed, samplers.BATCHES), given.task.classifier
    test, shares, n_longer = given.encoded(given.test), [], 0
    for _ in range(settings.draws):
        chosen = torch.randperm(len(given.train), generator=random)[: settings.demonstrations].tolist()
        shown = [texts.template.replace("{first}", row.sentence1).replace("{second}", row.sentence2)
                 .replace(MASK, texts.verbalizer[row.label]) for row in given.train.iloc[chosen].itertuples()]  # fmt: skip
        context = [i for text in shown for i in given.classifier.ids(text)]
        rows = EncodedPairs([context + ids for ids in test.ids], test.labels, 0)
        n_longer += sum(len(ids) > settings.trained_on for ids in rows.ids)
        size = max(1, given.limits.eval_batch_size // settings.demonstrations)
        (logits_BC,) = tuning.predict(None, [rows], given.classifier, given.words(), size)
        shares.append(logits_BC.softmax(-1))
    longer = n_longer / (settings.draws * len(test.ids))
    right = [(share_BC.argmax(-1) == torch.tensor(test.labels)).double().mean().item() for share_BC in shares]
    metrics = {"contexts_longer_than_trained_on": longer, "accuracy_of_single_draws": sum(right) / len(right)}
    return Outcome({"best": torch.stack(shares).mean(0).log()}, 0, metrics)
