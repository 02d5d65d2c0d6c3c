"""What follows from what in the pocket language: by pencil, by the laws of logic, and against a slow twin made of sets."""

import doctest
from dataclasses import replace

import numpy as np
import pytest

from dawgen_core import samplers
from dawgen_core.pocket import oracle, verdicts
from dawgen_core.pocket.chance import Dice
from dawgen_core.pocket.draws import draw_meaning, palette
from dawgen_core.pocket.edits import EDITS, Editing, edited
from dawgen_core.pocket.language import parse, parse_question
from dawgen_core.pocket.lexicon import SLOTS, lexicon
from dawgen_core.pocket.oracle import Relation, SlotRelation, answers, diagnose, relation, relation_of_clauses, slot_relation
from dawgen_core.pocket.verdicts import verdict

BOOK = lexicon()
FILL = dict.fromkeys(("agent", "age", "number", "colour", "manner", "place", "time"), 0.5)
STEPS = ("drop", "add", "generalise", "specialise", "change", "other", "negate")


@pytest.mark.parametrize("module", [oracle, verdicts], ids=["oracle", "verdicts"])
def test_examples(module):
    found = doctest.testmod(module)
    assert found.failed == 0 and found.attempted > 3


PENCIL = [
    ("an old woman is washing cars", "a woman is washing cars", "entailment"),
    ("a woman is washing cars", "an old woman is washing cars", "neutral"),
    ("a girl is washing cars", "a kid is cleaning vehicles", "entailment"),
    ("a girl is washing cars", "an adult is cleaning vehicles", "neutral"),
    ("a biker is washing cars", "a person is washing cars", "entailment"),
    ("a woman is washing cars", "cars are being washed", "entailment"),
    ("a woman is washing cars", "automobiles are being rinsed by a lady", "equivalent"),
    ("a woman is washing two cars", "a woman is washing several cars", "entailment"),
    ("a woman is washing two cars", "a woman is washing three cars", "contradiction"),
    ("a woman is washing several cars", "a woman is washing lots of cars", "contradiction"),
    ("a woman is washing cars slowly", "a woman is washing cars quickly", "contradiction"),
    ("a woman is washing cars slowly", "a woman is washing cars quietly", "neutral"),
    ("a woman is washing cars", "a woman is wiping cars", "neutral"),
    ("a woman is washing cars", "a woman is washing trucks", "neutral"),
    ("the cook sold plates at dawn", "the chef sold platters on monday", "neutral"),
    ("the cook sold plates at dawn", "the cook sold plates in the morning", "entailment"),
    ("the cook sold plates at dawn", "the cook sold plates at breakfast", "contradiction"),
    ("the cook sold plates at dawn", "the cook sold plates at midnight", "contradiction"),
    ("a person is washing cars in the yard", "a woman is washing cars in the park", "contradiction"),
    ("a man is washing cars in the yard", "a woman is washing cars in the park", "neutral"),
    ("a woman is washing navy cars", "a woman is washing dark cars", "entailment"),
    ("a woman is washing navy cars", "a woman is washing pale cars", "contradiction"),
    ("no adult is washing cars", "a woman is not washing navy cars", "entailment"),
    ("a woman is not washing cars", "no adult is washing cars", "neutral"),
    ("a woman is not washing cars", "a woman is washing cars", "contradiction"),
    ("a woman is not washing cars", "a woman is washing red cars", "contradiction"),
    ("a woman is not washing red cars", "a woman is washing cars", "neutral"),
    ("a woman is not washing red cars", "a woman is not washing green cars", "neutral"),
    ("a woman is washing cars in the yard", "a woman is not washing cars in the park", "neutral"),
    ("no lady is rinsing cars", "automobiles are not being washed by a woman", "equivalent"),
]


@pytest.mark.parametrize(("first", "second", "wanted"), PENCIL)
def test_relations_by_pencil(first, second, wanted):
    assert relation(parse(first), parse(second)).value == wanted


# ---------------------------------------------------------------- a slow twin


