"""The two training loops: `tune_generators` (Algorithm 1) and `tune_prompts` (Algorithm 2), many prompts at once.

Rows of a batch do not see each other in a frozen model in eval mode, so prompts that share a backbone and a
task run in one batch; each has its own rows, random stream, optimiser state and clipping. What else is in
the stack changes a result by rounding only (a bfloat16 run drifts apart over many steps).
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm.auto import tqdm

from dawgen_core import bilevel, losses, samplers, surgery
from dawgen_core.backbones import Classifier, enough_memory
from dawgen_core.params import STRATEGIES, GeneratorTuning, PromptTuning
from dawgen_core.prompts import EncodedPairs, PromptLayout, padded
from dawgen_core.weighting import WeightNet

RULES_OF = {"paired": "none", "paired_surgery": "one_sided", "paired_symmetric": "symmetric", "paired_drop": "drop"}
SEEN = ("loss_real", "loss_syn", "cosine", "conflict")  # per step and condition; NaN for a batch that a strategy lacks
ORDER_OF, EPOCHS = {"real_then_syn": (0, 1), "syn_then_real": (1, 0)}, 3  # 0: real, 1: synthetic; epochs at least


class DivergedError(RuntimeError):
    """A loss or gradient is not finite."""


@dataclass(frozen=True)
class GeneratorJob:
    """One Q to tune: its kind, its seed, and its real rows (ids of sentence 1, of sentence 2) with class numbers."""

    kind: str
    seed: int
    rows: list[tuple[list[int], list[int]]]
    labels: list[int]


@dataclass
class TunedGenerator:
    """Q [C, S, D], the weight net (None for `mle`), and a trace row per step."""

    q_CSD: Tensor
    net: WeightNet | None
    trace: list[dict] = field(default_factory=list)


def tune_generators(
    layout: PromptLayout, jobs: Sequence[GeneratorJob], settings: GeneratorTuning, *, progress: bool = True
) -> list[TunedGenerator]:
    """Algorithm 1 for every job, in stacks; same batches and steps for `mle`, `fewgen` and `dawgen` of one seed.

    `fewgen_original` draws two rows of any class per step; `steps: by_classes` makes FewGen's 20 epochs of 16 shots.

    Returns Q [C, S, D], the weight net (None for `mle`) and a trace row per step: losses, largest weight.
    The generator is not modified. Errors: DivergedError on a non-finite loss, MemoryError when a stack does not fit.
    """
    out: dict[int, TunedGenerator] = {}
    for kinds in (("mle",), ("fewgen", "dawgen"), ("fewgen_original",)):  # a stack shares its settings and batch size
        numbers = [i for i, job in enumerate(jobs) if job.kind in kinds]
        for start in range(0, len(numbers), settings.stack):
            chunk = numbers[start : start + settings.stack]
            out |= dict(zip(chunk, _tune_stack(layout, [jobs[i] for i in chunk], settings, progress), strict=True))
    return [out[i] for i in range(len(jobs))]


def _tune_stack(layout, jobs: list[GeneratorJob], settings: GeneratorTuning, progress: bool) -> list[TunedGenerator]:
    device, n_steps = layout.generator.device, settings.n_steps(len(layout.task.labels))
    q_GCSD = torch.stack([layout.initial()] * len(jobs)).to(device).requires_grad_()
    optimiser = torch.optim.AdamW([q_GCSD], lr=settings.lr, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / n_steps)
    made = [bilevel.new_loss(layout, job.kind, job.seed, settings) for job in jobs]
    terms, net_optimisers = [term for term, _ in made], [one for _, found in made for one in found]
    random = [samplers.seeded(job.seed, samplers.BATCHES) for job in jobs]
    streams = [samplers.cycle(len(j.rows), 2, r) if j.kind == "fewgen_original" else
               samplers.class_balanced(j.labels, settings.rows_per_class, r) for j, r in zip(jobs, random, strict=True)]
    tuned = [TunedGenerator(q, term.net) for q, term in zip(q_GCSD, terms, strict=True)]
    kinds = ", ".join(dict.fromkeys(job.kind for job in jobs))
    for step in tqdm(range(n_steps), desc=f"generators ({kinds})", disable=not progress, leave=False):
        chosen = [next(stream) for stream in streams]
        rows = [[job.rows[i] for i in part] for job, part in zip(jobs, chosen, strict=True)]
        labels = [[job.labels[i] for i in part] for job, part in zip(jobs, chosen, strict=True)]
        batch = bilevel.Batch.of(layout, rows, labels)
        with enough_memory("generator_tuning.stack", len(jobs), otherwise="discrimination_rows, then max_tokens"):
            found = bilevel.algorithm_1_step(layout, q_GCSD, terms, net_optimisers, batch)
        finite_G = q_GCSD.grad.flatten(1).isfinite().all(1).tolist()
        clip_each(q_GCSD.grad, settings.clip_norm)
        optimiser.step()
        schedule.step()
        for job, one, row, finite in zip(jobs, tuned, found, finite_G, strict=True):
            if not (math.isfinite(row["loss"]) and finite):
                raise DivergedError(f"generator {job.kind}, seed {job.seed}, step {step}: expected a finite loss and "
                                    f"gradient, found loss {row['loss']}; lower generator_tuning.lr")  # fmt: skip
            one.trace.append({"step": step, **row})
    for one, q_CSD in zip(tuned, q_GCSD.detach().cpu(), strict=True):
        one.q_CSD = q_CSD.clone()
        one.net = None if one.net is None else one.net.cpu()
    return tuned


def clip_each(grad_G: Tensor, max_norm: float) -> None:
    """Scale each prompt's own gradient, in place, to norm max_norm at most."""
    norm_G = grad_G.flatten(1).norm(dim=1)
    grad_G.mul_((max_norm / (norm_G + 1e-6)).clamp(max=1.0).view(-1, *[1] * (grad_G.dim() - 1)))


