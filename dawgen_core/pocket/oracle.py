"""What follows from what: the exact relation of any two meanings.

A positive sentence says that an event of this kind took place. It entails every sentence that says no more, slot by slot:

>>> relation(parse("the young clerk sold three red lamps"), parse("several lamps were sold by the clerk")).value
'entailment'
>>> relation(parse("several lamps were sold by the clerk"), parse("the young clerk sold three red lamps")).value
'neutral'
>>> relation(parse("the vendor sold coats at dusk"), parse("at sunset jackets were sold by the seller")).value
'equivalent'

A denial says that no event of this kind took place. Contraposition: "not p" entails "not q" where q entails p.

>>> relation(parse("no woman is washing cars"), parse("a lady is not washing red cars")).value
'entailment'
>>> relation(parse("a young woman is washing red cars"), parse("no woman is washing cars")).value
'contradiction'
>>> relation(parse("a woman is washing cars"), parse("no woman is washing red cars")).value
'neutral'

A denial has scope over every slot, the number too, in every wording:

>>> relation(parse("several lamps were not sold"), parse("three lamps were not sold by the clerk")).value
'entailment'

So far logic. One convention joins it: sentences about a comparable agent, action and object (each equal, narrower, wider or
unsaid) speak of one event, and where another slot excludes the other's value they contradict.

>>> relation(parse("a woman is washing red cars in the yard"), parse("a woman is washing green cars")).value
'contradiction'
>>> relation(parse("a woman is washing red cars"), parse("a man is washing green cars")).value
'neutral'

Entailment is reflexive and transitive, equivalence and contradiction are symmetric. Contradiction by convention is not
handed down to narrower sentences: a person in the yard is not a person in the park; a man and a woman may well be.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from functools import cache

from dawgen_core.pocket.language import Meaning, Question, parse, parse_question  # noqa: F401  (for the examples)
from dawgen_core.pocket.lexicon import EXCLUSIVE, LEANS_ON, SLOTS, is_group, lexicon

EVENT = ("agent", "action", "object")  # comparable in all three: one event


class SlotRelation(Enum):
    """How the first sentence's value of a slot lies to the second's."""

    equal = "equal"
    narrower = "narrower"
    wider = "wider"
    disjoint = "disjoint"
    unknown = "unknown"


class Relation(Enum):
    """How the first sentence lies to the second. equivalent: each entails the other."""

    entailment = "entailment"
    contradiction = "contradiction"
    neutral = "neutral"
    equivalent = "equivalent"


TURNED = {SlotRelation.narrower: SlotRelation.wider, SlotRelation.wider: SlotRelation.narrower}
TOO_ALIKE = ("too alike",)  # no slot is at fault: a difference is missing
TOLD = {Relation.entailment, Relation.equivalent}  # what the first tells us of the second: it is true


@cache
def slot_relation(slot: str, first: str | None, second: str | None) -> SlotRelation:
    """Of two concepts of a slot; None, nothing said, is the widest.

    >>> slot_relation("colour", "navy", "dark").value, slot_relation("colour", None, "dark").value
    ('narrower', 'wider')
    >>> slot_relation("time", "on monday", "on sunday").value, slot_relation("time", "on monday", "at dawn").value
    ('disjoint', 'unknown')
    """
    lines = [lexicon().concepts[slot][name].line if name else () for name in (first, second)]
    for one, other in zip(*lines, strict=False):
        if one != other:
            apart = slot in EXCLUSIVE and not is_group(one) and not is_group(other)
            return SlotRelation.disjoint if apart else SlotRelation.unknown
    longer = len(lines[0]) - len(lines[1])
    return SlotRelation.narrower if longer > 0 else SlotRelation.wider if longer < 0 else SlotRelation.equal


def slot_relations(first: Meaning, second: Meaning) -> dict[str, SlotRelation]:
    """The slots in which two meanings differ, polarity aside, and how the first's lies to the second's."""
    out = {}
    for slot in SLOTS:
        one, other = getattr(first, slot), getattr(second, slot)
        if one != other:
            out[slot] = slot_relation(slot, one, other)
    return out


def relation(first: Meaning, second: Meaning) -> Relation:
    """Entailment, contradiction, neutral or equivalent; see the top of this module."""
    how = slot_relations(first, second)
    kinds = set(how.values())
    if first.polarity == second.polarity:
        if not kinds:
            return Relation.equivalent
        if kinds == {SlotRelation.narrower if first.polarity else SlotRelation.wider}:
            return Relation.entailment
        opposed = first.polarity and SlotRelation.disjoint in kinds and one_event(first, second)
        return Relation.contradiction if opposed else Relation.neutral
    affirmed_says_all = kinds <= {SlotRelation.narrower if first.polarity else SlotRelation.wider}
    return Relation.contradiction if affirmed_says_all else Relation.neutral


def one_event(first: Meaning, second: Meaning) -> bool:
    """The convention: agent, action and object are each equal, narrower or wider."""
    return all(slot_relation(slot, getattr(first, slot), getattr(second, slot)) != SlotRelation.unknown for slot in EVENT)


def relation_of_clauses(premise: Sequence[Meaning], second: Meaning) -> Relation:
    """Of a premise of one or more clauses, all true: what one clause entails is entailed, what one contradicts is not true.

    >>> clauses = parse("the sailor bought ropes"), parse("the diver painted two boats")
    >>> relation_of_clauses(clauses, parse("the diver painted boats")).value
    'entailment'
    """
    found = [relation(first, second) for first in premise]
    if len(found) == 1:
        return found[0]
    if TOLD & set(found):
        return Relation.entailment
    return Relation.contradiction if Relation.contradiction in found else Relation.neutral


def question_relation(first: Question, second: Question) -> Relation:
    """Questions are equivalent when they ask for the same slot of the same event, else neutral.

    >>> question_relation(parse_question("who sold lamps ?"), parse_question("by whom were lamps sold ?")).value
    'equivalent'
    """
    return Relation.equivalent if first == second else Relation.neutral


def answers(sentence: Meaning, question: Question) -> bool:
    """True when the sentence affirms the event that is asked about, and fills the asked slot.

    >>> where = parse_question("where did the clerk sell lamps ?")
    >>> answers(parse("on monday the clerk sold three lamps in the shop"), where)
    True
    >>> answers(parse("on monday the clerk sold lamps"), where), answers(parse("the clerk sold hats in the shop"), where)
    (False, False)
    """
    return getattr(sentence, question.asked) is not None and relation(sentence, question.meaning) in TOLD


def diagnose(first: Meaning, second: Meaning, wanted: Relation) -> tuple[str, ...]:
    """The slots that keep a pair from the wanted relation; () where it holds, ("too alike",) where no difference makes it.

    An equivalent pair counts as entailment when that is wanted. Of several clauses, ask for each clause.

    >>> one, two = parse("the clerk sold red lamps"), parse("the vendor sold green lamps")
    >>> diagnose(one, two, Relation.entailment), diagnose(one, two, Relation.contradiction)
    (('agent', 'colour'), ('agent',))
    >>> diagnose(one, one, Relation.neutral)
    ('too alike',)
    """
    found = relation(first, second)
    if found == wanted or (wanted == Relation.entailment and found == Relation.equivalent):
        return ()
    how = slot_relations(first, second)
    flipped = first.polarity != second.polarity
    told = {SlotRelation.narrower if first.polarity else SlotRelation.wider}
    if wanted in TOLD:
        fine = told if wanted == Relation.entailment else set()
        wrong = [slot for slot, kind in how.items() if kind not in fine] + ["polarity"] * flipped
    elif wanted == Relation.contradiction:
        fine = told if flipped else set(SlotRelation) - {SlotRelation.unknown}
        wrong = [slot for slot, kind in how.items() if kind not in fine]
    else:
        wrong = [slot for slot, kind in how.items() if kind == SlotRelation.disjoint] + ["polarity"] * flipped
    return tuple(wrong) or TOO_ALIKE


def without_asked(meaning: Meaning, asked: str) -> Meaning:
    """The meaning with the asked slot left open, and what cannot be said without it: age with the agent, and so on."""
    return replace(meaning, **dict.fromkeys((asked, *LEANS_ON.get(asked, ()))))