def extension(slot: str, name: str | None) -> frozenset:
    """What a concept is true of, as a set: itself, unnamed others of its kind, and all that stand under it."""
    if name is None:
        return frozenset({"unnamed", *BOOK.concepts[slot]})
    line = BOOK.concepts[slot][name].line
    return frozenset(c.name for c in BOOK.concepts[slot].values() if c.line[: len(line)] == line)


@pytest.mark.parametrize("slot", SLOTS)
def test_slot_relations_are_those_of_sets(slot):
    names = [None, *BOOK.concepts[slot]]
    sets = {name: extension(slot, name) for name in names}
    for one in names:
        for other in names:
            how, a, b = slot_relation(slot, one, other), sets[one], sets[other]
            assert (how == SlotRelation.equal) == (a == b)
            assert (how == SlotRelation.narrower) == (a < b)
            assert (how == SlotRelation.wider) == (a > b)
            if how == SlotRelation.disjoint:
                assert not a & b and slot not in ("agent", "action", "object")
            turned = slot_relation(slot, other, one)
            assert oracle.TURNED.get(how, how) == turned


@pytest.mark.parametrize("slot", ["age", "number", "colour", "place"])
def test_in_these_slots_what_does_not_overlap_excludes(slot):
    names = list(BOOK.concepts[slot])
    assert {slot_relation(slot, a, b) for a in names for b in names} == set(SlotRelation) - {SlotRelation.unknown}


# ---------------------------------------------------------------- the laws


def neighbourhoods(n: int, size: int):
    """Sets of meanings a few edits away from each other: here relations other than neutral are common."""
    dice = Dice(samplers.seeded(5, 99))
    for i in range(n):
        colours = palette(list(BOOK.domains)[i % len(BOOK.domains)], "report")
        found = [draw_meaning(colours, FILL, 0.3, 0.2, dice)]
        while len(found) < size:
            recipe = " ".join(dice.one_of(STEPS) for _ in range(1 + dice.below(2)))
            meaning = edited(recipe, Editing(dice.one_of(found), colours, dice))
            found += [meaning] if meaning else []
        yield found


def test_the_laws_of_entailment_equivalence_and_contradiction():
    count = dict.fromkeys(Relation, 0)
    for meanings in neighbourhoods(60, 30):
        table = np.array([[relation(a, b) for b in meanings] for a in meanings], dtype=object)
        for kind in Relation:
            count[kind] += int((table == kind).sum())
        equivalent, told = table == Relation.equivalent, np.isin(table, list(oracle.TOLD))
        contradiction = table == Relation.contradiction
        assert (np.diagonal(equivalent)).all()  # reflexive
        assert (equivalent == equivalent.T).all() and (contradiction == contradiction.T).all()  # symmetric
        assert (equivalent == (told & told.T)).all()  # equivalent: each entails the other
        steps = told.astype(int)
        assert not ((steps @ steps > 0) & ~told).any()  # transitive
        assert not (told & contradiction).any()
        denied = [replace(m, polarity=not m.polarity) for m in meanings]
        turned = np.array([[relation(b, a) for b in denied] for a in denied], dtype=object)
        assert (np.isin(turned, list(oracle.TOLD)) == told).all()  # contraposition
        against = np.array([[relation(a, b) for b in denied] for a in meanings], dtype=object) == Relation.contradiction
        same = np.array([[a.polarity == b.polarity for b in meanings] for a in meanings])
        positive = np.array([m.polarity for m in meanings])
        assert (against[positive] == told[positive])[same[positive]].all()  # p entails q: p contradicts not-q
    assert min(count.values()) > 500, count


def test_logic_keeps_contradictions_that_rest_on_denial():
    """From p entails q and q contradicts r follows p contradicts r, when one of q and r denies."""
    seen = 0
    for meanings in neighbourhoods(15, 14):
        for p in meanings:
            for q in meanings:
                for r in meanings if relation(p, q) in oracle.TOLD else ():
                    if q.polarity != r.polarity and relation(q, r) == Relation.contradiction:
                        assert relation(p, r) == Relation.contradiction
                        seen += 1
    assert seen > 200


