"""The audit of synthetic rows that others released (FewGen's), against real rows of the same size.

    DAWGEN_DATA=folder python -m dawgen_core.app.released

Writes figures only (no row): figures/fewgen_released/.
"""

import itertools
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import pandas as pd

from dawgen_core import artifacts
from dawgen_core.app import receipts
from dawgen_core.audit import figures, report, shortcuts
from dawgen_core.data import profiles
from dawgen_core.data.rows import TaskRows
from dawgen_core.params import ROOT

KIND, SEEDS, ALL = "fewgen_released", (13, 21, 42), 10**9
TASKS = ("qqp", "mrpc", "mnli", "qnli", "rte")
BY_CLASS = ("exact copies of sentence 1", "near copies of sentence 1", "sentence 2 repeated", "sentence 2 nearly repeated")
BY_TASK = (*(f"label told by {view}" for view in shortcuts.VIEWS), "agreement with a classifier of real rows", *report.TOLD)


def one_task(task: str) -> tuple[pd.DataFrame, dict]:
    """(measures of all seeds of a task, the receipt of the work)."""
    receipt, out = receipts.Receipt("cpu"), []
    rows = TaskRows(profiles.load_task(task), profiles.load_profile("real_smoke"))
    real, test = report.Reference(rows.pool()), report.copies.Pairs(rows.test())
    for seed in SEEDS:
        few_shot, dev = rows.few_shot(seed)
        found = report.audit(rows.released_synthetic(KIND, seed, ALL), real, test=test, few_shot=few_shot, dev=dev)
        out.append(found.measures.assign(task=task, seed=seed, source=KIND))
    return pd.concat(out, ignore_index=True), receipt.close()


def shown(measures: pd.DataFrame, names: tuple[str, ...], by_class: bool) -> pd.DataFrame:
    """Percent, mean over seeds (smallest to largest), as many real rows in brackets; a line per task or class."""
    part = measures[measures["measure"].isin(names) & measures["label"].ne("").eq(by_class)]
    lines = []
    for (task, label), own in part.groupby(["task", "label"], sort=False):
        line = {"task": profiles.load_task(task).title, **({"class": label} if by_class else {}), "n": _counted(own["n"])}
        for name in names:
            each = 100 * own.loc[own["measure"] == name, ["value", "reference"]]
            low, high = each["value"].min(), each["value"].max()
            line[name] = f"{each['value'].mean():.1f} ({low:.1f} to {high:.1f}) [{each['reference'].mean():.1f}]"
        lines.append(line)
    return pd.DataFrame(lines)


def _counted(n: pd.Series) -> str:
    """Rows behind the figures, smallest to largest set."""
    return f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"


def minus_real(measures: pd.DataFrame, name: str) -> pd.DataFrame:
    """One measure of each task, percent, mean over seeds; the difference with the outer ends of the seeds' intervals."""
    lines = []
    for task, own in measures[(measures["measure"] == name) & (measures["label"] == "")].groupby("task", sort=False):
        value, real, apart, low, high = (100 * own[column] for column in (
            "value", "reference", "difference", "difference_low", "difference_high"))  # fmt: skip
        lines.append({"task": profiles.load_task(task).title, "sets": len(own), "n": _counted(own["n"]),
                      "synthetic": f"{value.mean():.1f}", "real": f"{real.mean():.1f}",
                      "difference": f"{apart.mean():+.1f} ({low.min():+.1f} to {high.max():+.1f})"})  # fmt: skip
    return pd.DataFrame(lines)


def tables(measures: pd.DataFrame) -> None:
    """The figures of all sets, into figures/."""
    folder = ROOT / "figures" / KIND
    folder.mkdir(parents=True, exist_ok=True)
    caption = (f"FewGen's released pairs against as many real ones ({{}}); n: rows of each set. Percent: mean "
               f"over the sets of {len(SEEDS)} seeds (smallest to largest), in brackets real pairs.")  # fmt: skip
    figures.save_table(shown(measures, BY_CLASS, True), folder / "copies", caption.format("copies and repetitions"))
    figures.save_table(shown(measures, BY_TASK, False), folder / "shortcuts", caption.format(
        "label accuracy over chance of classifiers that see one thing only; agreement: accuracy; told from real: AUC x 100"))
    caption = (f"FewGen's released pairs: does sentence 2 alone tell the label? Held-out accuracy over chance in percent, "
               f"mean over the sets of {len(SEEDS)} seeds; the difference with the outer ends of the sets' 95 % intervals.")
    figures.save_table(minus_real(measures, "label told by sentence 2 only"), folder / "sentence_2", caption)
    flags = measures[measures["flag"] == "red"].groupby(["task", "label", "measure"], sort=False)
    columns = {"found": "value", "real": "reference", "limit": "limit"}
    flags = flags.agg(seeds=("seed", "count"), **{name: (column, "mean") for name, column in columns.items()})
    caption = "Red flags of FewGen's released pairs: shares, mean over the flagged seeds."
    figures.save_table(flags.reset_index().round({"found": 3, "real": 3, "limit": 3}), folder / "flags", caption)
    about = {"about": "audit of FewGen's released synthetic rows; figures only", "commit": receipts.commit(),
             "device": "cpu", "machine": platform.machine(), "seeds": SEEDS, "tasks": TASKS}  # fmt: skip
    artifacts.write_json(folder / "manifest.json", about)


def main(workers: int = 2) -> None:
    """Audits all fifteen files, two tasks at a time."""
    started = time.perf_counter()
    with ProcessPoolExecutor(workers) as pool:
        found, costs = zip(*pool.map(one_task, TASKS), strict=True)
    seconds, memory = time.perf_counter() - started, sum(sorted(cost["peak_memory_mib"] for cost in costs)[-workers:])
    measures = pd.concat(found, ignore_index=True)
    artifacts.write_table(ROOT / "runs" / "audit-released.parquet", measures)
    tables(measures)
    n_red = (measures["flag"] == "red").groupby([measures["task"], measures["seed"]]).any().sum()
    print(f"{len(TASKS) * len(SEEDS)} files in {seconds:.0f} s on {workers} cores, at most {memory:.0f} MiB; "
          f"{n_red} with a red flag")  # fmt: skip


if __name__ == "__main__":
    main(*map(int, itertools.islice(sys.argv[1:], 1)))
