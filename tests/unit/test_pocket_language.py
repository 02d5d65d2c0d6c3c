"""The pocket language: both ways exact, no sentence with two readings."""

import doctest
import re
from collections import Counter
from dataclasses import replace

import pytest

from dawgen_core import samplers
from dawgen_core.pocket import language
from dawgen_core.pocket.chance import Dice
from dawgen_core.pocket.draws import draw_meaning, draw_question, draw_wording, palette
from dawgen_core.pocket.frames import SLOT_OF, every_frame, frame_tree
from dawgen_core.pocket.language import (
    Meaning,
    NotInGrammar,
    Question,
    Wording,
    chunks,
    parse,
    parse_question,
    read,
    read_clauses,
    realise,
    realise_question,
)
from dawgen_core.pocket.lexicon import LEXICON_FILE, SLOTS, is_group, lexicon, words
from dawgen_core.pocket.oracle import relation

BOOK = lexicon()
FILL = dict.fromkeys(("agent", "age", "number", "colour", "manner", "place", "time"), 0.6)
RATES = {"passive": 0.5, "front": 0.6, "early": 0.5, "by_no": 0.5}
WASH = Meaning(agent="woman", age="old", action="wash", number="two", colour="red", object="cars", manner="slowly",
               place="in the yard", time="at dawn")  # fmt: skip
SECOND = (1,) * len(SLOTS)


def units():
    return [unit for found in chunks().values() for unit in found]


# ---------------------------------------------------------------- both ways


def test_examples():
    assert doctest.testmod(language).failed == 0


def test_what_is_said_is_understood_over_100_000_draws():
    dice, n = Dice(samplers.seeded(1, 99)), 0
    while n < 100_000:
        for domain in BOOK.domains:
            for style in ("caption", "report"):
                meaning = draw_meaning(palette(domain, style), FILL, 0.3, 0.2, dice)
                text = realise(meaning, style, draw_wording(RATES, dice))
                assert read(text) == (meaning, style), text
                n += 1


def test_questions_are_understood():
    dice = Dice(samplers.seeded(2, 99))
    asked = [style.removesuffix("?") for style in BOOK.layouts if style.endswith("?")]
    assert set(asked) == set(SLOTS) - {"age", "action"}
    for _ in range(2000):
        for slot in asked:
            question = draw_question(palette("market", "question"), FILL, 0.3, slot, dice)
            text = realise_question(question, draw_wording(RATES, dice))
            assert text.endswith(" ?") and parse_question(text) == question, text


def test_every_wording_of_every_concept_is_understood():
    plain = Meaning(agent="woman", action="wash", object="cars")
    for slot, found in BOOK.concepts.items():
        for concept in found.values():
            for i in range(len(concept.forms)):
                meaning = replace(plain, **{slot: concept.name})
                for style in ("caption", "report"):
                    for passive in (False, True):
                        wording = Wording(passive=passive, words=tuple(i if s == slot else 0 for s in SLOTS))
                        assert parse(realise(meaning, style, wording)) == meaning
                    denied = replace(meaning, polarity=False)
                    assert parse(realise(denied, style, wording)) == denied


PENCIL = [
    (WASH, "caption", Wording(), "an old woman is washing two red cars slowly in the yard at dawn"),
    (WASH, "caption", Wording(early=True, front="time"), "at dawn an old woman is slowly washing two red cars in the yard"),
    (WASH, "caption", Wording(passive=True, place_first=False),
     "two red cars are being washed by an old woman slowly at dawn in the yard"),
    (WASH, "caption", Wording(words=SECOND),
     "an elderly lady is rinsing a pair of scarlet automobiles unhurriedly in the yard at sunrise"),
    (WASH, "report", Wording(), "the old woman washed two red cars slowly in the yard at dawn"),
    (WASH, "report", Wording(passive=True, early=True, front="place"),
     "in the yard two red cars were slowly washed by the old woman at dawn"),
    (Meaning(action="sell", object="lamps"), "report", Wording(), "lamps were sold"),  # no agent: passive
    (Meaning(action="sell", object="lamps", polarity=False), "report", Wording(), "lamps were not sold"),
    (Meaning(agent="clerk", action="sell", object="lamps", manner="sadly", polarity=False), "report", Wording(early=True),
     "the clerk did not sadly sell lamps"),
    (Meaning(agent="man", action="wash", object="cars", polarity=False), "caption", Wording(), "a man is not washing cars"),
    (Meaning(agent="man", action="wash", object="cars", polarity=False), "caption", Wording(by_no=True),
     "no man is washing cars"),
    (Meaning(agent="man", action="wash", object="cars", polarity=False), "report", Wording(by_no=True),
     "the man did not wash cars"),  # "no" is for captions
]  # fmt: skip