def test_each_edit_does_what_it_says():
    dice, colours = Dice(samplers.seeded(6, 99)), palette("street", "caption")
    wanted = {"drop": {"entailment"}, "generalise": {"entailment"}, "add": {"neutral"}, "specialise": {"neutral"},
              "other": {"neutral"}, "negate": {"contradiction"}, "keep": {"equivalent"}}  # fmt: skip
    found = {name: set() for name in EDITS}
    for _ in range(2000):
        meaning = draw_meaning(colours, FILL, 0.3, 0.3, dice)
        for name in EDITS:
            if new := edited(name, Editing(meaning, colours, dice)):
                found[name].add(relation(meaning, new).value)
                if name == "change":
                    assert relation(meaning, new).value == ("contradiction" if meaning.polarity else "neutral")
    assert {name: kinds for name, kinds in found.items() if name in wanted} == wanted
    assert found["withhold"] == found["cross"] == set()  # they need a question, another clause


# ---------------------------------------------------------------- clauses, questions


def test_clauses():
    premise = parse("the sailor bought ropes at dawn"), parse("the diver painted two yachts")
    says = {"the sailor bought ropes": "entailment", "the sailor bought ropes at midnight": "contradiction",
            "the diver bought ropes": "neutral", "the diver painted boats": "entailment",
            "the diver did not paint yachts": "contradiction"}  # fmt: skip
    for text, wanted in says.items():
        assert relation_of_clauses(premise, parse(text)).value == wanted
        assert relation_of_clauses(premise[::-1], parse(text)).value == wanted
    assert relation_of_clauses(premise[:1], premise[0]) == Relation.equivalent


@pytest.mark.parametrize(
    ("question", "sentence", "wanted"),
    [
        ("where did the clerk sell lamps ?", "in the shop the clerk sold two lamps", True),
        ("where did the clerk sell lamps ?", "the clerk sold lamps on monday", False),
        ("where did the clerk sell lamps ?", "the clerk did not sell lamps in the shop", False),
        ("where did the clerk sell lamps ?", "the butcher sold lamps in the shop", False),
        ("where did the clerk sell two lamps ?", "the clerk sold lamps in the shop", False),
        ("where did the clerk sell ornaments ?", "the clerk sold lamps in the shop", True),
        ("where did the clerk sell lamps ?", "the clerk sold ornaments in the shop", False),
        ("who sold lamps ?", "lamps were sold by the butcher", True),
        ("who sold lamps ?", "lamps were sold at dawn", False),
        ("what did the clerk sell ?", "three red lamps were sold by the clerk", True),
        ("what colour were the lamps that the clerk sold ?", "the clerk sold pale lamps", True),
        ("how many lamps did the clerk sell ?", "the clerk sold pale lamps", False),
    ],
)
def test_answers_by_pencil(question, sentence, wanted):
    assert answers(parse(sentence), parse_question(question)) is wanted


# ---------------------------------------------------------------- what is wrong with a pair


def test_diagnosis_names_the_slots_to_mend():
    """Giving the second sentence the first's values in the named slots makes the pair what was wanted."""
    mended = 0
    for meanings in neighbourhoods(25, 20):
        for first in meanings:
            for second in meanings:
                for wanted in (Relation.entailment, Relation.equivalent):
                    slots = diagnose(first, second, wanted)
                    new = replace(second, **{slot: getattr(first, slot) for slot in slots})
                    assert relation(first, new) in oracle.TOLD
                    assert (slots == ()) == (relation(first, second) in {wanted, Relation.equivalent})
                    mended += bool(slots)
                for wanted in (Relation.contradiction, Relation.neutral):
                    slots = diagnose(first, second, wanted)
                    assert (slots == ()) == (relation(first, second) == wanted)
    assert mended > 1000


