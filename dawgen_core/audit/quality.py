"""Measures of labelled pairs that need no model."""

import pandas as pd


def distinct_n(texts: list[str], n: int) -> float:
    """Different word n-grams over all word n-grams, pooled over the texts; NaN when no text has n words."""
    grams = [tuple(words[i : i + n]) for text in texts for words in [text.split()] for i in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else float("nan")


def copy_rate(rows: pd.DataFrame) -> float:
    """Share of rows whose second sentence equals the first after case folding and stripping."""
    return (rows["sentence1"].str.strip().str.casefold() == rows["sentence2"].str.strip().str.casefold()).mean()


def duplicate_rate(texts: pd.Series) -> float:
    """Share of texts that occurred before in the series, after case folding and stripping."""
    return texts.str.strip().str.casefold().duplicated().mean()


def overlap(rows: pd.DataFrame) -> float:
    """Mean share of the second sentence's different words that stand in the first too (case folded)."""
    shares = []
    for first, second in zip(rows["sentence1"], rows["sentence2"], strict=True):
        words = set(second.casefold().split())
        shares.append(len(words & set(first.casefold().split())) / len(words) if words else 0.0)
    return sum(shares) / len(shares)


def describe(rows: pd.DataFrame) -> dict[str, float]:
    """All measures of one set of pairs."""
    second = rows["sentence2"]
    return {
        "n_rows": len(rows), "words_first": rows["sentence1"].str.split().str.len().mean(),
        "words_second": second.str.split().str.len().mean(), "copy_rate": copy_rate(rows),
        "duplicate_rate": duplicate_rate(second), "overlap": overlap(rows), "distinct_2": distinct_n(list(second), 2),
    }  # fmt: skip
