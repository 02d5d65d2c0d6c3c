"""How near a loop comes to what the hardware can do: FLOPs and bytes counted, against roofs that are measured beside it.

Williams et al., Roofline (2009): no work runs faster than its FLOPs by the fastest matrix product, or its bytes by the
fastest copy. Bytes are those that cannot be avoided: the weights once per pass over the model, and what a cache holds.
"""

import statistics
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dawgen_core import bilevel, generation, prompts, samplers, tuning
from dawgen_core.bench.measuring import seconds_in_turn
from dawgen_core.bench.shapes import classifier_of, generator_of, named, never_ends
from dawgen_core.data.profiles import load_profile, load_task


class Work(NamedTuple):
    """A loop over a model. backward: each pass forward has one backward; cache: bytes read beside the weights, in all."""

    what: str
    size: str
    way: Callable[[], object]
    model: nn.Module
    backward: bool
    cache: float = 0.0


def counted(work: Work) -> tuple[float, float]:
    """(FLOPs, bytes) of one call: products of matrices by torch's counter; the weights times the passes over the model."""
    blocks = max((part for part in work.model.modules() if isinstance(part, nn.ModuleList)), key=len)
    passes = 0

    def passed(*_) -> None:
        nonlocal passes
        passes += 1

    hook = blocks[0].register_forward_hook(passed)
    try:
        with FlopCounterMode(display=False) as counter:
            work.way()
    finally:
        hook.remove()
    weights = sum(p.numel() * p.element_size() for p in work.model.parameters())
    return float(counter.get_total_flops()), weights * passes * (1 + work.backward) + work.cache


def roofs(device: torch.device, dtype: torch.dtype, *, n: int, rounds: int) -> tuple[float, float]:
    """(FLOP/s of a product of n x n matrices, bytes/s of a copy of as many numbers times eight, read and written)."""
    one_NN, other_NN = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    source, target = (torch.zeros(8 * n * n, device=device, dtype=dtype) for _ in range(2))
    found = seconds_in_turn({"product": lambda: one_NN @ other_NN, "copy": lambda: target.copy_(source)}, rounds, device)
    product, copy = (min(found[name]) for name in ("product", "copy"))
    return 2 * n**3 / product, 2 * source.numel() * source.element_size() / copy


def costs(works: list[Work], device: torch.device, dtype: torch.dtype, *, n: int, rounds: int) -> list[dict]:
    """A row per loop: what was counted, how long it took, and its share of each roof; the larger one is what bounds it."""
    peak, speed = roofs(device, dtype, n=n, rounds=rounds)
    out = []
    for work in works:
        flops, size = counted(work)
        seconds = statistics.median(seconds_in_turn({"": work.way}, rounds, device)[""])
        shares = {"arithmetic": flops / seconds / peak, "memory": size / seconds / speed}
        out.append({"what": work.what, "size": work.size, "GFLOP": flops / 1e9, "GB": size / 1e9, "seconds": seconds,
                    "of the fastest product": shares["arithmetic"], "of the fastest copy": shares["memory"],
                    "nearer roof": max(shares, key=shares.get), "roof (GFLOP/s)": peak / 1e9,
                    "roof (GB/s)": speed / 1e9})  # fmt: skip
    return out


def hot_loops(
    device: torch.device, dtype: torch.dtype, t5: dict, ctrl: dict, n_words: int, n_vocab: int, batch: int, group: int,
    steps: int = 2,
) -> list[Work]:
    """The three loops that a study spends its time in, on models of these shapes, as many side by side as given."""
    study, task, random = load_profile("smoke"), load_task("mrpc"), samplers.seeded(2)
    lm, classifier = generator_of(ctrl, n_vocab, device, dtype), classifier_of(t5, n_words, device, dtype)
    words = torch.randint(4, len(lm.tokenizer), (4, 48), generator=random).tolist()
    layout = prompts.PromptLayout(task, lm, study.generator_tuning)
    q_GCSD = layout.initial()[None].to(device).requires_grad_()
    term, optimisers = bilevel.new_loss(layout, "dawgen", 13, study.generator_tuning)
    four = bilevel.Batch.of(layout, [[(row[:24], row[24:]) for row in words]], [[0, 0, 1, 1]])

    most, names = 32, [w[1:] for w in lm.tokenizer.get_vocab() if w.startswith("▁") and len(w) > 1]
    writing = study.generation.model_copy(update={"batch_size": batch, "max_new_tokens": most})
    firsts = [" ".join(names[i] for i in torch.randint(len(names), (12,), generator=random)) for _ in range(batch)]

    def write() -> None:
        with never_ends(lm, layout.eos_ids[0]):
            generation.continuations(layout, layout.initial(), writing, 0)(0, range(batch), firsts)

    read = layout.initial().shape[1] + 12 + most / 2  # places of a row in the cache, on average
    cache = most * batch * read * 2 * ctrl["n_layer"] * ctrl["n_embd"] * dtype.itemsize

    ids = torch.randint(4, n_words, (64, 24), generator=random).tolist()
    rows = prompts.EncodedPairs(ids, [i % 2 for i in range(64)], 0)
    conditions = [tuning.Condition("paired_surgery", seed, rows, rows, rows.take([0])) for seed in range(group)]
    start_GPD = classifier.embedding.weight[:20].detach().float().expand(group, -1, -1)
    settings = study.prompt_tuning.model_copy(update={"steps": steps, "eval_every": steps})
    given = (start_GPD, conditions, classifier, torch.tensor([5, 6], device=device), settings)
    tune = partial(tuning.tune_prompts, *given, progress=False)
    ctrl_named = named("CTRL", ctrl, n_vocab)
    step = partial(bilevel.algorithm_1_step, layout, q_GCSD, [term], optimisers, four)
    return [Work("Algorithm 1, a step of 4 rows", ctrl_named, step, lm.model, True),
            Work(f"{most} new tokens of {batch} rows", ctrl_named, write, lm.model, False, cache),
            Work(f"Algorithm 2, {steps} steps of {group} prompts", named("T5", t5, n_words), tune, classifier.model, True)]
