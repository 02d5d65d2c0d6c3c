"""What is talked about: meanings of one domain, and wordings for them, drawn at random."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache

from dawgen_core.pocket.chance import Dice
from dawgen_core.pocket.language import Meaning, Question, Wording
from dawgen_core.pocket.lexicon import SLOTS, lexicon
from dawgen_core.pocket.oracle import SlotRelation, slot_relation, without_asked

MEANING_FIELDS = tuple(field.name for field in fields(Meaning))


@dataclass(frozen=True)
class Palette:
    """The concepts of a domain that a style may use. leaves: without narrower words there; inner: the others."""

    domain: str
    style: str
    leaves: dict[str, tuple[str, ...]]
    inner: dict[str, tuple[str, ...]]
    ageless: frozenset[str]  # agents that are said without an age

    def fits(self, meaning: Meaning) -> bool:
        """Every concept is of this palette, and no child has an age."""
        named = ((slot, getattr(meaning, slot)) for slot in SLOTS)
        known = all(name is None or name in self.leaves[slot] or name in self.inner[slot] for slot, name in named)
        return known and not (meaning.age and meaning.agent in self.ageless)


@cache
def palette(domain: str, style: str) -> Palette:
    """Errors: ValueError for a domain that the lexicon does not have."""
    book = lexicon()
    if domain not in book.domains:
        raise ValueError(f"domain: expected one of {list(book.domains)}, found {domain!r}")
    leaves, inner = {}, {}
    for slot, names in book.domains[domain].items():
        if slot == "time" and style == "caption":  # "is washing cars on monday" is a plan
            names = [name for name in names if book.concepts[slot][name].line[0] == "(day)"]
        leaves[slot] = tuple(name for name in names if not book.children(domain, slot, name))
        inner[slot] = tuple(name for name in names if book.children(domain, slot, name))
    ageless = frozenset(name for name, concept in book.concepts["agent"].items() if "child" in concept.line)
    return Palette(domain, style, leaves, inner, ageless)


@cache
def _related(where: tuple[str, str], slot: str, name: str, how: SlotRelation) -> tuple[str, ...]:
    """The concepts of a palette's slot to which `name` lies so; of disjoint and unknown ones those as general as `name`."""
    colours = palette(*where)
    level = colours.leaves if name in colours.leaves[slot] else colours.inner
    among = (*colours.leaves[slot], *colours.inner[slot])
    if how in (SlotRelation.disjoint, SlotRelation.unknown) and len(level[slot]) > 1:
        among = level[slot]
    return tuple(other for other in among if slot_relation(slot, name, other) == how)


def related(colours: Palette, slot: str, name: str, how: SlotRelation) -> tuple[str, ...]:
    """The concepts of this palette to which `name` lies so (SlotRelation.narrower: the wider ones)."""
    return _related((colours.domain, colours.style), slot, name, how)


def draw_value(colours: Palette, slot: str, general: float, dice: Dice) -> str:
    """A concept of the slot; general: the chance of a word with narrower ones below it, where there are any."""
    inner = colours.inner[slot]
    return dice.one_of(inner if inner and dice.chance(general) else colours.leaves[slot])


def draw_meaning(colours: Palette, fill: Mapping[str, float], general: float, denied: float, dice: Dice) -> Meaning:
    """A meaning whose slots are filled at these rates (1 where none is given); age only with an agent that can have one."""
    values = [draw_value(colours, slot, general, dice) if dice.chance(fill.get(slot, 1.0)) else None for slot in SLOTS]
    if values[0] is None or values[0] in colours.ageless:
        values[1] = None
    return Meaning(*values, not dice.chance(denied))


def draw_question(colours: Palette, fill: Mapping[str, float], general: float, asked: str, dice: Dice) -> Question:
    """A question for one slot of a drawn event."""
    return Question(asked, without_asked(draw_meaning(colours, fill, general, 0.0, dice), asked))


def draw_wording(rates: Mapping[str, float], dice: Dice) -> Wording:
    """A wording; rates: how often passive, front, early and by_no; the words are any of each concept's."""
    front = dice.one_of(("place", "time")) if dice.chance(rates["front"]) else None
    early, by_no = dice.chance(rates["early"]), dice.chance(rates["by_no"])
    words = tuple([dice.below(2) for _ in SLOTS])
    return Wording(dice.chance(rates["passive"]), front, early, dice.chance(0.5), by_no, words)


def reworded(wording: Wording, rates: Mapping[str, float], other_order: float, other_word: float, dice: Dice) -> Wording:
    """Another wording of the same: with these chances its order and voice are drawn again, and each word turned round."""
    new = draw_wording(rates, dice) if dice.chance(other_order) else wording
    words = tuple([word ^ dice.chance(other_word) for word in wording.words])
    return Wording(new.passive, new.front, new.early, new.place_first, new.by_no, words)
