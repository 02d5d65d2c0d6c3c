"""Repeated text: copies of sentence 1, duplicates within a set, rows that stand in another set (leaks).

Three senses of "the same": *folded* (case and spaces), *bare* (punctuation too), *near* (most words, by Jaccard's index).
"""

import re
import unicodedata
import zlib
from collections.abc import Set

import numpy as np
import pandas as pd
from datasketch import MinHash, MinHashLSH
from numpy.typing import NDArray
from tqdm.auto import tqdm

NEAR = 0.8  # Jaccard's index from which two texts count as nearly the same
HASHES, BANDS = 60, (12, 5)  # a pair at 0.8 is a candidate with a chance of 0.991, at 0.9 of 0.99998; then measured exactly
NO_WORD = re.compile(r"[^\w\s]")

Bools = NDArray[np.bool_]


def folded(texts: pd.Series) -> pd.Series:
    """Case folded, composed (NFC), with single spaces."""
    return texts.map(_folded)


def bare(texts: pd.Series) -> pd.Series:
    """Folded, and without punctuation; a text of punctuation alone stays as it is.

    >>> bare(pd.Series(["It's  HERE!", "?!"])).tolist()
    ['it s here', '?!']
    """
    return texts.map(lambda text: " ".join(NO_WORD.sub(_space, _folded(text)).split()) or _folded(text))


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text.casefold()).split())


def _space(found: re.Match) -> str:
    """A space in place of punctuation; combining marks (vowel signs of many scripts, not emoji's selectors) stay."""
    mark = found.group()
    return mark if unicodedata.category(mark).startswith("M") and not "\ufe00" <= mark <= "\ufe0f" else " "


def words(text: str) -> frozenset[str]:
    """The different words of a bare text."""
    return frozenset(text.split())


def jaccard(one: Set, other: Set) -> float:
    """What two sets share, over all that is in either; two empty sets are the same."""
    return len(one & other) / len(one | other) if one or other else 1.0


def copies(rows: pd.DataFrame) -> pd.DataFrame:
    """Is sentence 2 sentence 1? Columns `exact` (folded), `bare`, `near` (of their words); each holds the one before."""
    exact = (folded(rows["sentence1"]) == folded(rows["sentence2"])).to_numpy()
    first, second = bare(rows["sentence1"]), bare(rows["sentence2"])
    same = exact | (first == second).to_numpy()
    alike = [jaccard(words(a), words(b)) >= NEAR for a, b in zip(first, second, strict=True)]
    return pd.DataFrame({"exact": exact, "bare": same, "near": same | np.array(alike, bool)}, index=rows.index)


def kinds(texts: pd.Series, *, progress: bool = False) -> pd.DataFrame:
    """Which text each one repeats: the place of the first that says the same, in the columns `exact` (bare texts are equal)
    and `near`; a text that repeats none names itself. `kinds(texts)["near"].duplicated()` are the repeated ones, and so
    for any part of the rows.

    Near candidates come from MinHash and are then measured exactly, so what is found is right and a pair just above the
    bound may be missed. Held against are the first text of each kind alone: linear time.
    """
    plain = bare(texts).tolist()
    first: dict[str, int] = {}
    exact = [first.setdefault(text, i) for i, text in enumerate(plain)]
    near, seen = list(range(len(plain))), Index()
    for i, text in enumerate(tqdm(plain, "near duplicates", disable=not progress, leave=False)):
        near[i] = near[exact[i]] if exact[i] < i else seen.found(words(text), else_put=i)
    return pd.DataFrame({"exact": exact, "near": near}, index=texts.index, dtype=int)


class Index:
    """Numbered sets of words by MinHash: which of them is nearly this one?"""

    def __init__(self) -> None:
        self._lsh = MinHashLSH(num_perm=HASHES, params=BANDS)
        self._empty = MinHash(num_perm=HASHES, hashfunc=zlib.crc32)  # a copy shares its permutations
        self._sets: dict[int, Set[str]] = {}

    def found(self, own: Set[str], else_put: int | None = None) -> int | None:
        """The lowest number of a set that is nearly this one; else this one is put in under `else_put`, and that is it."""
        sketch = self._empty.copy()
        sketch.update_batch(sorted(word.encode() for word in own))
        for number in sorted(self._lsh.query(sketch)):
            if jaccard(own, self._sets[number]) >= NEAR:
                return number
        if else_put is not None:
            self._lsh.insert(else_put, sketch, check_duplication=False)
            self._sets[else_put] = own
        return else_put


class Pairs:
    """The pairs of a set that others should not hold (a test set): who holds them, whole or nearly?"""

    def __init__(self, rows: pd.DataFrame):
        known = set(zip(bare(rows["sentence1"]), bare(rows["sentence2"]), strict=True))
        self._known = known | {(second, first) for first, second in known}
        self._near, self._rows = Index(), rows

    def held(self, rows: pd.DataFrame) -> Bools:
        """Per row: does its pair stand in the set, bare, in either order?"""
        pairs = zip(bare(rows["sentence1"]), bare(rows["sentence2"]), strict=True)
        return np.array([pair in self._known for pair in pairs], bool)

    def nearly_held(self, rows: pd.DataFrame, *, progress: bool = False) -> Bools:
        """Per row: is a pair of the set nearly the same, in the same order?"""
        own = dict.fromkeys(_pairs(self._rows))
        for number, pair in enumerate(tqdm(own, "other set", disable=not progress, leave=False)):
            self._near.found(pair, else_put=number)
        self._rows = self._rows.head(0)  # they stand in the index now
        pairs = tqdm(_pairs(rows), "near leaks", disable=not progress, leave=False)
        return np.array([self._near.found(pair) is not None for pair in pairs], bool)


def _pairs(rows: pd.DataFrame) -> list[frozenset[str]]:
    """The words of both sentences, each with the place of its sentence."""
    sides = zip(bare(rows["sentence1"]), bare(rows["sentence2"]), strict=True)
    return [frozenset([*(f"1 {word}" for word in words(a)), *(f"2 {word}" for word in words(b))]) for a, b in sides]
