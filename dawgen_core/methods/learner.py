"""The loop of every compared method that learns by gradients: same rows, same batches, same budget, selection on dev."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from dawgen_core import losses, samplers, surgery
from dawgen_core.backbones import Classifier
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.params import Rate, Record
from dawgen_core.prompts import EncodedPairs, padded
from dawgen_core.tuning import DivergedError, optimiser_of


class Learning(Record):
    """Rate at the start of a cosine (AdamW), weight decay of matrices. The budget is everyone's: `prompt_tuning`."""

    lr: Rate
    weight_decay: float = Field(ge=0)


@dataclass
class Learner:
    """What a method trains, how it reads rows, and how it answers.

    weights: leaf tensors by name. encoded: a frame as token ids and class numbers. answer: ids of some rows to class
    scores [B, C], differentiable in the weights. model: the copy that learns, for losses of its own.
    """

    weights: dict[str, Tensor]
    encoded: Callable[[pd.DataFrame], EncodedPairs]
    answer: Callable[[list[list[int]]], Tensor]
    model: torch.nn.Module | None = None
    tokens: int = 0  # read so far to learn from

    def __post_init__(self):
        answer = self.answer

        def counted(ids: list[list[int]]) -> Tensor:
            self.tokens += sum(map(len, ids)) if torch.is_grad_enabled() else 0
            return answer(ids)

        self.answer = counted

    def state(self) -> dict[str, Tensor]:
        """A copy of the weights."""
        return {name: w.detach().clone() for name, w in self.weights.items()}

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Take weights back. Errors: ValueError where names or shapes are others."""
        shapes = ({name: tuple(w.shape) for name, w in one.items()} for one in (self.weights, state))
        if (wanted := next(shapes)) != (found := next(shapes)):
            odd = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
            raise ValueError(f"weights: expected the names and shapes of this method, found others: {', '.join(odd[:5])}")
        for name, w in self.weights.items():
            w.copy_(state[name])

    def loss(self, rows: EncodedPairs) -> Tensor:
        """Mean cross-entropy over the classes (E7)."""
        scores_BC = self.answer(rows.ids)
        return losses.label_word_loss(scores_BC, torch.tensor(rows.labels, device=scores_BC.device)).mean()

    @torch.inference_mode()
    def answers(self, rows: EncodedPairs, batch_size: int) -> Tensor:
        """Class scores [B, C] on the CPU; rows go through sorted by length, so that little is padding."""
        order, found = sorted(range(len(rows.ids)), key=lambda i: len(rows.ids[i])), []
        for start in range(0, len(order), batch_size):
            found.append(self.answer([rows.ids[i] for i in order[start : start + batch_size]]).float().cpu())
        return torch.cat(found)[torch.tensor(order).argsort()]


def batches(rows: EncodedPairs, given: Given) -> Iterator[EncodedPairs]:
    """Batches of real rows without end, the same for every method of a seed and for prompt tuning."""
    n, random = len(given.task.labels) * given.limits.batch_real_per_class, samplers.seeded(given.seed, samplers.REAL)
    return (rows.take(numbers) for numbers in samplers.cycle(len(rows.ids), n, random))


def learn(
    learner: Learner, given: Given, settings: Learning | None, next_losses: Callable[[], tuple[Tensor, ...]] | None = None,
    rule: str = "one_sided",
) -> Outcome:  # fmt: skip
    """Train for the budget's steps; the weights with the best dev accuracy (strict improvement) and the last are read out.

    settings: None for prompt tuning's own optimiser. next_losses: the loss of the next step, by default that of a batch of
    train; or two losses, real and synthetic, whose gradients are combined under a rule of `surgery`. The conflict rate is
    then among the metrics.
    Errors: DivergedError on a non-finite loss.
    """
    train, dev, test = (learner.encoded(rows) for rows in (given.train, given.dev, given.test))
    limits, weights, stream = given.limits, list(learner.weights.values()), batches(train, given)
    next_losses = next_losses or (lambda: (learner.loss(next(stream)),))
    optimiser, schedule = _adamw(weights, settings, limits.steps) if settings else optimiser_of(weights, limits)
    best, best_dev, best_step, conflicts = None, -1.0, -1, []
    for step in range(limits.steps):
        found = next_losses()
        if not all(math.isfinite(loss.item()) for loss in found):
            raise DivergedError(f"seed {given.seed}, step {step}: expected finite losses, found "
                                f"{[loss.item() for loss in found]}; lower the method's lr")  # fmt: skip
        grads = [torch.autograd.grad(loss, weights, materialize_grads=True) for loss in found]
        if len(grads) == 2:
            flat = [torch.cat([g.flatten() for g in grad]) for grad in grads]
            direction_N, report = surgery.combine(*flat, eps=limits.eps, rule=rule)
            parts = direction_N.split([w.numel() for w in weights])
            grads = [[part.view_as(w) for part, w in zip(parts, weights, strict=True)]]
            conflicts.append(report.conflict.item())
        for weight, grad in zip(weights, grads[0], strict=True):
            weight.grad = grad
        torch.nn.utils.clip_grad_norm_(weights, limits.clip_norm)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        if (step + 1) % limits.eval_every == 0 or step + 1 == limits.steps:
            accuracy = accuracy_of(learner.answers(dev, limits.eval_batch_size), dev)
            if accuracy > best_dev:
                best, best_dev, best_step = learner.state(), accuracy, step
    last = learner.answers(test, limits.eval_batch_size)
    learner.load(best)
    logits = {"best": last if best_step == step else learner.answers(test, limits.eval_batch_size), "last": last}
    metrics = {"dev_best": best_dev, "best_step": best_step, "n_shortened": test.n_shortened}
    metrics |= {"tokens": learner.tokens} | ({"conflict": sum(conflicts) / len(conflicts)} if conflicts else {})
    return Outcome(logits, sum(w.numel() for w in weights), metrics, best)


def _adamw(weights: list[Tensor], settings: Learning, steps: int):
    groups = [{"params": [w for w in weights if w.dim() > 1], "weight_decay": settings.weight_decay},
              {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0}]  # fmt: skip
    optimiser = torch.optim.AdamW(groups, lr=settings.lr)
    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: 0.5 * (1 + math.cos(math.pi * i / steps)))


def accuracy_of(scores_BC: Tensor, rows: EncodedPairs) -> float:
    """Share of rows whose highest score is their label's."""
    return (scores_BC.argmax(-1) == torch.tensor(rows.labels)).double().mean().item()


def tensors(ids: list[list[int]], classifier: Classifier) -> tuple[Tensor, Tensor]:
    """Padded ids [B, T] and the mask of what is kept, on the classifier's device."""
    return tuple(t.to(classifier.device) for t in padded(ids, 0))
