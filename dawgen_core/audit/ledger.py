"""The ledger: which conditions a study has, and one row per finished condition."""

import pandas as pd

from dawgen_core import methods
from dawgen_core.artifacts import NO_GENERATOR, NOTEBOOKS, Runs, digest, read_json, verified
from dawgen_core.data import recipes
from dawgen_core.data.profiles import load_task
from dawgen_core.params import Profile

ORACLE = "oracle"  # rows of the pocket world that are right for sure: an upper bound, used alone
COMBINATIONS = ("pooled", "pooled_smoothed", "real_then_syn", "syn_then_real")


def conditions(profile: Profile, task: str, seeds: list[int]) -> list[tuple[int | None, str, str]]:
    """All (seed, generator, method) that `profile` asks for on a task, in table order.

    Ways to combine rows other than in pairs are Table 2's, for MLE, FewGen and DawGen only; oracle rows are used alone.
    """
    kinds = profile.kinds(task)
    seeded = {name: methods.method(name).module.SEEDED for name in profile.methods}
    paired = {name: "dawgen" if "synthetic" in methods.method(name).reads else NO_GENERATOR for name in profile.methods}
    out: list[tuple[int | None, str, str]] = []
    if profile.seeds[0] in seeds:  # one result for all seeds: made with the first group
        out += [(None, NO_GENERATOR, name) for name in profile.methods if not seeded[name]]
    for seed in seeds:
        own = [(seed, paired[name], name) for name in profile.methods if seeded[name] and _has_source(profile, task, name)]
        for strategy in profile.prompt_tuning.strategies:
            generators = [NO_GENERATOR] if strategy == "real" else [k for k in kinds if _asked_for(strategy, k)]
            own += [(seed, generator, strategy) for generator in generators]
        out += [key for key in own if _has_seed(profile, *key)]
    return out


def _has_source(profile: Profile, task: str, method: str) -> bool:
    return "source" not in methods.method(method).reads or task in profile.transfer_from


def _has_seed(profile: Profile, seed: int, generator: str, method: str) -> bool:
    n = profile.first_seeds.get(f"{generator}/{method}", profile.first_seeds.get(method, len(profile.seeds)))
    return seed in profile.seeds[:n]


def _asked_for(strategy: str, kind: str) -> bool:
    if kind == ORACLE:
        return strategy == "syn"
    return strategy not in COMBINATIONS or kind in ("mle", "fewgen", "dawgen")


def ledger(runs: Runs, profile: Profile) -> pd.DataFrame:
    """One row per condition of the profile, from `result.json` and `receipt.json` alone.

    Errors: ArtifactError names the first condition that is missing and the notebook that makes it.
    """
    rows = []
    for task in profile.tasks:
        spec = load_task(task)
        for seed, generator, method in conditions(profile, task, profile.seeds):
            folder = runs.condition(task, seed, generator, method)
            expected = recipes.condition(profile, spec, runs, seed, generator, method)
            result = verified(folder, "condition", expected)
            receipt = read_json(folder / "receipt.json", made_by=NOTEBOOKS["condition"], keys={"seconds": int | float})
            key = {"task": task, "seed": seed, "generator": generator, "method": method, "name": runs.name(folder)}
            born = {"digest": digest(folder / "result.json"), **{k: receipt.get(k) for k in ("commit", "seconds")}}
            born["seconds_own"] = (receipt["seconds"] - receipt.get("shared_seconds", 0)) * receipt.get("share", 1)
            rows.append(key | result["metrics"] | born)
    return pd.DataFrame(rows).astype({"seed": "Int64"})
