"""FT: every weight of the classifier is tuned on the few real rows, without a template (row "FT" of Table 1).

Our reading: both sentences in a row, then [MASK]; classes are scored by the label words, as everywhere else. AdamW,
weight decay on matrices only (OPTIMA: 3e-5 and 0.01). The classifier that it was given stays as it is: a copy learns.
"""

import copy
import math

import torch
from pydantic import Field

from dawgen_core import losses, samplers, tuning
from dawgen_core.backbones import Classifier
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.params import Positive, Rate, Record
from dawgen_core.prompts import EncodedPairs, padded
from dawgen_core.tasks import MASK

SEEDED = True


class Settings(Record):
    """Rate at the start of a cosine; rows of a batch; steps; how often dev is asked."""

    lr: Rate
    weight_decay: float = Field(ge=0)
    steps: Positive
    eval_every: Positive
    batch_per_class: Positive


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: all weights. The best weights on dev (strict improvement) and the last ones are read out."""
    texts = given.task.classifier.model_copy(update={"template": "{first} {second} " + MASK})
    train, dev, test = (given.encoded(rows, texts) for rows in (given.train, given.dev, given.test))
    words_C, size = given.words(), given.limits.eval_batch_size
    model = copy.deepcopy(given.classifier.model).float()  # in bfloat16 a step of 3e-5 would round to nothing
    whole = Classifier(model, given.classifier.tokenizer, given.classifier.name)
    whole.model.requires_grad_(True)
    weights = list(whole.model.parameters())
    groups = [{"params": [w for w in weights if w.dim() > 1], "weight_decay": settings.weight_decay},
              {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0}]  # fmt: skip
    optimiser = torch.optim.AdamW(groups, lr=settings.lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: 0.5 * (1 + math.cos(math.pi * i / settings.steps)))
    stream = samplers.class_balanced(train.labels, settings.batch_per_class, samplers.seeded(given.seed, samplers.BATCHES))
    best, best_dev, best_step = None, -1.0, -1
    for step in range(settings.steps):
        _loss(whole, train.take(next(stream)), words_C).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        if (step + 1) % settings.eval_every == 0 or step + 1 == settings.steps:
            found = tuning.predict(None, [dev], whole, words_C, size)[0].argmax(-1)
            accuracy = (found == torch.tensor(dev.labels)).double().mean().item()
            if accuracy > best_dev:
                best, best_dev, best_step = copy.deepcopy(whole.model.state_dict()), accuracy, step
    last = tuning.predict(None, [test], whole, words_C, size)[0]
    whole.model.load_state_dict(best)
    logits = {"best": last if best_step == step else tuning.predict(None, [test], whole, words_C, size)[0], "last": last}
    return Outcome(logits, sum(w.numel() for w in weights), {"dev_best": best_dev, "best_step": best_step})


def _loss(whole: Classifier, rows: EncodedPairs, words_C: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over label words (E7)."""
    ids_BT, kept_BT = (t.to(whole.device) for t in padded(rows.ids, 0))
    logits_BC = whole.label_word_logits(ids_BT, kept_BT, words_C)
    return losses.label_word_loss(logits_BC, torch.tensor(rows.labels, device=logits_BC.device)).mean()
