"""What each notebook of a run took, and from it what another run is going to take."""

from pathlib import Path

import pandas as pd

from dawgen_core import artifacts, params
from dawgen_core.app import provenance
from dawgen_core.artifacts import Runs
from dawgen_core.audit.ledger import conditions
from dawgen_core.data import profiles
from dawgen_core.params import Profile

MADE_BY = {"01_generator_tuning": "generator", "02_generation": "synthetic", "03_data_analysis": "audit",
           "04_prompt_tuning": "condition", "05_tables": "tables"}  # fmt: skip


def units(study: Profile, tasks: list[str], seeds: list[int]) -> dict[str, int]:
    """What the time of each notebook grows with, for some tasks and seeds of a study."""
    n_runs, n_kinds = len(tasks) * len(seeds), len(study.generator_tuning.kinds)
    n_sets = sum(len(study.kinds(task)) for task in tasks) * len(seeds)
    n_conditions = sum(len(conditions(study, task, seeds)) for task in tasks)
    return {"01_generator_tuning": n_runs * n_kinds, "02_generation": n_runs * n_kinds * study.generation.per_class,
            "03_data_analysis": n_sets, "04_prompt_tuning": n_conditions, "05_tables": n_conditions}  # fmt: skip


def jobs(study: Profile) -> pd.DataFrame:
    """notebook, jobs (one per task and group of seeds, or one in all), units (what its time grows with), their unit."""
    n_groups, n = len(study.tasks) * len(study.seed_groups()), units(study, study.tasks, study.seeds)
    made = {"01_generator_tuning": (n_groups, "prompts"), "02_generation": (n_groups, "pairs per class"),
            "03_data_analysis": (1, "sets"), "04_prompt_tuning": (n_groups, "conditions"),
            "05_tables": (1, "conditions")}  # fmt: skip
    lines = [(name, n_jobs, n[name], unit) for name, (n_jobs, unit) in made.items()]
    return pd.DataFrame(lines, columns=["notebook", "jobs", "units", "unit"])


def measured(study: Profile, runs: Runs) -> pd.DataFrame:
    """`jobs` with core seconds (of all their results, however often the run was stopped), the largest memory of a job and
    what is on disk, in MiB."""
    lines = []
    for line in jobs(study).to_dict("records"):
        name = line["notebook"]
        folders = [path.parent for path in runs.root.rglob("result.json") if _kind(path) == MADE_BY[name]]
        receipts = [provenance.receipt_of(folder) for folder in folders]
        size = sum(path.stat().st_size for folder in folders for path in folder.iterdir() if path.is_file())
        lines.append(line | {"seconds": round(sum(map(provenance.seconds, receipts)), 1),
                             "memory": max((receipt.get("peak_memory_mib", 0.0) for receipt in receipts), default=0.0),
                             "disk": round(size / 2**20, 1)})  # fmt: skip
    return pd.DataFrame(lines)


def planned(study: Profile, cores: int, figures: Path = params.ROOT / "figures") -> tuple[pd.DataFrame, str]:
    """(`jobs` with seconds, memory and disk, where the costs come from): those of a published run on the same models, scaled
    by units. Where there is none, the columns are not there."""
    plan, known = jobs(study), _published(study, figures)
    if known is None:
        return plan, f"no run with {study.classifier.model} and {study.generator.model} is published: costs not measured"
    name, costs = known
    costs = plan[["notebook"]].merge(costs, on="notebook", suffixes=("_", ""))
    scale = plan["units"] / costs["units"].clip(lower=1)
    plan["seconds"] = (scale * costs["seconds"] / plan["jobs"].clip(upper=cores)).round()
    plan["memory (MiB)"] = (costs["memory"] * plan["jobs"].clip(upper=cores)).round()
    plan["disk (MiB)"] = (scale * costs["disk"]).round(1)
    return plan, f"scaled from what the published run of {name} took (one thread a job)"


def lasting(seconds: float) -> str:
    """Seconds for people.

    >>> lasting(44), lasting(550), lasting(51_000)
    ('44 s', '9 min', '14.2 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def _published(study: Profile, figures: Path) -> tuple[str, pd.DataFrame] | None:
    """The published run of this profile, or else of another one with the same models and settings of tuning."""
    found = {}
    for path in sorted(figures.glob("*/manifest.json")):
        manifest = artifacts.read_json(path, made_by="")
        if manifest.get("stages") and profiles.profile_path(path.parent.name).is_file():
            other = profiles.load_profile(path.parent.name)
            if (other.classifier, other.generator) == (study.classifier, study.generator):
                found[other.profile] = pd.DataFrame(manifest["stages"])
    name = next((one for one in (study.profile, study.extends, *found) if one in found), None)
    return name and (name, found[name])


def _kind(result: Path) -> str:
    return artifacts.read_json(result, made_by="", keys={"kind": str})["kind"]
