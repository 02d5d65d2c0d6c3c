"""What compared methods may read beside the few-shot rows, and where they keep what all seeds share."""

import time
from collections.abc import Callable
from functools import cached_property

import pandas as pd
from filelock import FileLock
from torch import Tensor

from dawgen_core import artifacts, methods
from dawgen_core.artifacts import Runs, digest_of
from dawgen_core.data import profiles, recipes
from dawgen_core.data.rows import TaskRows
from dawgen_core.methods.given import Lent
from dawgen_core.params import ParamsError, Profile, Record
from dawgen_core.tasks import Task

UNLABELLED, ADJACENT = 1000, 2200  # pairs at most
PER_CLASS, DEV_PER_CLASS = 1000, 32  # rows of a source task


def check(study: Profile, task: Task) -> None:
    """Errors: ParamsError when a task would transfer from itself. A task without a source lacks methods that need one."""
    if study.transfer_from.get(task.task) == task.task:
        raise ParamsError(f"transfer_from.{task.task}: expected another task, found itself")


class Lender:
    """Rows of one task beside the few-shot ones; read when they are asked for, once. weights: the classifier's digest."""

    def __init__(self, rows: TaskRows, study: Profile, runs: Runs, weights: str, code_of: Callable[[str], str]):
        self.rows, self.study, self.runs, self.weights, self.code_of = rows, study, runs, weights, code_of
        self.seconds = 0.0  # spent so far on what methods share

    @cached_property
    def unlabelled(self) -> pd.DataFrame:
        return self.rows.unlabelled(UNLABELLED)

    @cached_property
    def adjacent(self) -> pd.DataFrame:
        return self.rows.adjacent(ADJACENT)

    @cached_property
    def source(self) -> tuple[Task, pd.DataFrame, pd.DataFrame]:
        task = profiles.load_task(self.study.transfer_from[self.rows.task.task])
        return task, *TaskRows(task, self.study).plenty(PER_CLASS, DEV_PER_CLASS)

    def lend(self, seed: int | None) -> Lent:
        """To the methods of one seed."""
        synthetic = self.runs.synthetic(self.rows.task.task, seed, "dawgen") / "synthetic.parquet"
        return Lent(lambda: self.unlabelled, lambda: self.adjacent, lambda: self.source, lambda: pd.read_parquet(synthetic),
                    lambda *asked: self.once(seed, *asked))  # fmt: skip

    def digest(self, name: str) -> dict[str, str]:
        """Digests of what a method reads here: inputs of its result (synthetic rows stand among those already)."""
        read = {"unlabelled": lambda: self.unlabelled, "adjacent": lambda: self.adjacent,
                "source": lambda: pd.concat(self.source[1:])}  # fmt: skip
        found = {part: digest_of(read[part]().values.tolist()) for part in methods.method(name).reads if part in read}
        return found | ({"source_task": recipes.texts(self.source[0])} if "source" in found else {})

    def once(
        self, seed: int, name: str, what: str, settings: Record, make: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Tensors that several methods of a seed share, below runs/PROFILE/shared: made by the first who asks, under a lock.

        name: of the method; what: tells apart what it makes. Made again when texts, settings, model, code or rows change.
        """
        tuning = self.study.prompt_tuning.model_dump(exclude={"strategies", "stack", "eval_batch_size"})
        inputs = {"settings": settings.model_dump(), "weights": self.weights, "prompt_tuning": tuning, "seed": seed,
                  "code": self.code_of(f"methods.{name}"), "rows": self.digest(name)}  # fmt: skip
        inputs |= {} if name == "spot" else {"task": recipes.texts(self.rows.task)}  # SPoT's source knows no target
        folder = self.runs.root / "shared" / f"seed-{seed}" / f"{name}.{what}"
        folder.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        with FileLock(folder.with_name(f".{folder.name}.lock"), fallback_to_soft=False):
            if not artifacts.done(folder, "condition", inputs):
                artifacts.begin(folder)
                began = time.perf_counter()
                artifacts.write_tensors(folder / "weights.safetensors", make())
                artifacts.finish(folder, "condition", inputs, {}, {"seconds": round(time.perf_counter() - began, 3)})
            found = artifacts.read_tensors(folder / "weights.safetensors")
        self.seconds += time.perf_counter() - started
        return found
