"""Labelled pairs of the pocket tasks, drawn on the fly from seeded streams; the oracle has the last word on every label.

Every meaning belongs to one split for good, by a checksum of what it says: no first sentence of one split occurs, in any
wording, as a first sentence of another. Test rows do not depend on the seed.

>>> sorted(draw("pocket_sick", "pool", seed=13, n=6)["label"])
['contradiction', 'contradiction', 'entailment', 'entailment', 'neutral', 'neutral']
"""

import zlib
from collections.abc import Container, Mapping
from dataclasses import replace
from functools import cache
from operator import attrgetter

import pandas as pd
import torch

from dawgen_core import samplers
from dawgen_core.pocket.chance import Dice, patiently
from dawgen_core.pocket.draws import (
    MEANING_FIELDS,
    Palette,
    draw_meaning,
    draw_question,
    draw_value,
    draw_wording,
    palette,
    reworded,
)
from dawgen_core.pocket.edits import Editing, edited
from dawgen_core.pocket.language import Meaning, Question, Wording, realise, realise_question
from dawgen_core.pocket.lexicon import LEANS_ON, SLOTS, lexicon
from dawgen_core.pocket.oracle import one_event, without_asked
from dawgen_core.pocket.twins import Side, Twin, free_domains, twin

COLUMNS = ["row_id", "sentence1", "sentence2", "label"]
STREAM = 7  # the purpose of these draws, beside those of `samplers`
SPLITS = {"pool": range(0, 30), "test": range(30, 50), "unlabelled": range(50, 65), "oracle": range(65, 85),
          "first_sentences": range(85, 100)}  # percent of all meanings  # fmt: skip
SAID = attrgetter(*MEANING_FIELDS)
TRIES = 60  # recipes tried on one first sentence before another one is drawn


def draw(task: str | Twin, split: str, seed: int, n: int) -> pd.DataFrame:
    """n rows (row_id, sentence1, sentence2, label), no pair twice, in random order.

    split: "pool" and "oracle" hold each label equally often, "test" and "unlabelled" in the task's balance (counts rounded
    to sum to n); the labels of unlabelled rows are empty. "test" is the same for every seed, and its first texts name what
    no free domain has: what the pocket models read there, with labels, cannot be a test pair in other words.
    Errors: ValueError for an unknown task or split, or where the task has fewer pairs to give.
    """
    t = twin(task)
    if split not in ("pool", "test", "unlabelled", "oracle"):
        raise ValueError(f"split: expected pool, test, unlabelled or oracle, found {split!r}")
    generator = _stream(t, split, seed)
    balance = t.balance if split in ("test", "unlabelled") else dict.fromkeys(t.labels, 1)
    labels = [label for label, count in apportioned(balance, n).items() for _ in range(count)]
    order = torch.randperm(n, generator=generator).tolist()
    dice, seen, rows = Dice(generator), set(), []
    for i, label in enumerate(labels[number] for number in order):
        for _ in patiently(f"{t.task}, {split}: a pair that was not drawn before"):
            pair = draw_pair(t, label, SPLITS[split], dice)
            if pair not in seen and (split != "test" or _names_its_domain(t, pair[0])):
                break
        seen.add(pair)
        rows.append((_row_id(t, split, seed, i), *pair, "" if split == "unlabelled" else label))
    return pd.DataFrame(rows, columns=COLUMNS)


def first_sentences(task: str | Twin, seed: int, n: int) -> tuple[list[str], list[str]]:
    """(row ids, sentences): n different first sentences of a split of their own."""
    t, found = twin(task), {}
    dice = Dice(_stream(t, "first_sentences", seed))
    for _ in range(n):
        for _ in patiently(f"{t.task}: a first sentence that was not drawn before"):
            first, colours = draw_first(t, SPLITS["first_sentences"], dice)
            text = say(first, colours.style, [draw_wording(t.wording, dice) for _ in range(2)])
            if text not in found:
                break
        found[text] = None
    return [_row_id(t, "first_sentences", seed, i) for i in range(n)], list(found)


def _stream(t: Twin, split: str, seed: int) -> torch.Generator:
    return samplers.seeded(0 if split == "test" else seed, STREAM, t.number, list(SPLITS).index(split))


def _row_id(t: Twin, split: str, seed: int, i: int) -> str:
    return f"{t.task}/{split}#{i}" if split == "test" else f"{t.task}/{split}-{seed}#{i}"


def apportioned(balance: Mapping[str, float], n: int) -> dict[str, int]:
    """n split in this balance; what rounding leaves goes to the largest remainders, the first of equals.

    >>> apportioned({"duplicate": 37, "not_duplicate": 63}, 10)
    {'duplicate': 4, 'not_duplicate': 6}
    """
    whole = sum(balance.values())
    counts = {label: int(n * weight / whole) for label, weight in balance.items()}
    by_rest = sorted(balance, key=lambda label: counts[label] - n * balance[label] / whole)
    return {label: counts[label] + (label in by_rest[: n - sum(counts.values())]) for label in balance}


