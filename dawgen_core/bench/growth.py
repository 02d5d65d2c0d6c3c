"""How costs grow (a fitted exponent: 1 is in proportion), what start-up costs, what a run took by stage, and the memory of
generation as its rows become many."""

import json
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import torch

from dawgen_core import artifacts, generation, prompts, samplers, tuning
from dawgen_core.app import receipts
from dawgen_core.backbones import Classifier
from dawgen_core.bench.measuring import seconds_in_turn
from dawgen_core.data import parts, pretrained, profiles, synthetic
from dawgen_core.prompts import EncodedPairs
from dawgen_core.tasks import Decode

BASE = {"rows per class": 2, "prompt tokens": 20, "classes": 2, "conditions": 2}
SIZES = {"rows per class": (2, 4, 8, 16, 32), "prompt tokens": (10, 20, 40, 80, 160), "classes": (2, 4, 8, 16),
         "conditions": (1, 2, 4, 8, 16)}  # fmt: skip
STARTS = {
    "Python alone": "pass", "dawgen --help": "from dawgen_core.app import cli; cli.main(['--help'])",
    "profiles": "from dawgen_core.data import profiles", "the Snakefile's": "from dawgen_core.app import entry, imports; "
    "from dawgen_core.data.rows import row_files; from dawgen_core.beyond import sweeps",
    "torch": "import torch", "a loaded model's": "from dawgen_core.data import pretrained; from dawgen_core import tuning",
}  # fmt: skip


def exponent(sizes: list[float], costs: list[float]) -> float:
    """The slope of log cost over log size, by least squares.

    >>> round(exponent([1, 2, 4], [3, 12, 48]), 6)
    2.0
    """
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


# ---- Algorithm 2


def tuning_seconds(classifier: Classifier, steps: int, **size: int) -> float:
    """Seconds per step of Algorithm 2 with surgery, for this many of everything; 24 tokens a row."""
    n_classes, n = size["classes"], size["rows per class"]
    ids = torch.randint(4, 200, (n_classes * n, 24), generator=samplers.seeded(2)).tolist()
    rows = EncodedPairs(ids, [i % n_classes for i in range(len(ids))], 0)
    conditions = [tuning.Condition("paired_surgery", seed, rows, rows, rows.take([0])) for seed in range(size["conditions"])]
    start_PD = classifier.embedding.weight[: size["prompt tokens"]].detach().float()
    given = (start_PD.expand(len(conditions), -1, -1), conditions, classifier, torch.arange(5, 5 + n_classes))
    settings = profiles.load_profile("smoke").prompt_tuning.model_copy(update={
        "steps": steps, "eval_every": steps, "batch_real_per_class": n, "batch_syn_per_class": n})  # fmt: skip
    started = time.perf_counter()
    tuning.tune_prompts(*given, settings, progress=False)
    return (time.perf_counter() - started) / steps


def growth_costs(classifier: Classifier, name: str, *, quick: bool = False) -> list[dict]:
    """A row per quantity that alone is changed: the sizes, seconds per step at the ends, and the exponent between."""
    tuning_seconds(classifier, 1, **BASE)  # warm-up
    out = []
    for what, sizes in SIZES.items():
        sizes = sizes[:2] if quick else sizes
        ways = {size: partial(tuning_seconds, classifier, 1 if quick else 4, **(BASE | {what: size})) for size in sizes}
        found = {size: [] for size in sizes}
        for _ in range(1 if quick else 5):  # in turn
            for size, way in ways.items():
                found[size].append(way())
        costs = [statistics.median(found[size]) for size in sizes]
        asked, ends = " ".join(map(str, sizes)), {"first (ms)": 1000 * costs[0], "last (ms)": 1000 * costs[-1]}
        out.append({"what": "Algorithm 2, a step", "size": name, "grows with": what, "sizes": asked, **ends,
                    "exponent": exponent(sizes, costs)})  # fmt: skip
    return out


# ---- start-up


