"""`make bench`: what the method's levers are worth, as ratios measured in turn in one run, with the hardware named.

Every model here has random weights: speed and memory do not depend on what they know. Peak memory counts tensors,
beyond weights and inputs (on the CPU from the profiler's allocation events, on CUDA from the allocator).
"""

import statistics
import time
from collections.abc import Callable
from unittest import mock

import torch
import transformers
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile

from dawgen_core import backbones, bilevel, losses, prompts, samplers
from dawgen_core.data import pretrained
from dawgen_core.data.profiles import load_profile, load_task
from dawgen_core.params import Backbone

ROUNDS, STEPS = 5, 3
WIDTHS = ((256, 6), (512, 8), (768, 12))  # width, layers
CAPTION = "Ratios measured in turn in one run ({rounds} rounds, median), random weights. Hardware: {hardware}."


def seconds_in_turn(ways: dict[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of every way, one after the other, round by round, after one round of warming up."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(rounds + 1):
        for name, way in ways.items():
            _wait(device)
            started = time.perf_counter()
            way()
            _wait(device)
            found[name] += [time.perf_counter() - started] if i else []
    return found


def ratio(found: dict[str, list[float]], name: str, to: str) -> float:
    """Median over rounds of the ratio of two ways measured in the same round."""
    return statistics.median(a / b for a, b in zip(found[name], found[to], strict=True))


def peak_mib(way: Callable[[], object], device: torch.device) -> float:
    """The most memory that the way holds in tensors beyond what is there when it starts, in MiB."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        way()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        way()
    changes, waiting = [], list(found.profiler.kineto_results.experimental_event_tree())
    while waiting:
        event = waiting.pop()
        waiting += event.children
        if (size := getattr(event.extra_fields, "alloc_size", None)) is not None:
            changes.append((event.start_time_ns, size))
    held = most = 0
    for _, size in sorted(changes, key=lambda change: change[0]):
        held += size
        most = max(most, held)
    return most / 2**20


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


# ---- models of a given shape


def generator_of(shape: dict, n_vocab: int, device: torch.device, dtype: torch.dtype) -> backbones.Generator:
    """A CTRL with random weights and the smoke profile's words."""
    config = transformers.CTRLConfig(vocab_size=n_vocab, initializer_range=0.05, **shape)
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    return backbones.Generator(model, _tokenizer(), "CTRL, random weights")


def classifier_of(shape: dict, n_vocab: int, device: torch.device, dtype: torch.dtype) -> backbones.Classifier:
    """A T5 with random weights."""
    spec = Backbone(model="tiny:t5", architecture="t5", shape=shape | {"vocab_size": n_vocab}, n_words=1)
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        model = transformers.AutoModelForSeq2SeqLM.from_config(pretrained.config_of(spec), dtype=dtype)
    return backbones.Classifier(model, _tokenizer(), "T5, random weights")


def _tokenizer():
    task = load_task("mrpc")
    words = [task.generator.control_code, task.generator.infix, *task.generator.prefix.values(), "yes no neutral ."]
    spec = Backbone(model="tiny:t5", architecture="t5", shape={"d_model": 8}, n_words=400)
    return pretrained.load_tokenizer(spec, [" ".join(words)])


# ---- Algorithm 1


def plain_step(layout, q_GCSD, terms, net_optimisers, batch: bilevel.Batch, *, reuse: bool) -> None:
    """Algorithm 1 by second-order autograd, as one would write it first: `create_graph=True` through the virtual step.

    reuse: step (c) takes the token losses of (a), as ours does; otherwise it reads the rows again.
    """
    settings, own = terms[0].settings, batch.own

    def total(seen: bilevel.TokenReading) -> torch.Tensor:
        parts = [term.parts(seen.rows(batch.part(g)), None, own.scored_BL[batch.part(g)], own.label_B[batch.part(g)])
                 for g, term in enumerate(terms)]  # fmt: skip
        return torch.stack([losses.dawgen_loss(weighted, aligned) for weighted, aligned, _ in parts]).sum()

    seen = bilevel.read_tokens(layout, q_GCSD, own)
    (grad_GCSD,) = torch.autograd.grad(total(seen), q_GCSD, create_graph=True)
    under = bilevel.read_tokens(layout, q_GCSD - settings.virtual_lr * grad_GCSD, batch.under)
    score_BLC = (-under.nll_BL).unflatten(0, (-1, len(own.label_B))).permute(1, 2, 0)
    disc = sum(losses.discrimination_loss(score_BLC[p], own.label_B[p], own.scored_BL[p], form=settings.discrimination)
               for p in map(batch.part, range(len(terms))))  # fmt: skip
    parameters = [p for term in terms for p in term.net.parameters()]
    for parameter, grad in zip(parameters, torch.autograd.grad(disc, parameters, retain_graph=reuse), strict=True):
        parameter.grad = grad
    for optimiser in net_optimisers:
        optimiser.step()
    (q_GCSD.grad,) = torch.autograd.grad(total(seen if reuse else bilevel.read_tokens(layout, q_GCSD, own)), q_GCSD)


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
                for kernels, wrap in ((", plain kernels", once), ("", lambda way: way)) for n in (4, 2, 1)}  # fmt: skip
        ways = plain | ours
        took, peaks = seconds_in_turn(ways, rounds, device), {name: peak_mib(way, device) for name, way in ways.items()}
        for name, to in [(name, base) for name in ours for base in plain]:
            out.append({"what": "Algorithm 1, one step", "size": f"CTRL {width} x {layers}, vocabulary {n_vocab:,}",
                        "ours": name, "against": to, "time": ratio(took, name, to), "memory": peaks[name] / peaks[to],
                        "seconds": statistics.median(took[name]) / STEPS, "MiB": peaks[name]})  # fmt: skip
    return out
