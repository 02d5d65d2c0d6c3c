"""What is wrong with labelled pairs, where the oracle's verdicts stand beside them (columns of `TaskRows.verdicts`)."""

from collections.abc import Mapping

import pandas as pd

KEYS = ["task", "source", "seed", "label"]


def judged(sets: Mapping[tuple[str, int, str], pd.DataFrame]) -> pd.DataFrame:
    """All rows with a verdict, with the task, seed and source of their set ((task, seed, source) -> rows)."""
    found = [frame.assign(task=task, seed=seed, source=source)
             for (task, seed, source), frame in sets.items() if "label_right" in frame]  # fmt: skip
    columns = [*KEYS, "in_grammar", "label_right", "relation", "wrong"]
    return pd.concat(found)[columns].reset_index(drop=True) if found else pd.DataFrame(columns=columns)


def label_quality(rows: pd.DataFrame) -> pd.DataFrame:
    """Per task, source, seed and label: share of pairs in the grammar, of right labels among those that can be read; n."""
    means = rows.groupby(KEYS, sort=False)[["in_grammar", "label_right"]].mean().astype(float)
    return means.assign(n=rows.groupby(KEYS, sort=False).size()).reset_index()


def slots_at_fault(rows: pd.DataFrame) -> pd.DataFrame:
    """Per task, source and slot: in how many of the pairs that can be read this slot keeps the pair from its label.

    A pair may fail in several slots. "too alike": no slot is at fault, a difference is missing.
    """
    read = rows[rows["label_right"].notna()]
    each = read.assign(slot=read["wrong"].str.split(",")).explode("slot")
    wrong = each[each["slot"].fillna("") != ""]
    counts = wrong.groupby(["task", "source", "slot"], sort=False).size().rename("pairs").reset_index()
    n_read = read.groupby(["task", "source"], sort=False).size().rename("read").reset_index()
    return counts.merge(n_read).assign(share=lambda frame: frame["pairs"] / frame["read"])