@dataclass(frozen=True)
class Condition:
    """One P to tune: strategy, seed, real rows, synthetic rows (None for `real`), dev rows for selection."""

    strategy: str
    seed: int
    real: EncodedPairs
    syn: EncodedPairs | None
    dev: EncodedPairs


@dataclass
class TunedPrompt:
    """The prompt with the best dev accuracy (strict improvement), the last one, a trace row per step, why it stopped."""

    best_PD: Tensor
    last_PD: Tensor
    best_step: int
    best_dev_accuracy: float
    last_dev_accuracy: float
    trace: list[dict]
    error: str | None = None


def batches(condition: Condition, settings: PromptTuning) -> Iterator[tuple[EncodedPairs | None, EncodedPairs | None]]:
    """(real rows, synthetic rows) of every step without end; None where a strategy has no such batch.

    `pooled` draws from one set in which real and synthetic rows are mixed and has one gradient; its batch is
    as large as the two of `paired` together, handed over in the real place. `real_then_syn`, `syn_then_real`: batches of
    that size, all of one kind; in every epoch all real rows and, before or after them, all synthetic ones, or so many that
    an epoch takes a third of the steps; the next ones then follow in the next epoch. A set's last batch may be shorter."""
    real, syn, n_classes = condition.real, condition.syn, len(set(condition.real.labels))
    n_real, n_syn = n_classes * settings.batch_real_per_class, n_classes * settings.batch_syn_per_class
    random = [samplers.seeded(condition.seed, purpose) for purpose in (samplers.REAL, samplers.SYN)]
    if condition.strategy not in STRATEGIES:
        raise ValueError(f"strategy: expected one of {', '.join(STRATEGIES)}, found {condition.strategy!r}")
    real_rows = samplers.cycle(len(real.ids), n_real, random[0])
    if condition.strategy == "real":
        yield from ((real.take(rows), None) for rows in real_rows)
    if syn is None:
        raise ValueError(f"strategy {condition.strategy}: expected synthetic rows, found none")
    syn_rows = samplers.cycle(len(syn.ids), n_syn, random[1])
    if condition.strategy == "syn":
        yield from ((None, syn.take(rows)) for rows in syn_rows)
    if condition.strategy in ("pooled", "pooled_smoothed"):
        both = EncodedPairs(real.ids + syn.ids, real.labels + syn.labels, 0)
        yield from ((both.take(rows), None) for rows in samplers.cycle(len(both.ids), n_real + n_syn, random[0]))
    if condition.strategy in ORDER_OF:
        n, sizes = n_real + n_syn, [len(real.ids), len(syn.ids)]
        most = [sizes[0], n * max(1, settings.steps // EPOCHS - math.ceil(sizes[0] / n))]
        epochs = [samplers.cycle(size, min(size, m), r) for size, m, r in zip(sizes, most, random, strict=True)]
        for side in itertools.cycle(ORDER_OF[condition.strategy]):
            rows = next(epochs[side])
            for start in range(0, len(rows), n):
                part = (real, syn)[side].take(rows[start : start + n])
                yield (None, part) if side else (part, None)
    yield from ((real.take(a), syn.take(b)) for a, b in zip(real_rows, syn_rows, strict=True))


def tune_prompts(
    prompts_GPD: Tensor, conditions: Sequence[Condition], classifier: Classifier, words_C: Tensor,
    settings: PromptTuning, *, progress: bool = True, on_dev: Callable[[list[Tensor]], object] = lambda logits: None,
) -> list[TunedPrompt]:  # fmt: skip
    """Algorithm 2 for G conditions at once, from prompts_GPD (not modified). The classifier stays frozen.

    Every step: one forward and backward pass over all real and synthetic rows gives each prompt both of its
    gradients (two leaf copies); then surgery on the raw gradients, clipping, the optimiser's step.
    A condition with a non-finite loss or gradient stops and says so in its `error`; the others go on without it.
    on_dev is given the logits [B, C] of each condition's dev rows whenever they are asked.
    Errors: ValueError on bad conditions, MemoryError when the stack does not fit.
    """
    if len(prompts_GPD) != len(conditions):
        raise ValueError(f"tune_prompts: expected one prompt per condition, found {len(prompts_GPD)} and {len(conditions)}")
    prompts = [p.detach().clone().to(classifier.device).requires_grad_() for p in prompts_GPD]
    optimiser, schedule = optimiser_of(prompts, settings)
    streams = [batches(c, settings) for c in conditions]
    smoothing = [settings.label_smoothing if c.strategy == "pooled_smoothed" else 0.0 for c in conditions]
    tuned = [TunedPrompt(p.detach().clone(), p.detach(), -1, -1.0, -1.0, []) for p in prompts]
    seen_SG4 = torch.zeros(settings.steps, len(prompts), 4, dtype=torch.double, device=classifier.device)
    for step in tqdm(range(settings.steps), desc=f"{len(prompts)} prompts", disable=not progress, leave=False):
        if all(one.error for one in tuned):
            break
        pairs = [(None, None) if one.error else next(stream) for one, stream in zip(tuned, streams, strict=True)]
        with enough_memory("prompt_tuning.stack", len(prompts), otherwise="prompt_tuning.max_tokens"):
            loss_G2, grad_G2N = both_gradients(torch.stack(prompts).detach(), pairs, classifier, words_C, smoothing)
        finite_G = (~loss_G2.isinf() & grad_G2N.isfinite().all(-1)).all(-1)  # NaN: no batch, or in the gradient too
        _stop(conditions, tuned, finite_G.tolist(), step, "losses and gradients")
        direction_GN, found_G2 = _directions(conditions, grad_G2N.where(finite_G[:, None, None], 0.0), settings.eps)
        clip_each(direction_GN, settings.clip_norm)
        seen_SG4[step] = torch.cat([loss_G2, found_G2], dim=1)
        for prompt, direction_N, one in zip(prompts, direction_GN, tuned, strict=True):
            prompt.grad = None if one.error else direction_N.view_as(prompt)
            one.trace += [] if one.error else [{"step": step}]
        optimiser.step()
        schedule.step()
        if (step + 1) % settings.eval_every == 0 or step + 1 == settings.steps:
            on_dev(_select(prompts, conditions, classifier, words_C, settings, tuned, step))
    for prompt, one, seen_S4 in zip(prompts, tuned, seen_SG4.transpose(0, 1).tolist(), strict=True):
        one.best_PD, one.last_PD = one.best_PD.cpu(), prompt.detach().cpu().clone()
        one.trace = [{"step": row["step"], **dict(zip(SEEN, seen_4, strict=True))} | row
                     for row, seen_4 in zip(one.trace, seen_S4, strict=False)]  # fmt: skip
    return tuned


def both_gradients(
    prompts_GPD: Tensor, pairs: Sequence[tuple[EncodedPairs | None, EncodedPairs | None]], classifier: Classifier,
    words_C: Tensor, label_smoothing: float | Sequence[float] = 0.0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Losses [G, 2] and gradients [G, 2, N] of every prompt's real (0) and synthetic (1) rows, in one backward pass.

    Each place is the mean cross-entropy over its own rows (label_smoothing: one share, or one per prompt); a missing
    batch has loss NaN and gradient zero.
    """
    leaf_GSPD = torch.stack([prompts_GPD, prompts_GPD], dim=1).requires_grad_()
    placed = [(g, side, part) for g, pair in enumerate(pairs) for side, part in enumerate(pair) if part is not None]
    rows = [(ids, label, g, side, len(part.ids))
            for g, side, part in placed for ids, label in zip(part.ids, part.labels, strict=True)]  # fmt: skip
    ids, *columns = zip(*rows, strict=True)
    ids_BT, kept_BT = (t.to(classifier.device) for t in padded(ids, 0))
    label_B, owner_B, place_B, size_B = (torch.tensor(column, device=classifier.device) for column in columns)
    logits_BC = classifier.label_word_logits(ids_BT, kept_BT, words_C, leaf_GSPD[owner_B, place_B])
    smoothing_G = torch.as_tensor(label_smoothing, dtype=logits_BC.dtype, device=logits_BC.device).expand(len(pairs))
    loss_B = losses.label_word_loss(logits_BC, label_B, label_smoothing=smoothing_G[owner_B]) / size_B
    (grad_GSPD,) = torch.autograd.grad(loss_B.sum(), leaf_GSPD)
    loss_GS = torch.full((len(pairs), 2), torch.nan, dtype=loss_B.dtype, device=loss_B.device)
    loss_GS[owner_B, place_B] = 0.0
    return loss_GS.index_put_((owner_B, place_B), loss_B.detach(), accumulate=True), grad_GSPD.flatten(2)


def _stop(conditions, tuned: list[TunedPrompt], finite, step: int, what: str) -> None:
    for condition, one, fine in zip(conditions, tuned, finite, strict=True):
        if not fine and not one.error:
            one.error = (f"strategy {condition.strategy}, seed {condition.seed}, step {step}: expected finite {what}, "
                         "found NaN or infinity; lower prompt_tuning.lr")  # fmt: skip


def _directions(conditions: Sequence[Condition], grad_G2N: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Directions [G, N] after each condition's rule; cosine and conflict [G, 2], NaN for a strategy of one gradient."""
    direction_GN, found_G2 = grad_G2N.sum(1), grad_G2N.new_full((len(conditions), 2), torch.nan, dtype=torch.double)
    for rule in surgery.RULES:
        if chosen := [g for g, c in enumerate(conditions) if RULES_OF.get(c.strategy) == rule]:
            direction_GN[chosen], report = surgery.combine(*grad_G2N[chosen].unbind(1), eps=eps, rule=rule)
            found_G2[chosen] = torch.stack([report.cosine, report.conflict.double()], dim=1)
    return direction_GN, found_G2


def optimiser_of(prompts: list[Tensor], settings: PromptTuning):
    """(optimiser, schedule) over a list of prompts; each has its own state."""
    if settings.optimiser == "adafactor":
        from transformers.optimization import Adafactor  # heavy: it brings all of peft along

        optimiser = Adafactor(prompts, lr=settings.lr, weight_decay=settings.weight_decay, relative_step=False,
                              scale_parameter=False, warmup_init=False)  # fmt: skip
    else:
        optimiser = torch.optim.AdamW(prompts, lr=settings.lr, weight_decay=settings.weight_decay)
    length = settings.steps if settings.schedule == "cosine" else math.inf  # the start of an endless cosine is constant
    factor = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / length)))
    return optimiser, factor


