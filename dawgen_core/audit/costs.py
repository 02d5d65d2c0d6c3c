"""What each row of the tables cost: trained numbers, tokens read to learn, seconds; and what could be shared."""

from pathlib import Path

import pandas as pd

from dawgen_core.artifacts import NO_GENERATOR, NOTEBOOKS, Runs, read_json
from dawgen_core.audit.tables import rows_of_table_1
from dawgen_core.params import Profile

MADE_ONCE = {"ppt": "ppt", "ppt_kept": "ppt", "ours_from_ppt": "ppt", "spot": "spot", "spot_kept": "spot",
             "ours_from_spot": "spot", "optima": "optima"}  # fmt: skip


def costs(ledger: pd.DataFrame, profile: Profile, runs: Runs) -> pd.DataFrame:
    """A line per row of Table 1, per task and seed. Seconds and tokens of the method itself (a stack's by tokens);
    before it: to tune the generator and write its pairs, or to learn from unlabelled text or a source task, alone and
    shared by the tasks of this run that use the same.
    """
    lines, n_tasks = [], len(profile.tasks)
    for name, generator, method in rows_of_table_1(ledger):
        chosen = ledger[(ledger["generator"] == generator) & (ledger["method"] == method)]
        own, before, shared = chosen["seconds_own"].mean(), 0.0, 0.0
        if generator not in (NO_GENERATOR, "oracle"):
            keys = [(row.task, row.seed, generator) for row in chosen.itertuples()]
            before = sum(seconds_of(of(*key)) for key in keys for of in (runs.generator, runs.synthetic)) / len(keys)
            shared = before
        if method in MADE_ONCE:
            folders = [runs.root / "shared" / f"seed-{seed}" for seed in set(chosen["seed"])]
            made = [seconds_of(path.parent) for f in folders for path in f.glob(f"{MADE_ONCE[method]}.*/result.json")]
            before, shared = before + sum(made) / len(made), shared + sum(made) / len(chosen)
        tokens = [chosen[c].mean() if c in chosen and chosen[c].notna().any() else 0 for c in ("tokens", "tokens_before")]
        lines.append({
            "method": name, "trained numbers": f"{chosen['trainable'].mean():,.0f}",
            "tokens to learn": f"{tokens[0]:,.0f}", "tokens before": f"{tokens[1]:,.0f}", "seconds": f"{own:.1f}",
            "seconds before": f"{before:.1f}", "in all, alone": f"{own + before:.1f}",
            f"in all, over {n_tasks} tasks": f"{own + shared:.1f}",
        })  # fmt: skip
    return pd.DataFrame(lines)


def seconds_of(folder: Path) -> float:
    """Of a finished unit; one that was made in a stack has its share."""
    receipt = read_json(folder / "receipt.json", made_by=NOTEBOOKS["condition"])
    return receipt["seconds"] / receipt.get("stack", 1)
