"""Makes limits.csv: audits of real rows, alone and against other real rows of the same set, which should raise no flag.

    DAWGEN_DATA=folder python -m dawgen_core.audit.calibration

Every real set is cut into disjoint halves again and again; limits are set so that at most 5 % of these audits raise a red
flag, and 5 % an amber one. calibration.csv says how often they do, task by task, and how often a set does that had no part
in its limits. Audits already made by the same code are kept (runs/audit-calibration).
"""

from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from dawgen_core import artifacts
from dawgen_core.audit import copies, diversity, intervals, labelling, limits, report, shortcuts, two_sample
from dawgen_core.data import profiles
from dawgen_core.data.rows import TaskRows
from dawgen_core.params import ROOT

TASKS = ("qqp", "mrpc", "mnli", "snli", "qnli", "rte", "sick")
SIZES = (50, 150, 300, 1000)  # rows per class and half
ALL_SETS = 300  # the largest size that every set has
REPEATS = 15
RATE = 0.05
MEASURED_BY = (copies, diversity, intervals, labelling, report, shortcuts, two_sample)


def halves(rows: pd.DataFrame, n: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Two samples of n rows per class without a row in common; None where there are not enough."""
    if rows["label"].value_counts().min() < 2 * n:
        return None
    drawn = rows.groupby("label", sort=True, group_keys=False).sample(2 * n, random_state=seed)
    place = drawn.groupby("label", sort=False).cumcount()
    return drawn[place < n].reset_index(drop=True), drawn[place >= n].reset_index(drop=True)


def audits(folder: Path) -> pd.DataFrame:
    """Measures of every audit of halves: task, n, repeat, kind (a half alone, or against the other) and its figures."""
    jobs = [(folder, task, n, repeat) for n in SIZES for task in TASKS for repeat in range(REPEATS)]
    with ProcessPoolExecutor() as workers:
        found = list(tqdm(workers.map(_one, *zip(*jobs, strict=True)), "audits of real halves", len(jobs)))
    return pd.concat([frame for frame in found if frame is not None], ignore_index=True)


def _one(folder: Path, task: str, n: int, repeat: int) -> pd.DataFrame | None:
    path = folder / f"{task}-{n}-{repeat}.parquet"
    if not path.is_file():
        drawn = halves(_pool(task), n, repeat)
        if drawn is None:
            return None
        found = {"against": report.audit(*drawn, seed=repeat), "alone": report.audit(drawn[0], seed=repeat)}
        table = pd.concat([audit.measures.assign(kind=kind) for kind, audit in found.items()])
        artifacts.write_table(path, table.assign(task=task, n=n, repeat=repeat))
    return pd.read_parquet(path)


@cache
def _pool(task: str) -> pd.DataFrame:
    return TaskRows(profiles.load_task(task), profiles.load_profile("real_smoke")).pool()


def seen(found: pd.DataFrame, kind: str, level: str) -> pd.DataFrame:
    """How far every audit goes in the bad direction: index task, n, repeat; columns (measure, scope), the worst class."""
    levels = found["measure"].map(lambda name: report.MEASURES[name].level)
    used = found[(found["kind"] == kind) & (levels == level) & ~found["measure"].isin(report.FIXED)].copy()
    used["scope"] = used["label"].eq("").map({True: "all", False: "class"})
    if kind == "against":
        worse = used["measure"].map(lambda name: report.MEASURES[name].worse)
        used["far"] = [limits.excess(way, by) for way, by in zip(worse, used["difference"], strict=True)]
    else:
        known = used["measure"].map(lambda name: report.MEASURES[name][1:3] == ("share", "higher"))
        used = used[known.astype(bool)].copy()
        used["far"] = used["value"]
    table = used.pivot_table(index=["task", "n", "repeat"], columns=["measure", "scope"], values="far", aggfunc="max")
    return table.dropna(axis=1, how="all")


def limits_of(far: pd.DataFrame, kind: str) -> pd.Series:
    """Limits per measure and scope. Alone, sets differ by nature: the limit is what no half of any set passes, of any size
    from n on (or from the largest that all sets have)."""
    found = far.max() if kind == "alone" else limits.family(far.droplevel(["n", "repeat"]), RATE)
    shares = [report.MEASURES[name].unit == "share" for name, _ in found.index]
    return found.where(~pd.Series(shares, index=found.index), found.clip(lower=limits.FLOOR))


def main() -> None:
    """Writes limits.csv and calibration.csv beside this file."""
    code = artifacts.digest_of([artifacts.digest(Path(module.__file__)) for module in MEASURED_BY])
    found, rows, checks = audits(ROOT / "runs" / "audit-calibration" / code[:12]), [], []
    for n in SIZES:
        for kind in ("against", "alone"):
            for level in ("red", "amber"):
                sizes = found["n"] == n if kind == "against" else found["n"] >= min(n, ALL_SETS)
                far = seen(found[sizes], kind, level)
                limit = limits_of(far, kind)
                rows += [{"measure": m, "scope": s, "kind": kind, "n": n, "limit": value} for (m, s), value in limit.items()]
                for task, own in far.groupby(level="task"):
                    others = limits_of(far.drop(index=task, level="task"), kind)
                    checks.append({"n": n, "kind": kind, "level": level, "task": task, "audits": len(own),
                                   "alarms": int((own > limit).any(axis=1).sum()),
                                   "alarms_left_out": int((own > others).any(axis=1).sum())})  # fmt: skip
    for name, table in (("limits", rows), ("calibration", checks)):
        with artifacts.replacing(limits.FILE.with_name(f"{name}.csv")) as path:
            frame = pd.DataFrame(table)
            frame["limit"] = np.ceil(1e5 * frame["limit"]) / 1e5 if name == "limits" else None
            frame.dropna(axis=1, how="all").to_csv(path, index=False, lineterminator="\n")
    summary = pd.DataFrame(checks).groupby(["kind", "level", "n"])[["audits", "alarms", "alarms_left_out"]].sum()
    print(summary.to_string())


if __name__ == "__main__":
    main()
