"""What the method's levers are worth: both sides in turn in one run, ours and the plain way of doing the same.

Peak memory counts tensors beyond weights and inputs (on the CPU from the profiler's allocation events, on CUDA from the
allocator).
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from unittest import mock

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from dawgen_core import bilevel, generation, losses, prompts, samplers, surgery, tuning
from dawgen_core.bench.measuring import peak_mib, ratio, seconds_in_turn
from dawgen_core.bench.shapes import classifier_of, generator_of, named, never_ends
from dawgen_core.data.profiles import load_profile, load_task

STEPS = 2


# ---- Algorithm 1


def plain_step(layout, q_GCSD, terms, net_optimisers, batch: bilevel.Batch, *, reuse: bool) -> None:
    """Algorithm 1 by second-order autograd, as one would write it first: `create_graph=True` through the virtual step.

    reuse: step (c) takes the token losses of (a), as ours does; otherwise it reads the rows again.
    """
    settings, own, size = terms[0].settings, batch.own, len(batch.own.label_B)
    seen = bilevel.see(layout, q_GCSD, batch, terms)
    (grad_GCSD,) = torch.autograd.grad(bilevel.total_loss(terms, seen, batch)[0], q_GCSD, create_graph=True)
    under = bilevel.read_tokens(layout, q_GCSD - settings.virtual_lr * grad_GCSD, batch.under)
    score_BLC = (-under.nll_BL).unflatten(0, (-1, size)).permute(1, 2, 0)
    disc = sum(losses.discrimination_loss(score_BLC[p], own.label_B[p], own.scored_BL[p], form=settings.discrimination)
               for p in map(batch.part, range(len(terms))))  # fmt: skip
    parameters = [p for term in terms for p in term.net.parameters()]
    for parameter, grad in zip(parameters, torch.autograd.grad(disc, parameters, retain_graph=reuse), strict=True):
        parameter.grad = grad
    for optimiser in net_optimisers:
        optimiser.step()
    seen = seen if reuse else bilevel.see(layout, q_GCSD, batch, terms)
    (q_GCSD.grad,) = torch.autograd.grad(bilevel.total_loss(terms, seen, batch)[0], q_GCSD)


def whole_logits(states_ND, weight_VD, bias_V, **_):
    """The usual way to log Pr(x_j): all [N, V] logits, kept for the backward pass."""
    return F.linear(states_ND, weight_VD, bias_V).float().logsumexp(-1)


def algorithm_1(device: torch.device, dtype: torch.dtype, widths, n_vocab: int, rounds: int) -> list[dict]:
    """One step of DawGen, two rows per class, 24 + 24 tokens: ours against plain second-order autograd."""
    out, task = [], load_task("mrpc")
    for width, layers in widths:
        shape = {"n_embd": width, "n_layer": layers, "n_head": max(4, width // 64), "dff": 4 * width, "n_positions": 256}
        lm = generator_of(shape, n_vocab, device, dtype)
        settings = load_profile("smoke").generator_tuning
        words = torch.randint(4, len(lm.tokenizer), (4, 48), generator=samplers.seeded(0)).tolist()

        def steps(step, n_rows=4, lm=lm, words=words, settings=settings) -> Callable[[], None]:
            chosen = settings.model_copy(update={"discrimination_rows": n_rows})
            layout = prompts.PromptLayout(task, lm, chosen)
            q_GCSD = layout.initial()[None].to(device).requires_grad_()
            term, optimisers = bilevel.new_loss(layout, "dawgen", 13, chosen)
            batch = bilevel.Batch.of(layout, [[(row[:24], row[24:]) for row in words]], [[0, 0, 1, 1]])
            return lambda: [step(layout, q_GCSD, [term], optimisers, batch) for _ in range(STEPS)]

        def once(way: Callable) -> Callable[[], None]:
            def run() -> None:
                with mock.patch.object(losses, "vocabulary_logsumexp", whole_logits), sdpa_kernel(SDPBackend.MATH):
                    way()
            return run

        plain = {f"plain{' (c) reused' * reuse}": once(steps(lambda *a, reuse=reuse: plain_step(*a, reuse=reuse)))
                 for reuse in (True, False)}  # fmt: skip
        ours = {f"{n} rows{kernels}": wrap(steps(bilevel.algorithm_1_step, n))
                for kernels, wrap in ((", plain kernels", once), ("", lambda way: way)) for n in (4, 2)}  # fmt: skip
        ways = plain | ours
        took, peaks = seconds_in_turn(ways, rounds, device), {name: peak_mib(way, device) for name, way in ways.items()}
        for name, to in [(name, base) for name in ours for base in plain]:
            out.append({"what": "Algorithm 1, one step", "size": named("CTRL", shape, n_vocab),
                        "ours": name, "against": to, "time": ratio(took, name, to), "memory": peaks[name] / peaks[to],
                        "seconds": statistics.median(took[name]) / STEPS, "MiB": peaks[name]})  # fmt: skip
    return out


# ---- generation


def side_by_side(device: torch.device, dtype: torch.dtype, shape: dict, n_vocab: int, sizes, n_rows: int) -> list[dict]:
    """New tokens per second over batch sizes, greedy under a repetition penalty, against one sequence per call."""
    study, task, out = load_profile("smoke"), load_task("mrpc"), []
    lm = generator_of(shape, n_vocab, device, dtype)
    layout = prompts.PromptLayout(task, lm, study.generator_tuning)
    q_CSD, random = layout.initial(), samplers.seeded(1)
    words = [w for w in lm.tokenizer.get_vocab() if w.startswith("▁") and len(w) > 1]
    firsts = [" ".join(words[i][1:] for i in torch.randint(len(words), (int(n),), generator=random))
              for n in torch.randint(8, 24, (n_rows,), generator=random)]  # fmt: skip

    def tokens(batch_size: int, n: int, most: int) -> float:
        settings = study.generation.model_copy(update={"batch_size": batch_size, "max_new_tokens": most})
        with never_ends(lm, layout.eos_ids[0]):
            started = time.perf_counter()
            found = generation.continuations(layout, q_CSD, settings, 0)(0, range(n), firsts[:n])
        assert all(one.n_tokens == most for one in found)
        return n * most / (time.perf_counter() - started)

    tokens(sizes[0], 2, 8)  # warm-up
    found = {size: [] for size in sizes}
    for _ in range(3):
        for size in sizes:
            found[size].append(tokens(size, min(n_rows, max(4, 2 * size)), 50))
    for size in sizes:
        out.append({"what": "50 new tokens a row", "size": named("CTRL", shape, n_vocab), "ours": f"{size} side by side",
                    "against": f"{sizes[0]} per call", "speed-up": ratio(found, size, sizes[0]),
                    "tokens per second": statistics.median(found[size])})  # fmt: skip
    return out


# ---- Algorithm 2


def one_at_a_time(prompts_GPD, conditions, classifier, words_C, settings) -> None:
    """Algorithm 2 as one would write it first: a condition after the other, a pass for each of its two gradients."""
    for p_PD, condition in zip(prompts_GPD, conditions, strict=True):
        p_PD, stream = p_PD.clone().requires_grad_(), tuning.batches(condition, settings)
        optimiser, schedule = tuning.optimiser_of([p_PD], settings)
        for _ in range(settings.steps):
            real, syn = next(stream)
            _, of_real = tuning.both_gradients(p_PD.detach()[None], [(real, None)], classifier, words_C)
            _, of_syn = tuning.both_gradients(p_PD.detach()[None], [(None, syn)], classifier, words_C)
            direction_N, _ = surgery.combine(of_real[0, 0], of_syn[0, 1], eps=settings.eps)
            p_PD.grad = direction_N.view_as(p_PD)
            torch.nn.utils.clip_grad_norm_([p_PD], settings.clip_norm)
            optimiser.step()
            schedule.step()
        tuning.predict(p_PD.detach()[None], [condition.dev], classifier, words_C, settings.eval_batch_size)


def many_prompts(device: torch.device, dtype, shape: dict, n_vocab: int, groups, per_class, rounds: int) -> list[dict]:
    """Conditions per minute (of 1,000 steps) over group sizes, two classes, 24 tokens a row, 20 prompt tokens."""
    out, classifier = [], classifier_of(shape, n_vocab, device, dtype)
    words_C, random = torch.tensor([5, 6], device=device), samplers.seeded(2)
    ids = torch.randint(4, n_vocab, (64, 24), generator=random).tolist()
    rows = prompts.EncodedPairs(ids, [i % 2 for i in range(64)], 0)
    for n in per_class:
        settings = load_profile("smoke").prompt_tuning.model_copy(update={
            "steps": STEPS, "eval_every": STEPS, "batch_real_per_class": n, "batch_syn_per_class": n})  # fmt: skip
        for group in groups:
            conditions = [tuning.Condition("paired_surgery", g, rows, rows, rows.take([0])) for g in range(group)]
            start_GPD = classifier.embedding.weight[:20].detach().float().expand(group, -1, -1).to(device)
            given = (start_GPD, conditions, classifier, words_C, settings)
            ways = {"together": partial(tuning.tune_prompts, *given, progress=False),
                    "apart": partial(one_at_a_time, *given)}  # fmt: skip
            took = seconds_in_turn(ways, rounds, device)
            out.append({"what": f"Algorithm 2, {2 * n} + {2 * n} rows", "size": named("T5", shape, n_vocab),
                        "ours": f"{group} prompts at once, one pass", "against": "one at a time, two passes",
                        "speed-up": ratio(took, "apart", "together"),
                        "conditions per minute": 0.06 * STEPS * group / statistics.median(took["together"])})  # fmt: skip
    return out
