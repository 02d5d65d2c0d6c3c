"""What FT, LoRA, prompt tuning and Ours cost per step, on random weights of a given shape: seconds and peak memory."""

import statistics
from dataclasses import replace
from functools import partial

import torch

from dawgen_core.backbones import Classifier
from dawgen_core.bench.measuring import peak_mib, seconds_in_turn
from dawgen_core.data.profiles import load_profile, load_task
from dawgen_core.data.rows import TaskRows
from dawgen_core.methods import fine_tuning, lora
from dawgen_core.methods.given import Given
from dawgen_core.methods.prompted import tune_from


def method_costs(classifier: Classifier, size: str, *, steps: int, prompt_tokens: int, rounds: int) -> list[dict]:
    """A row per method: `steps` steps of 4 real rows (Ours: and 4 synthetic ones), dev asked once at the end.

    Memory counts tensors beyond the frozen model's: for FT its copy, gradients and the optimiser's moments too.
    """
    study, task = load_profile("smoke"), load_task("mrpc")
    train, dev = TaskRows(task, study).few_shot(13)
    limits = study.prompt_tuning.model_copy(update={"steps": steps, "eval_every": steps, "prompt_tokens": prompt_tokens})
    given = Given(task, classifier, train, dev.head(4), dev.head(4), 13, limits)
    few = replace(given, limits=limits.model_copy(update={"steps": 3, "eval_every": 3}))
    start = {"soft_prompt": classifier.embedding.weight[:prompt_tokens].detach().float().cpu(), "tokens": torch.tensor(0)}
    ways = {
        "FT": partial(fine_tuning.run, settings=fine_tuning.Settings(lr=3e-5, weight_decay=0.01)),
        "LoRA": partial(lora.run, settings=lora.Settings(lr=1e-3, weight_decay=0.0, rank=8, alpha=16.0)),
        "Prompt Tuning": partial(tune_from, start),
        "Ours": lambda given: tune_from(start, given, "paired_surgery", given.encoded(train)),
    }
    took = seconds_in_turn({name: partial(way, given=given) for name, way in ways.items()}, rounds, classifier.device)
    out = []
    for name, way in ways.items():
        out.append({"what": f"{steps} steps", "method": name, "size": size, "trained numbers": way(given=few).trainable,
                    "milliseconds per step": 1000 * statistics.median(took[name]) / steps,
                    "peak memory (MiB)": peak_mib(partial(way, given=few), classifier.device)})  # fmt: skip
    return out
