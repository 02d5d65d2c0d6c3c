"""Small changes of a meaning: what makes the second sentence of a pair out of the first one's meaning.

Each edit takes an Editing and returns the new meaning, or None where it does not apply. On a denial the first four are
turned round (to widen a denied event is to say more): "drop" and "generalise" keep the truth, "add" and "specialise" do not.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from dawgen_core.pocket.chance import Dice
from dawgen_core.pocket.draws import Palette, draw_value, related
from dawgen_core.pocket.language import Meaning
from dawgen_core.pocket.lexicon import EXCLUSIVE, LEANS_ON, SLOTS, lexicon
from dawgen_core.pocket.oracle import EVENT, SlotRelation, without_asked

NEEDED = ("action", "object")  # said in every sentence


@dataclass(frozen=True)
class Editing:
    """A meaning under change. locked: slots to leave alone; asked: the slot of the question it answers; other: another
    clause that it may be mixed up with."""

    meaning: Meaning
    palette: Palette
    dice: Dice
    locked: frozenset[str] = frozenset()
    asked: str | None = None
    other: Meaning | None = None


def filled(e: Editing) -> list[str]:
    return [slot for slot in SLOTS if slot not in e.locked and getattr(e.meaning, slot) is not None]


def drop(e: Editing) -> Meaning | None:
    """One slot is no longer said (with the agent goes its age)."""
    slots = [slot for slot in filled(e) if slot not in NEEDED]
    if not slots:
        return None
    return without_asked(e.meaning, e.dice.one_of(slots))


def add(e: Editing) -> Meaning | None:
    """One more slot is said."""
    open_ones = [slot for slot in SLOTS if slot not in e.locked and getattr(e.meaning, slot) is None]
    slots = [slot for slot in open_ones if slot != "age" or (e.meaning.agent and e.meaning.agent not in e.palette.ageless)]
    if not slots:
        return None
    slot = e.dice.one_of(slots)
    return replace(e.meaning, **{slot: draw_value(e.palette, slot, 0.2, e.dice)})


def generalise(e: Editing) -> Meaning | None:
    """One word becomes the next wider one."""
    above = [(slot, lexicon().concepts[slot][getattr(e.meaning, slot)].parent) for slot in filled(e)]
    steps = [(slot, parent) for slot, parent in above if parent]
    return replace(e.meaning, **dict([e.dice.one_of(steps)])) if steps else None


def specialise(e: Editing) -> Meaning | None:
    """One word becomes a narrower one."""
    return _to_related(e, SlotRelation.wider, SLOTS)


def change(e: Editing) -> Meaning | None:
    """One word becomes one that excludes it."""
    return _to_related(e, SlotRelation.disjoint, tuple(EXCLUSIVE.intersection(SLOTS)))


def other(e: Editing) -> Meaning | None:
    """Another agent, action or object, neither wider nor narrower."""
    return _to_related(e, SlotRelation.unknown, EVENT)


def cross(e: Editing) -> Meaning | None:
    """The agent, action or object (with its colour and number) of the other clause."""
    if e.other is None:
        return None
    slot = e.dice.one_of(EVENT)
    values = {name: getattr(e.other, name) for name in (slot, *LEANS_ON.get(slot, ()))}
    return replace(e.meaning, **values) if values[slot] else None


def withhold(e: Editing) -> Meaning | None:
    """What is asked for is not said."""
    return None if e.asked in (None, *NEEDED) else without_asked(e.meaning, e.asked)


def negate(e: Editing) -> Meaning:
    return replace(e.meaning, polarity=not e.meaning.polarity)


def keep(e: Editing) -> Meaning:
    return e.meaning


def _to_related(e: Editing, how: SlotRelation, slots: tuple[str, ...]) -> Meaning | None:
    ways = [(slot, names) for slot in filled(e) if slot in slots
            if (names := related(e.palette, slot, getattr(e.meaning, slot), how))]  # fmt: skip
    if not ways:
        return None
    slot, names = e.dice.one_of(ways)
    return replace(e.meaning, **{slot: e.dice.one_of(names)})


EDITS: dict[str, Callable[[Editing], Meaning | None]] = {
    edit.__name__: edit for edit in (drop, add, generalise, specialise, change, other, cross, withhold, negate, keep)
}
ON_DENIALS = EDITS | {"drop": add, "add": drop, "generalise": specialise, "specialise": generalise}


def edited(recipe: str, e: Editing) -> Meaning | None:
    """The meaning after the edits of a recipe such as "drop change"; None where one does not apply or the result is odd."""
    meaning = e.meaning
    for name in recipe.split():
        edits = EDITS if meaning.polarity else ON_DENIALS
        step = edits[name](replace(e, meaning=meaning))
        if step is None:
            return None
        meaning = step
    return meaning if e.palette.fits(meaning) else None