def _names_its_domain(t: Twin, first: str) -> bool:
    """Whether a first text names something that the domains of pretraining lack ("who washed it ?" need not)."""
    side, _ = t.read(first, "sentence1")
    elsewhere = _concepts(frozenset(free_domains()) - {genre.domain for genre in t.genres})
    meanings = [side.meaning] if isinstance(side, Question) else side
    return any(getattr(m, slot) not in elsewhere[slot] for m in meanings for slot in SLOTS if getattr(m, slot))


@cache
def _concepts(domains: frozenset[str]) -> dict[str, set[str]]:
    """What these domains talk about, slot by slot."""
    return {slot: {name for domain in domains for name in lexicon().domains[domain][slot]} for slot in SLOTS}


# ---------------------------------------------------------------- one pair


def place_of(meaning: Meaning, asked: str = "") -> int:
    """The hundredth of all meanings that this one belongs to, the same on every machine."""
    return zlib.crc32("|".join([asked, *map(str, SAID(meaning))]).encode()) % 100


def draw_first(t: Twin, split: Container[int], dice: Dice) -> tuple[Side, Palette]:
    """What the first sentence says: every clause of it belongs to the split."""
    genre = dice.one_of(t.genres)
    colours = palette(genre.domain, genre.style)
    n_clauses = 2 if dice.chance(t.two_clauses) else 1
    clauses: list[Meaning] = []
    for _ in patiently(f"{t.task}: a meaning of the split"):
        if t.asked:
            question = draw_question(colours, t.fill, t.general, dice.weighted(t.asked), dice)
            if place_of(question.meaning, question.asked) in split:
                return question, colours
            continue
        meaning = draw_meaning(colours, t.fill, t.general, t.denied if not clauses else 0.0, dice)
        if place_of(meaning) in split and not any(_alike(meaning, one) for one in clauses):
            clauses.append(meaning)
        if len(clauses) == n_clauses:
            return tuple(clauses), colours


def _alike(one: Meaning, other: Meaning) -> bool:
    """Clauses of one premise speak of different events: they cannot contradict each other."""
    return one.agent == other.agent or one.object == other.object or one_event(one, other)


def draw_pair(t: Twin, label: str, split: range, dice: Dice) -> tuple[str, str]:
    """(sentence1, sentence2) of this label, the first from this share of all meanings."""
    for _ in patiently(f"{t.task}: a pair labelled {label}"):
        first, colours = draw_first(t, split, dice)
        for _ in range(TRIES):
            second = draw_second(t, label, first, colours, dice)
            if second is not None and t.label_of(t.relation(first, second)) == label:
                texts = _worded(t, label, first, second, colours.style, dice)
                if texts[0] != texts[1]:
                    return texts


def draw_second(t: Twin, label: str, first: Side, colours: Palette, dice: Dice) -> Side | None:
    """What a recipe for the label makes of the first sentence; None where it does not apply."""
    recipe = dice.weighted(t.edits[label])
    if t.kind == "questions":
        return _ask_otherwise(t, first, colours, dice) if recipe == "ask" else _edited_question(recipe, first, colours, dice)
    if t.kind == "answers":
        told = replace(first.meaning, **{first.asked: draw_value(colours, first.asked, 0.2, dice)})
        asked = frozenset({first.asked})
        meaning = edited(recipe, Editing(told, colours, dice, locked=asked, asked=first.asked))
    else:
        which = dice.below(len(first))
        other = first[1 - which] if len(first) == 2 else None
        meaning = edited(recipe, Editing(first[which], colours, dice, other=other))
    return None if meaning is None else (meaning,)


def _edited_question(recipe: str, question: Question, colours: Palette, dice: Dice) -> Question | None:
    unsaid = frozenset({question.asked, *LEANS_ON.get(question.asked, ())})
    meaning = edited(recipe, Editing(question.meaning, colours, dice, locked=unsaid))
    return Question(question.asked, meaning) if meaning else None


def _ask_otherwise(t: Twin, question: Question, colours: Palette, dice: Dice) -> Question | None:
    """The same event, and another slot of it asked; what was asked for before is now said, every other time."""
    asked = dice.weighted(t.asked)
    if asked == question.asked:
        return None
    say_it = question.asked == "object" or dice.chance(0.5)
    told = draw_value(colours, question.asked, 0.2, dice) if say_it else None
    meaning = without_asked(replace(question.meaning, **{question.asked: told}), asked)
    return Question(asked, meaning) if colours.fits(meaning) else None


def _worded(t: Twin, label: str, first: Side, second: Side, style: str, dice: Dice) -> tuple[str, str]:
    wordings = [draw_wording(t.wording, dice) for _ in range(2)]
    own = reworded(dice.one_of(wordings[: len(first)] if isinstance(first, tuple) else wordings[:1]), t.wording,
                   t.reorder, t.reword[label], dice)  # fmt: skip
    return say(first, style, wordings), say(second, style, [own])


def say(side: Side, style: str, wordings: list[Wording]) -> str:
    """A question, or sentences joined by "and", each in its wording."""
    if isinstance(side, Question):
        return realise_question(side, wordings[0])
    return " and ".join(realise(meaning, style, wording) for meaning, wording in zip(side, wordings, strict=False))