@pytest.mark.parametrize(
    ("first", "second", "wanted", "slots"),
    [
        ("a woman is washing cars", "a man is washing red cars", "entailment", ("agent", "colour")),
        ("a woman is washing cars", "a man is washing red cars", "contradiction", ("agent",)),
        ("a woman is washing cars", "a lady is washing automobiles", "contradiction", ("too alike",)),
        ("a woman is washing cars", "no woman is washing cars", "entailment", ("polarity",)),
        ("a woman is washing cars", "no woman is washing cars", "neutral", ("polarity",)),
        ("a woman is washing cars", "no woman is washing red cars", "contradiction", ("colour",)),
        ("a woman is not washing red cars", "a woman is washing cars", "contradiction", ("colour",)),
        ("a woman is washing red cars", "a woman is washing green cars", "neutral", ("colour",)),
        ("a woman is washing red cars", "a woman is washing cars", "equivalent", ("colour",)),
    ],
)
def test_diagnosis_by_pencil(first, second, wanted, slots):
    assert diagnose(parse(first), parse(second), Relation(wanted)) == slots


@pytest.mark.parametrize(
    ("task", "first", "second", "label", "in_grammar", "right", "wrong"),
    [
        ("pocket_snli", "a man is washing cars", "a man is washing red cars", "neutral", True, True, ()),
        ("pocket_snli", "a man is washing cars", "a man is washing red cars", "entailment", True, False, ("colour",)),
        ("pocket_snli", "a man is washing cars", "a man is washing pans", "neutral", False, True, ()),  # pans: a kitchen
        ("pocket_snli", "a man is washing cars", "the man washed cars", "entailment", False, True, ()),  # a report
        ("pocket_snli", "a man is washing cars", "a man is is washing cars", "entailment", False, None, ()),
        ("pocket_snli", "an old boy is washing cars", "a boy is washing cars", "entailment", False, True, ()),  # no such age
        ("pocket_mrpc", "letters were sold", "letters were sold", "not_equivalent", True, False, ("too alike",)),
        ("pocket_mrpc", "letters were sold", "two letters were found", "equivalent", True, False, ("action", "number")),
        ("pocket_qqp", "who sold lamps ?", "who sold two lamps ?", "duplicate", True, False, ("number",)),
        ("pocket_qqp", "who sold lamps ?", "when were lamps sold ?", "duplicate", True, False, ("asked",)),
        ("pocket_qqp", "who sold lamps ?", "lamps were sold", "duplicate", False, None, ()),
        ("pocket_qnli", "who sketched coins ?", "the guard sketched coins", "entailment", True, True, ()),
        ("pocket_qnli", "who sketched coins ?", "the guard sketched masks", "entailment", True, False, ("object",)),
        ("pocket_qnli", "who sketched coins ?", "coins were sketched", "entailment", True, False, ("asked",)),
        ("pocket_qnli", "where did the guard buy coins ?", "two coins were bought", "entailment", True, False,
         ("asked", "agent")),
        ("pocket_qnli", "who sketched coins ?", "the guard sketched coins", "not_entailment", True, False, ("too alike",)),
        ("pocket_rte", "the diver sold ropes and the man bought yachts", "the man bought boats", "entailment", True, True,
         ()),
        ("pocket_rte", "the diver sold ropes and the man bought yachts", "the man bought ropes", "entailment", True, False,
         ("object",)),
        ("pocket_rte", "the diver sold ropes", "the man sold ropes and the man sold boats", "entailment", False, None, ()),
        ("pocket_mnli", "a farmer is washing crates", "the farmer washed crates", "entailment", False, True, ()),
    ],
)  # fmt: skip
def test_verdicts_by_pencil(task, first, second, label, in_grammar, right, wrong):
    found = verdict(task, first, second, label)
    assert (found.in_grammar, found.label_right, found.wrong) == (in_grammar, right, wrong)


def test_an_unknown_label_is_refused():
    with pytest.raises(ValueError, match="label: expected one of"):
        verdict("pocket_snli", "a man is washing cars", "a man is washing cars", "yes")
