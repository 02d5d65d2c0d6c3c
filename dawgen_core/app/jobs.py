"""What each job of the workflow asks a scheduler for, from the table workflow/jobs.yaml: time, memory, GPU.

Sizes are no inputs of results: whoever edits the table makes nothing stale.
"""

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dawgen_core.app import stages
from dawgen_core.data import profiles
from dawgen_core.params import ROOT, Name, ParamsError, Positive, Profile, Rate, Record

TABLE = ROOT / "workflow" / "jobs.yaml"
NOTEBOOK = {"generator_tuning": "01_generator_tuning", "shard": "02_generation", "generation": "02_generation",
            "data_analysis": "03_data_analysis", "prompt_tuning": "04_prompt_tuning", "tables": "05_tables",
            "sweep": "06_beyond", "beyond": "06_beyond"}  # fmt: skip
Rule = Literal[tuple(NOTEBOOK)]
Factor = Annotated[float, Field(ge=1, allow_inf_nan=False)]


class Cost(Record):
    """Of a rule: seconds per unit of its notebook (`app.stages`; sweeps: per task and seed), MiB at the peak."""

    seconds: Rate
    memory: Positive


class Scale(Record):
    """Costs of every rule with models of one size: those of a classifier whose name begins so."""

    classifier: str
    rules: dict[Rule, Cost]

    @model_validator(mode="after")
    def _whole(self) -> "Scale":
        if missing := [rule for rule in NOTEBOOK if rule not in self.rules]:
            raise ValueError(f"rules: expected every rule of the Snakefile, found none of {missing}")
        return self


class Jobs(Record):
    """The table. start: what every job takes before its notebook does; safety: factors on what was measured."""

    safety: dict[Literal["seconds", "memory"], Factor]
    start: Cost
    gpu: list[Rule]
    scales: dict[Name, Scale]

    @model_validator(mode="after")
    def _factors(self) -> "Jobs":
        if len(self.safety) < 2:
            raise ValueError(f"safety: expected seconds and memory, found {list(self.safety)}")
        return self

    def scale(self, study: Profile) -> Scale:
        """The first one that fits the study's classifier. Errors: ParamsError."""
        for scale in self.scales.values():
            if study.classifier.model.startswith(scale.classifier):
                return scale
        known = ", ".join(repr(scale.classifier) for scale in self.scales.values())
        raise ParamsError(f"scales: expected one for {study.classifier.model}, found {known or 'none'}; add it to the table")

    def of(self, study: Profile, rule: str, tasks: list[str], seeds: list[int]) -> dict[str, int]:
        """runtime (minutes, rounded up), mem_mb (MiB), gpu (how many) of a job of a rule on tasks and seeds."""
        cost = self.scale(study).rules[rule]
        sweeps = {"06_beyond": len(tasks) * len(seeds)}
        n = (stages.units(study, tasks, seeds) | sweeps)[NOTEBOOK[rule]]
        if rule in ("shard", "generation") and study.generation.shard:  # one writes a shard, the other judges all of them
            n = math.ceil(n * min(1, study.generation.shard / study.generation.per_class))
        seconds = self.safety["seconds"] * (self.start.seconds + n * cost.seconds)
        memory = self.safety["memory"] * (self.start.memory + cost.memory)
        gpu = int(rule in self.gpu and study.compute.device != "cpu")
        return {"runtime": math.ceil(seconds / 60), "mem_mb": math.ceil(memory), "gpu": gpu}


def load(path: Path = TABLE) -> Jobs:
    """The table, checked. Errors: ParamsError names every wrong line."""
    return profiles.validated(Jobs, profiles.read_yaml(path), path)