@pytest.mark.parametrize(("meaning", "style", "wording", "sentence"), PENCIL)
def test_sentences_by_pencil(meaning, style, wording, sentence):
    assert realise(meaning, style, wording) == sentence
    assert read(sentence) == (meaning, style)


QUESTIONS = {
    "who slowly sold red lamps in the shop ?": Question(
        "agent", Meaning(action="sell", colour="red", object="lamps", manner="slowly", place="in the shop")
    ),
    "by whom were lamps sold ?": Question("agent", Meaning(action="sell", object="lamps")),
    "how many red lamps did the clerk sell ?": Question(
        "number", Meaning(agent="clerk", action="sell", colour="red", object="lamps")
    ),
    "what colour were the two lamps that were sold at dawn ?": Question(
        "colour", Meaning(action="sell", number="two", object="lamps", time="at dawn")
    ),
    "what did the clerk sell ?": Question("object", Meaning(agent="clerk", action="sell")),
    "how were lamps sold ?": Question("manner", Meaning(action="sell", object="lamps")),
    "where did the clerk purchase lamps ?": Question("place", Meaning(agent="clerk", action="buy", object="lamps")),
    "when were lamps sold by the young clerk ?": Question(
        "time", Meaning(agent="clerk", age="young", action="sell", object="lamps")
    ),
}


@pytest.mark.parametrize("text", QUESTIONS)
def test_questions_by_pencil(text):
    assert parse_question(text) == QUESTIONS[text]


REMARKS = {"caption", "report", "question", "the same meaning", "present progressive, indefinite agent",
           'as "is not washing": denial has wide scope', "past tense, definite agent"}  # fmt: skip
CLAIMS = {"entails": "entailment", "equivalent to": "equivalent", "neutral to": "neutral", "contradicts": "contradiction"}


def test_the_page_that_explains_the_language_speaks_it():
    """The examples at the top of lexicon.yaml are sentences, and the relations are those that it claims."""
    lines = LEXICON_FILE.read_text(encoding="utf-8").splitlines()
    examples = [re.split(r"\s{2,}", line[1:].strip()) for line in lines if line.startswith("#   ")]
    claims = [parts for parts in examples if parts[1:] and parts[1] in CLAIMS]
    for first, verb, second, *_ in claims:
        assert relation(parse(first), parse(second)).value == CLAIMS[verb]
    said = [text for parts in examples if parts not in claims for text in parts if text not in REMARKS]
    meant = [parse_question(text) if text.endswith("?") else parse(text) for text in said]
    assert (len(claims), len(said)) == (11, 10)
    assert replace(meant[0], polarity=False) == replace(meant[2], manner="slowly", place="in the yard")
    assert meant[0] == meant[1] and meant[3] == meant[4]  # "the same meaning"


# ---------------------------------------------------------------- one reading only


def test_no_wording_stands_for_two_things():
    symbols = Counter(" ".join(text) for text, *_ in units())
    assert [text for text, count in symbols.items() if count > 1] == []


def test_the_longest_unit_is_the_right_one():
    """Where a unit starts another ("a", "a pair of"), what is left of the longer one starts no unit: no other way to cut."""
    starts = {text[0] for text, *_ in units()}
    pairs = [(short, long) for short, *_ in units() for long, *_ in units() if short != long and long[: len(short)] == short]
    assert pairs and [(s, long) for s, long in pairs if long[len(s)] in starts] == []


def test_every_order_of_symbols_has_one_reading():
    assert frame_tree(False) and frame_tree(True)  # refuses a sequence that two layouts share
    for style, kinds in BOOK.layouts.items():
        for kind in kinds:
            for symbols in every_frame(style, kind):
                slots = [SLOT_OF[symbol] for symbol in symbols if symbol in SLOT_OF]
                assert len(slots) == len(set(slots)), symbols