def _select(prompts, conditions, classifier, words_C, settings, tuned: list[TunedPrompt], step: int) -> list[Tensor]:
    stack_GPD = torch.stack(prompts).detach()
    logits = predict(stack_GPD, [c.dev for c in conditions], classifier, words_C, settings.eval_batch_size)
    _stop(conditions, tuned, [logits_BC.isfinite().all() for logits_BC in logits], step, "logits of the dev rows")
    for condition, prompt, one, logits_BC in zip(conditions, prompts, tuned, logits, strict=True):
        if one.error:
            continue
        accuracy = (logits_BC.argmax(-1) == torch.tensor(condition.dev.labels)).double().mean().item()
        one.last_dev_accuracy = one.trace[-1]["dev_accuracy"] = accuracy
        if accuracy > one.best_dev_accuracy:
            one.best_PD, one.best_dev_accuracy, one.best_step = prompt.detach().clone(), accuracy, step
    return logits


@torch.inference_mode()
def predict(
    prompts_GPD: Tensor | None, rows: Sequence[EncodedPairs], classifier: Classifier, words_C: Tensor, batch_size: int
) -> list[Tensor]:
    """Label-word logits [B, C] on the CPU of each set of rows under its own prompt (None: no prompt at all).

    All prompts go through in one pass, rows sorted by length so that little is padding.
    """
    flat = sorted((len(ids), g, i) for g, part in enumerate(rows) for i, ids in enumerate(part.ids))
    out = [torch.empty(len(part.ids), len(words_C)) for part in rows]
    for start in range(0, len(flat), batch_size):
        chunk = flat[start : start + batch_size]
        ids_BT, kept_BT = (t.to(classifier.device) for t in padded([rows[g].ids[i] for _, g, i in chunk], 0))
        chosen = None if prompts_GPD is None else prompts_GPD.to(classifier.device)[[g for _, g, _ in chunk]]
        with enough_memory("prompt_tuning.eval_batch_size", batch_size, otherwise="prompt_tuning.max_tokens"):
            logits_BC = classifier.label_word_logits(ids_BT, kept_BT, words_C, chosen).float().cpu()
        for (_, g, i), row_C in zip(chunk, logits_BC, strict=True):
            out[g][i] = row_C
    return out