def start_costs(*, quick: bool = False) -> list[dict]:
    """Seconds until imports are done, each in a process of its own, and until a kernel answers; over Python alone."""
    from jupyter_client.manager import start_new_kernel

    def run(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL)

    def kernel() -> None:
        manager, client = start_new_kernel(kernel_name="python3")
        client.stop_channels()
        manager.shutdown_kernel(now=True)

    ways = {name: partial(run, code) for name, code in list(STARTS.items())[: 1 if quick else None]}
    ways["a Jupyter kernel"] = kernel
    found = seconds_in_turn(ways, 1 if quick else 5, torch.device("cpu"))
    seconds = {name: statistics.median(each) for name, each in found.items()}
    alone = seconds["Python alone"]
    return [{"what": "start", "of": name, "seconds": s, "times Python alone": s / alone} for name, s in seconds.items()]


# ---- a run by stage


def stage_costs(profile: str, figures: Path) -> list[dict]:
    """What each notebook of the published run of a profile took, from its manifest."""
    manifest = artifacts.read_json(figures / profile / "manifest.json", made_by="05_tables")
    whole = sum(stage["seconds"] for stage in manifest["stages"])
    return [{"what": stage["notebook"], "jobs": stage["jobs"], "core seconds": stage["seconds"],
             "share": stage["seconds"] / whole, "memory of a job (MiB)": stage["memory"],
             "milliseconds per unit": 1000 * stage["seconds"] / stage["units"], "unit": stage["unit"]}
            for stage in manifest["stages"]]  # fmt: skip


# ---- rows without end


def write_rows(n: int, shard: int, folder: Path) -> dict:
    """n pairs of the twin of MRPC by the untuned pocket generator, both sentences written, judged from shards of a size."""
    torch.set_num_threads(1)
    watch, study, task = receipts.Receipt("cpu"), profiles.load_profile("pocket"), profiles.load_task("pocket_mrpc")
    writes_both = task.generator.model_copy(update={"mode": "both"})
    decoding = dict.fromkeys(task.labels, Decode(temperature=1.0))
    task = task.model_copy(update={"generator": writes_both, "decoding": decoding})
    changes = {"per_class": n // len(task.labels), "shard": shard, "curation": None}
    settings = study.generation.model_copy(update=changes)
    generator = pretrained.load_generator(study.generator, study.compute, ())
    layout = prompts.PromptLayout(task, generator, study.generator_tuning)
    ask = generation.continuations(layout, layout.initial(), settings, 13)
    loaded, counts, held = watch.close()["peak_memory_mib"], {}, []
    found = synthetic.frames(task, parts.remembered(ask, folder, {"n": n}), None, settings, counts, progress=False)

    def watched():
        for frame in found:
            held.append(psutil.Process().memory_info().rss / 2**20)
            yield frame

    synthetic.write(folder / "synthetic.parquet", watched())
    spent = watch.close()
    assert sum(count["accepted"] for count in counts.values()) == n
    return {"what": "pairs written", "size": n, "shard": shard, "seconds": spent["seconds"],
            "attempts": sum(count["attempts"] for count in counts.values()),
            "model loaded (MiB)": loaded, **halves(held), "peak memory (MiB)": spent["peak_memory_mib"]}  # fmt: skip


def halves(held: list[float]) -> dict[str, float]:
    """The median of each half of what was held, frame by frame: what grows shows in the second."""
    half = len(held) // 2
    return {"held, first half of the frames (MiB)": statistics.median(held[:half]),
            "second half": statistics.median(held[half:])}  # fmt: skip


def row_costs(sizes: tuple[int, ...], shard: int, folder: Path) -> list[dict]:
    """`write_rows` at each size, in a process of its own."""
    out = []
    for n in sizes:
        command = [sys.executable, "-m", "dawgen_core.bench.growth", str(n), str(shard), str(folder / str(n))]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        out.append(json.loads(done.stdout.splitlines()[-1]))
    return out


if __name__ == "__main__":
    n_rows, n_shard, where = sys.argv[1:]
    print(json.dumps(write_rows(int(n_rows), int(n_shard), Path(where))))
