"""The curation table: each arm's pairs in prompt tuning, with and without surgery, held against no curation."""

import pandas as pd

from dawgen_core.artifacts import Runs, verified
from dawgen_core.audit import statistics
from dawgen_core.audit.tables import cell, interval
from dawgen_core.data.profiles import load_task
from dawgen_core.params import Profile

ARMS = {
    "none": "none", "exact": "no duplicates", "near_duplicate": "no near duplicates", "anti_copy": "no copies",
    "confidence": "confidence", "temporal_ensemble": "temporal ensemble (FewGen)", "two_sample": "two-sample weights",
    "oracle": "right labels (oracle)"}  # fmt: skip
WAYS = {"paired": "no", "paired_surgery": "yes"}


def curation(ledger: pd.DataFrame, profile: Profile, runs: Runs) -> pd.DataFrame:
    """A line per arm, without and with surgery; empty for a profile without arms.

    Accuracy per task and on AVG (each seed's mean over tasks), as `tables.cell`. On that mean, the difference from no
    curation in points, paired by seed: its 95 % interval (Student's t over seeds) and its sign-flip p after Holm over all
    lines. Of the kept rows: how many the set without curation has not; how many filled up though the arm's filter had
    dropped them; the oracle's right labels.
    Errors: ArtifactError where a curated set is missing or damaged.
    """
    lines, kind_of = [], {arm: kind for kind, arm in profile.curated.items()}
    columns = ["generator", "method", "task"]
    whole = ledger.dropna(subset="seed").pivot(index="seed", columns=columns, values="accuracy").sort_index(axis=1)
    for arm, kind in kind_of.items():
        kept = _kept(profile, runs, kind, kind_of["none"])
        for method, surgery in WAYS.items():
            by_task, base = (whole[one, method][profile.tasks] for one in (kind, kind_of["none"]))
            mean = by_task.mean(axis=1, skipna=False)
            gain = 100 * (mean - base.mean(axis=1, skipna=False)).dropna()
            gain = gain.head(0) if arm == "none" else gain
            lines.append({
                "arm": ARMS[arm], "gradient surgery": surgery,
                **{load_task(task).title: cell(by_task[task]) for task in profile.tasks},
                **({"AVG": cell(mean)} if len(profile.tasks) > 1 else {}),
                "minus none": f"{gain.mean():+.2f}" if len(gain) else "-", "95 % interval": interval(gain),
                "p (Holm)": statistics.sign_flip(gain), **kept,
            })  # fmt: skip
    table = pd.DataFrame(lines)
    if len(table):
        table["p (Holm)"] = [f"{p:.3f}" if p == p else "-" for p in statistics.holm(table["p (Holm)"])]
    return table


def _kept(profile: Profile, runs: Runs, kind: str, none: str) -> dict[str, str]:
    """Of the sets of an arm: rows that the kind `none` has not, and that filled up, of all; right labels, each seed's mean
    over tasks."""
    counts, right, n_other = [], [], 0
    for seed in profile.seeds:
        folders = [runs.synthetic(task, seed, kind) for task in profile.tasks]
        counts += [count for f in folders for count in verified(f, "synthetic")["metrics"]["counts"].values()]
        sets, plain = ([pd.read_parquet(runs.synthetic(task, seed, name) / "synthetic.parquet") for task in profile.tasks]
                       for name in (kind, none))  # fmt: skip
        n_other += sum(int((~one["row_id"].isin(other["row_id"])).sum()) for one, other in zip(sets, plain, strict=True))
        right += [sum(rows["label_right"].mean() for rows in sets) / len(sets)] if "label_right" in sets[0] else []
    n, filled = (sum(count.get(name, 0) for count in counts) for name in ("accepted", "topped_up"))
    out = {"unlike none": f"{n_other / n:.1%}", "topped up": f"{filled:,} of {n:,}"}
    return out | ({"right labels": cell(pd.Series(right, dtype=float))} if right else {})
