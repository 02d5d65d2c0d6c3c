"""The parts of the bench, a table each.

Every model here has random weights: speed and memory do not depend on what they know.
"""

import tempfile
from pathlib import Path

import pandas as pd
import torch

from dawgen_core.bench import growth, roofline
from dawgen_core.bench.audit_costs import audit_costs
from dawgen_core.bench.method_costs import method_costs
from dawgen_core.bench.shapes import classifier_of, named
from dawgen_core.bench.sides import algorithm_1, many_prompts, side_by_side
from dawgen_core.data.profiles import load_profile
from dawgen_core.params import ROOT

ROUNDS, WIDTHS = 5, ((256, 6), (512, 8), (768, 12))  # widths: numbers of a state, layers
CAPTIONS = {
    "audit": "Made-up pairs, no reference, one run each. Hardware: {hardware}.",
    "growth": "One quantity alone is changed, from two rows per class, two classes, two conditions, 20 tokens on; the "
              "exponent of a power law ({rounds} rounds in turn, median; 1: in proportion), random weights. {hardware}.",
    "start": "Until imports are done, each in a process of its own ({rounds} rounds in turn, median). Hardware: {hardware}.",
    "stages": "The published default run by notebook, from its receipts (figures/pocket/manifest.json); one thread a job.",
    "roofline": "Products of matrices counted by torch, and bytes that cannot be avoided (weights per pass, caches); roofs "
                "are this machine's, measured beside. Random weights. Hardware: {hardware}.",
    "rows": "Pairs of the twin of MRPC, both sentences written by the pocket generator (untuned), judged from shards; one "
            "run each, one thread. Hardware: {hardware}.",
}  # fmt: skip
CAPTION = "Ratios measured in turn in one run ({rounds} rounds, median), random weights. Hardware: {hardware}."


T5_SMALL = {"d_model": 256, "d_kv": 32, "num_heads": 8, "d_ff": 512, "num_layers": 4, "num_decoder_layers": 4}
CTRL_SMALL = {"n_embd": 256, "n_layer": 6, "n_head": 4, "dff": 1024, "n_positions": 256}


PARTS = ("algorithm_1", "generation", "algorithm_2", "methods", "audit", "growth", "roofline", "start", "stages", "rows")


def bench(part: str, device: torch.device, *, quick: bool = False) -> pd.DataFrame:
    """The table of one part; paper-sized shapes on CUDA. quick: the least that runs every line (a test)."""
    rounds, paper = 1 if quick else ROUNDS, device.type == "cuda" and not quick
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    t5, ctrl, n_vocab, widths = T5_SMALL, CTRL_SMALL, 20_000, WIDTHS
    sizes, groups = (1, 8, 32, 64), (1, 4, 16)
    if paper:
        study = load_profile("paper")
        t5, ctrl, n_vocab = dict(study.classifier.shape), dict(study.generator.shape), study.generator.shape["vocab_size"]
        t5.pop("vocab_size"), ctrl.pop("vocab_size")
        widths, sizes, groups = ((1280, 48),), (1, 64, 256), (1, 13, 40)
    if quick:
        t5, ctrl, n_vocab, widths = T5_SMALL | {"d_model": 16}, CTRL_SMALL | {"n_embd": 16}, 400, ((16, 1),)
        sizes, groups = (1, 2), (2,)
    if part == "algorithm_1":
        rows = algorithm_1(device, dtype, widths, n_vocab, rounds)
    elif part == "generation":
        rows = side_by_side(device, dtype, ctrl, n_vocab, sizes, 2 * max(sizes))
    elif part == "algorithm_2":
        rows = many_prompts(device, dtype, t5, 32_128 if paper else 2_000, groups, (2, 8), rounds)
    elif part == "audit":
        rows = audit_costs((200, 400) if quick else (10_000, 30_000, 100_000))
    elif part == "growth":
        n_words = 2_000 if not paper else 32_128
        rows = growth.growth_costs(classifier_of(t5, n_words, device, dtype), named("T5", t5, n_words), quick=quick)
    elif part == "roofline":
        works = roofline.hot_loops(device, dtype, t5, ctrl, 32_128 if paper else 2_000, n_vocab, sizes[-1], groups[-1])
        rows = roofline.costs(works, device, dtype, n=256 if quick else 8192 if paper else 2048, rounds=rounds)
    elif part == "start":
        rows = growth.start_costs(quick=quick)
    elif part == "stages":
        rows = growth.stage_costs("pocket", ROOT / "figures")
    elif part == "rows":
        with tempfile.TemporaryDirectory() as folder:
            rows = growth.row_costs((40, 80) if quick else (5_000, 50_000), 20 if quick else 2_500, Path(folder))
    else:
        n_words, n_prompt = (32_128, 100) if paper else (2_000, 20)
        classifier = classifier_of(t5, n_words, device, dtype)
        rows = method_costs(classifier, named("T5", t5, n_words), steps=2 if quick else 50, prompt_tokens=n_prompt,
                            rounds=1 if quick else 3)  # fmt: skip
    return pd.DataFrame(rows).round(3)
