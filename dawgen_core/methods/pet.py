"""PET (Schick and Schuetze 2021): a model per pattern, whose soft labels on unlabelled pairs teach a final model.

Each pattern fine-tunes a model on the real rows, with a denoising loss on unlabelled text beside it (alpha). Their scores on
unlabelled pairs are averaged, evenly or by each pattern's accuracy on the real rows before tuning, and softened; the
final model, without a template, learns the soft labels.
"""

from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from dawgen_core import samplers
from dawgen_core.methods import fine_tuning
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.learner import Learner, Learning, accuracy_of, batches, learn, tensors
from dawgen_core.params import Positive, Rate
from dawgen_core.tasks import MASK

SEEDED = True
READS = ("unlabelled",)
PATTERNS = ("{first} ? " + MASK + " , {second}", "{first} . " + MASK + " . {second}")  # PET's, beside the task's own


class Settings(Learning):
    """Rate, weight decay; weights of patterns; share of the denoising loss; softness of the labels; pairs to label."""

    weighting: Literal["even", "accuracy"]
    alpha: float = Field(ge=0, lt=1)
    temperature: Rate
    unlabelled: Positive


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: all weights (of the final model; each pattern's model has as many)."""
    pairs = given.lent.unlabelled().head(settings.unlabelled).assign(label=given.task.labels[0])
    soft_BC, whole, tokens = torch.zeros(len(pairs), len(given.task.labels)), 0.0, 0
    for template in (given.task.classifier.template, *PATTERNS):
        texts = given.task.classifier.model_copy(update={"template": template})
        one = fine_tuning.build(given, texts)
        real = one.encoded(given.train)
        before = accuracy_of(one.answers(real, given.limits.eval_batch_size), real)
        weight = before if settings.weighting == "accuracy" else 1.0
        labelled = learn(one, replace(given, test=pairs), settings, _with_denoising(one, given, settings, pairs))
        soft_BC += weight * labelled.logits["best"]
        whole += weight
        tokens += labelled.metrics["tokens"]
    soft_BC = (soft_BC / max(whole, 1e-12) / settings.temperature).softmax(-1)
    final = fine_tuning.build(given)
    rows, n = final.encoded(pairs), len(given.task.labels) * given.limits.batch_real_per_class
    stream = samplers.cycle(len(pairs), n, samplers.seeded(given.seed, samplers.SYN))

    def next_losses() -> tuple[Tensor]:
        chosen = next(stream)
        scores_BC = final.answer([rows.ids[i] for i in chosen])
        return (-(soft_BC[chosen].to(scores_BC.device) * scores_BC.log_softmax(-1)).sum(-1).mean(),)

    found = learn(final, given, settings, next_losses)
    return replace(found, metrics=found.metrics | {"tokens": tokens + found.metrics["tokens"]})


def _with_denoising(one: Learner, given: Given, settings: Settings, pairs):
    """(1 - alpha) of the label-word loss and alpha of T5's denoising loss on unlabelled text."""
    stream, random = batches(one.encoded(given.train), given), samplers.seeded(given.seed, samplers.NET)
    if not settings.alpha:
        return lambda: (one.loss(next(stream)),)
    texts = [given.classifier.ids(text) for text in (*pairs["sentence1"], *pairs["sentence2"])]
    chosen = samplers.cycle(len(texts), given.limits.batch_real_per_class * len(given.task.labels), random)

    def next_losses() -> tuple[Tensor]:
        loss = one.loss(next(stream))
        noisy = [corrupted(texts[i], given, random) for i in next(chosen)]
        one.tokens += sum(len(text) for text, _ in noisy)
        return ((1 - settings.alpha) * loss + settings.alpha * denoising_loss(one, given, noisy),)

    return next_losses


def corrupted(ids: list[int], given: Given, random: torch.Generator) -> tuple[list[int], list[int]]:
    """(text with a span of about 15 % behind a sentinel, the span between sentinels): T5's denoising with one span.

    What is taken out and put back is the text; a text of one token is taken whole.
    """
    first, second = (given.classifier.tokenizer.convert_tokens_to_ids(f"<extra_id_{i}>") for i in (0, 1))
    size = max(1, round(0.15 * len(ids)))
    start = int(torch.randint(len(ids) - size + 1, (1,), generator=random))
    return [*ids[:start], first, *ids[start + size :]], [first, *ids[start : start + size], second]


def denoising_loss(one: Learner, given: Given, noisy: list[tuple[list[int], list[int]]]) -> Tensor:
    """Mean cross-entropy of the spans."""
    ids_BT, kept_BT = tensors([text for text, _ in noisy], given.classifier)
    spans_BT, said_BT = tensors([span for _, span in noisy], given.classifier)
    return one.model(input_ids=ids_BT, attention_mask=kept_BT, labels=spans_BT.masked_fill(~said_BT, -100)).loss
