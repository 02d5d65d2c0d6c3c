"""What notebook 02 asks a tuned generator, and one shard of it as a job of its own.

    python -m dawgen_core.app.writing PROFILE TASK --seeds 13 21 --label entailment --shard 3

writes the attempts of the fourth shard of a label (`generation.shard` rows of each kind and seed) beside the place of the
rows; notebook 02 then finds them and judges all shards together. What is there already is not written again.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from dawgen_core import artifacts, generation, params, prompts, samplers
from dawgen_core.app import imports
from dawgen_core.artifacts import Runs
from dawgen_core.data import parts, pretrained, profiles, recipes, synthetic
from dawgen_core.data.rows import TaskRows
from dawgen_core.params import ParamsError, Profile
from dawgen_core.tasks import Task

WRITERS = ("generation", "data.card", "data.parts", "data.pretrained", "data.rows", "data.synthetic")


def code() -> str:
    """Digest of what makes rows, as it stands when a job begins: notebook 02 and the modules that write."""
    own = imports.notebook_code(params.ROOT / "notebooks" / "02_generation.ipynb")
    return artifacts.digest_of([own, imports.modules_digest(*WRITERS)])


def firsts(rows: TaskRows, layout: prompts.PromptLayout, settings: params.Generation, seed: int) -> synthetic.Firsts | None:
    """Given first sentences in seeded order, each short enough to be read whole; None: the generator writes both."""
    if rows.task.generator.mode == "both":
        return None
    n, most = int(settings.per_class * settings.max_attempts_per_row), layout.settings.max_first_tokens
    found = zip(*rows.first_sentences(n, samplers.seeded(seed, samplers.FIRSTS)), strict=True)
    whole = [(i, text) for i, text in found if len(layout.generator.ids(text)) <= most]
    return [i for i, _ in whole], [text for _, text in whole]


def inputs(
    study: Profile, task: Task, runs: Runs, seed: int, kind: str, given: synthetic.Firsts | None, weights: str,
    code: str,
) -> dict:  # fmt: skip
    """All that goes into the rows of one generator prompt."""
    own = {"firsts": artifacts.digest_of(given), "weights": weights, "code": code}
    return recipes.synthetic(study, task, runs, seed, kind) | own


def asked(
    study: Profile, runs: Runs, layout: prompts.PromptLayout, seed: int, kind: str, made_from: dict
) -> generation.ContinueFrom:
    """The tuned generator, ready to be asked; it remembers what it said for the same inputs."""
    task = layout.task.task
    q_CSD = artifacts.read_tensors(runs.generator(task, seed, kind) / "prompt.safetensors")["q_CSD"]
    ask = generation.continuations(layout, q_CSD, study.generation, seed)
    return parts.remembered(ask, runs.synthetic(task, seed, kind), made_from)


def write_shard(study: Profile, task: str, runs: Runs, seeds: Sequence[int], label: str, shard: int) -> dict[str, int]:
    """Asks for one shard of a label, for every kind and seed: name of the rows -> attempts. Errors: ParamsError for a label
    or shard that is not there; ArtifactError where notebook 01 has not run."""
    spec, settings = profiles.load_task(task), study.generation
    if label not in spec.labels:
        raise ParamsError(f"label: expected one of {spec.labels}, found {label!r}")
    own_code = code()
    keys = [(kind, seed) for kind in study.generator_tuning.kinds for seed in seeds]
    for kind, seed in keys:
        artifacts.verified(runs.generator(task, seed, kind), "generator", recipes.generator(study, spec, runs, seed, kind))
    rows, made = TaskRows(spec, study), {}
    torch.set_num_threads(study.compute.threads)
    vocabulary = rows.vocabulary() if study.generator.is_tiny else ()
    generator = pretrained.load_generator(study.generator, study.compute, vocabulary)
    layout, weights = prompts.PromptLayout(spec, generator, study.generator_tuning), generator.weights_digest()
    for kind, seed in keys:
        folder, given = runs.synthetic(task, seed, kind), firsts(rows, layout, settings, seed)
        spans = synthetic.shards(settings, given)
        if not 0 <= shard < len(spans):
            raise ParamsError(f"shard: expected 0 to {len(spans) - 1}, found {shard}")
        made_from = inputs(study, spec, runs, seed, kind, given, weights, own_code)
        if not artifacts.done(folder, "synthetic", made_from):
            ask = asked(study, runs, layout, seed, kind, made_from)
            attempts = synthetic.shard(spec, spec.labels.index(label), ask, given, settings, *spans[shard])
            made[runs.name(folder)] = sum(1 for _ in attempts)
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m dawgen_core.app.writing", description=__doc__.splitlines()[0])
    parser.add_argument("profile")
    parser.add_argument("task")
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--label", required=True)
    parser.add_argument("--shard", type=int, required=True)
    parser.add_argument("--runs-dir", default="runs")
    parser.add_argument("--out", type=Path, help="where to say what was made")
    chosen = parser.parse_args()
    profile = profiles.load_profile(chosen.profile)
    found = write_shard(profile, chosen.task, Runs.of(profile, chosen.runs_dir), chosen.seeds, chosen.label, chosen.shard)
    if chosen.out:
        artifacts.write_json(chosen.out, found)
