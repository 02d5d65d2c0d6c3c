"""What each row of the tables cost: trained numbers, tokens read to learn, seconds; and what could be shared."""

from pathlib import Path

import pandas as pd

from dawgen_core.artifacts import NO_GENERATOR, NOTEBOOKS, Runs, read_json
from dawgen_core.audit.tables import rows_of_table_1
from dawgen_core.params import Profile

MADE_ONCE = {"ppt": "ppt", "ppt_kept": "ppt", "ours_from_ppt": "ppt", "spot": "spot", "spot_kept": "spot",
             "ours_from_spot": "spot", "optima": "optima"}  # fmt: skip


def costs(ledger: pd.DataFrame, profile: Profile, runs: Runs) -> pd.DataFrame:
    """A line per row of Table 1. Per task and seed, in seconds: the method itself; before it, for each seed (to tune the
    generator and write its pairs); before it, once (to learn from unlabelled text or a source task), in full and shared
    by all tasks and seeds of this run.
    """
    lines, n_tasks = [], len(profile.tasks)
    for name, generator, method in rows_of_table_1(ledger):
        chosen = ledger[(ledger["generator"] == generator) & (ledger["method"] == method)]
        own, each, once = chosen["seconds_own"].mean(), 0.0, []
        if generator not in (NO_GENERATOR, "oracle"):
            keys = [(row.task, row.seed, generator) for row in chosen.itertuples()]
            each = sum(seconds_of(of(*key)) for key in keys for of in (runs.generator, runs.synthetic)) / len(keys)
        if method in MADE_ONCE:
            once = [seconds_of(path.parent) for path in (runs.root / "shared").glob(f"{MADE_ONCE[method]}.*/result.json")]
        alone = own + each + (sum(once) / len(once) if once else 0.0)
        shared = own + each + sum(once) / len(chosen)
        lines.append({
            "method": name, "trained numbers": f"{chosen['trainable'].mean():,.0f}",
            "tokens read to learn": f"{chosen['tokens'].mean():,.0f}" if chosen["tokens"].notna().any() else "0",
            "seconds": f"{own:.1f}", "before, each seed": f"{each:.1f}",
            "before, once": f"{sum(once) / len(once):.1f}" if once else "0.0",
            "in all, alone": f"{alone:.1f}", f"in all, over {n_tasks} tasks": f"{shared:.1f}",
        })  # fmt: skip
    return pd.DataFrame(lines)


def seconds_of(folder: Path) -> float:
    """Of a finished unit; one that was made in a stack has its share."""
    receipt = read_json(folder / "receipt.json", made_by=NOTEBOOKS["condition"])
    return receipt["seconds"] / receipt.get("stack", 1)
