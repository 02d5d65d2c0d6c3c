"""Synthetic pairs made worse on purpose: what does bad data cost, and does surgery protect from it?"""

from collections.abc import Callable

import pandas as pd
import torch

from dawgen_core import samplers


def flips(rows: pd.DataFrame, chosen: list[int], random: torch.Generator) -> pd.DataFrame:
    """Another label than the row's, drawn evenly from the others."""
    labels, out = sorted(rows["label"].unique()), rows["label"].tolist()
    for i in chosen:
        others = [label for label in labels if label != out[i]]
        out[i] = others[int(torch.randint(len(others), (1,), generator=random))]
    return rows.assign(label=out)


def copies(rows: pd.DataFrame, chosen: list[int], random: torch.Generator) -> pd.DataFrame:
    """Sentence 2 is sentence 1."""
    second = rows["sentence2"].tolist()
    for i in chosen:
        second[i] = rows["sentence1"].iloc[i]
    return rows.assign(sentence2=second)


def duplicates(rows: pd.DataFrame, chosen: list[int], random: torch.Generator) -> pd.DataFrame:
    """One row of each label stands in place of the chosen rows of that label."""
    out, first = rows.copy(), {label: part.index[0] for label, part in rows.groupby("label", sort=False)}
    for i in chosen:
        source = first[rows["label"].iloc[i]]
        for column in ("sentence1", "sentence2"):
            out.iloc[i, out.columns.get_loc(column)] = rows.loc[source, column]
    return out


def off_topic(rows: pd.DataFrame, chosen: list[int], random: torch.Generator) -> pd.DataFrame:
    """Sentence 2 of another row, any label: fluent, and about something else."""
    second = rows["sentence2"].tolist()
    for i in chosen:
        other = int(torch.randint(len(rows) - 1, (1,), generator=random))
        second[i] = rows["sentence2"].iloc[other + (other >= i)]
    return rows.assign(sentence2=second)


DAMAGE: dict[str, Callable[[pd.DataFrame, list[int], torch.Generator], pd.DataFrame]] = {
    "flips": flips, "copies": copies, "duplicates": duplicates, "off_topic": off_topic}  # fmt: skip


def damaged(pairs: pd.DataFrame, kind: str, share: float) -> pd.DataFrame:
    """This share of each seed's rows, drawn at random, made worse; a larger share holds the rows of a smaller one.

    pairs: sentence1, sentence2, label, seed. Errors: ValueError for an unknown kind or a share outside 0 to 1.
    """
    if kind not in DAMAGE:
        raise ValueError(f"damage: expected one of {', '.join(DAMAGE)}, found {kind!r}")
    if not 0 <= share <= 1:
        raise ValueError(f"share: expected 0 to 1, found {share}")
    out = []
    for seed, part in pairs.groupby("seed", sort=False):
        rows = part.reset_index(drop=True)
        order = torch.randperm(len(rows), generator=samplers.seeded(int(seed), samplers.NET)).tolist()
        chosen = sorted(order[: round(share * len(rows))])
        out.append(DAMAGE[kind](rows, chosen, samplers.seeded(int(seed), samplers.DECODING)))
    return pd.concat(out, ignore_index=True)