def test_a_layout_with_two_readings_is_refused(monkeypatch):
    twice = {"caption": BOOK.layouts["caption"] | {"active again": BOOK.layouts["caption"]["active"]}}
    monkeypatch.setattr("dawgen_core.pocket.frames.lexicon", lambda: replace(BOOK, layouts=BOOK.layouts | twice))
    with pytest.raises(ValueError, match="expected one layout"):
        frame_tree.__wrapped__(False)


# ---------------------------------------------------------------- what cannot be said


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        ("a woman is washing", 4),
        ("a woman is washing purple cars", 4),  # not a word of ours
        ("an woman is washing cars", 0),
        ("a old woman is washing cars", 0),
        ("a woman is washing red two cars", 5),
        ("a woman is wash cars", 3),
        ("a woman washed cars", 2),  # a caption's article with a report's verb
        ("the woman is washing cars", 2),
        ("in the yard a woman is washing cars in the park", 8),  # one place only
        ("in the yard at dawn a woman is washing cars", 3),
        ("two cars are being washed by an old", 8),
        ("a woman is washing cars .", 5),
        ("no cars are being washed", 1),
    ],
)
def test_where_it_stops(text, position):
    with pytest.raises(NotInGrammar) as error:
        parse(text)
    assert error.value.position == position
    assert f"word {position + 1}: expected " in str(error.value)


def test_the_position_counts_through_clauses():
    assert len(read_clauses("the clerk sold lamps and at dawn the clerk bought coats")[0]) == 2
    with pytest.raises(NotInGrammar) as error:
        read_clauses("the clerk sold lamps and at dawn the clerk bought the coats")
    assert error.value.position == 10
    with pytest.raises(NotInGrammar):
        read_clauses("the clerk sold lamps and")


@pytest.mark.parametrize(
    "meaning",
    [
        Meaning(agent="woman", object="cars"),
        Meaning(agent="woman", action="wash"),
        Meaning(age="old", action="wash", object="cars"),
        Meaning(agent="emperor", action="wash", object="cars"),
    ],
)
def test_what_cannot_be_said(meaning):
    with pytest.raises(ValueError, match="expected"):
        realise(meaning, "caption")


def test_questions_that_cannot_be_asked():
    with pytest.raises(ValueError, match="expected"):
        realise_question(Question("place", WASH))  # its answer is in it
    with pytest.raises(ValueError, match="denial"):
        realise_question(Question("place", replace(WASH, place=None, polarity=False)))
    with pytest.raises(ValueError, match="style"):
        realise(WASH, "question")


# ---------------------------------------------------------------- the lexicon


def test_size_and_shape_of_the_lexicon():
    assert 450 <= len(words()) <= 650
    assert all(word == word.lower() and word == word.strip() for word in words())
    concepts = [concept for found in BOOK.concepts.values() for concept in found.values()]
    assert 0.35 <= sum(len(c.forms) == 2 for c in concepts) / len(concepts) <= 0.6
    assert max(len([n for n in c.line if not is_group(n)]) for c in concepts) <= 3  # person, adult, woman
    assert all(len(c.forms) <= 2 for c in concepts)


def test_words_are_those_of_the_sentences():
    dice, seen = Dice(samplers.seeded(3, 99)), set()
    for _ in range(1500):
        for domain in BOOK.domains:
            for style in ("caption", "report"):
                meaning = draw_meaning(palette(domain, style), FILL, 0.4, 0.2, dice)
                seen |= set(realise(meaning, style, draw_wording(RATES, dice)).split())
    assert seen <= set(words())
    extra = {"and", "?", "who", "whom", "where", "when", "how", "many", "what", "was", "did", "that", "colour"}
    assert set(words()) - seen - extra <= {form.split()[0] for c in BOOK.concepts["action"].values() for form in c.forms}


def test_every_domain_has_what_it_needs():
    for domain, slots in BOOK.domains.items():
        own = [
            sum(BOOK.concepts[slot][name].domain == domain for name in slots[slot]) for slot in ("agent", "object", "place")
        ]
        assert all(found >= least for found, least in zip(own, (3, 7, 6), strict=True)), domain
        assert len(slots["action"]) >= 10, domain
