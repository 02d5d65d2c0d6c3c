"""Meaning to sentence and back. Both ways are exact: parse(realise(m, style, wording)) == m, whatever the wording.

>>> m = Meaning(agent="woman", age="young", action="wash", number="two", colour="red", object="cars", place="in the yard")
>>> realise(m, "caption")
'a young woman is washing two red cars in the yard'
>>> realise(m, "report", Wording(passive=True, front="place", words=(1,) * 9))
'in the yard a pair of scarlet automobiles were rinsed by the youthful lady'
>>> parse("a pair of scarlet automobiles were rinsed in the yard by the youthful lady")
Traceback (most recent call last):
dawgen_core.pocket.language.NotInGrammar: word 11: expected the end or time, found 'by' after 'in the yard'
>>> parse("in the yard a pair of scarlet automobiles were rinsed by the youthful lady") == m
True
>>> realise_question(Question("place", Meaning(agent="woman", age="young", action="wash", object="cars")))
'where did the young woman wash cars ?'
"""

from dataclasses import dataclass
from functools import cache

from dawgen_core.pocket.frames import END, SLOT_OF, STATEMENTS, frame, frame_tree, style_of_question
from dawgen_core.pocket.lexicon import FORMS, SLOTS, lexicon


@dataclass(frozen=True, slots=True)
class Meaning:
    """One event: concept names of the lexicon, None where nothing is said. polarity False: no such event took place."""

    agent: str | None = None
    age: str | None = None
    action: str | None = None
    number: str | None = None
    colour: str | None = None
    object: str | None = None
    manner: str | None = None
    place: str | None = None
    time: str | None = None
    polarity: bool = True


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, one slot, and what is known of the event (the asked slot is None in it)."""

    asked: str
    meaning: Meaning


@dataclass(frozen=True, slots=True)
class Wording:
    """How a meaning is put; what a meaning has no use for is passed over (no agent: passive, whatever is wished).

    words: for each slot in the order of SLOTS, which of its wordings (counted round).
    """

    passive: bool = False
    front: str | None = None  # "place" or "time" first
    early: bool = False  # the manner before its verb, not behind the object
    place_first: bool = True  # of place and time, behind the verb
    by_no: bool = False  # "no woman is washing", not "a woman is not washing"
    words: tuple[int, ...] = (0,) * len(SLOTS)


class NotInGrammar(ValueError):
    """A text is no sentence of the language. position: the number of words that were understood."""

    def __init__(self, words: list[str], position: int, expected: set[str]):
        wanted = " or ".join(sorted(symbol or "the end" for symbol in expected))
        found = repr(words[position]) if position < len(words) else "the end"
        before = f" after {' '.join(words[max(0, position - 3) : position])!r}" if position else ""
        super().__init__(f"word {position + 1}: expected {wanted}, found {found}{before}")
        self.position, self.expected = position, expected


# ---------------------------------------------------------------- meaning -> sentence


def realise(meaning: Meaning, style: str, wording: Wording = Wording()) -> str:
    """The sentence in this style, "caption" or "report". ValueError where the grammar has none: no action, no object, ..."""
    if style not in STATEMENTS:
        raise ValueError(f"style: expected one of {STATEMENTS}, found {style!r}; questions: realise_question")
    return _realise(meaning, style, wording)


def realise_question(question: Question, wording: Wording = Wording()) -> str:
    """The question, with its mark. ValueError where the asked slot is filled, or the event is denied."""
    if not question.meaning.polarity:
        raise ValueError("polarity: expected a question about what took place, found a denial; drop it")
    return _realise(question.meaning, style_of_question(question.asked), wording)


def _realise(meaning: Meaning, style: str, wording: Wording) -> str:
    values = [(slot, value) for slot in SLOTS if (value := getattr(meaning, slot)) is not None]
    passive = wording.passive or (meaning.agent is None and style != "agent?")
    negation = "" if meaning.polarity else " no" if wording.by_no and style == "caption" and not passive else " not"
    kind = ("passive" if passive else "active") + negation
    symbols = frame(style, kind, frozenset([s for s, _ in values]), wording.front, wording.early, wording.place_first)
    said = {slot: _form(slot, value, wording.words) for slot, value in values}
    for form, word in zip(FORMS, said.pop("action").split(), strict=True):
        said[form] = word
    words = [said.get(symbol, symbol) for symbol in symbols]
    for i, symbol in enumerate(symbols):
        if symbol == "a":
            words[i] = article(words[i + 1])
    return " ".join(words)


def _form(slot: str, name: str, words: tuple[int, ...]) -> str:
    found = lexicon().concepts[slot]
    if name not in found:
        raise ValueError(f"{slot}: expected a concept of the lexicon, found {name!r}")
    forms = found[name].forms
    return forms[words[SLOTS.index(slot)] % len(forms)]


def article(following: str) -> str:
    return "an" if following[0] in "aeiou" else "a"


# ---------------------------------------------------------------- sentence -> meaning


@cache
def chunks() -> dict[str, list[tuple[list[str], str, str | None]]]:
    """First word -> (words, symbol, concept or None), longest first: every unit that a sentence is made of."""
    units = [(article_, "a", None) for article_ in ("a", "an")]
    for symbol in _symbols(frame_tree(False)) | _symbols(frame_tree(True)):
        if symbol not in SLOT_OF and symbol != "a":
            units.append((symbol, symbol, None))
    for slot, found in lexicon().concepts.items():
        for concept in found.values():
            for form in concept.forms:
                symbols = zip(form.split(), FORMS, strict=True) if slot == "action" else [(form, slot)]
                units += [(text, symbol, concept.name) for text, symbol in symbols]
    out: dict[str, list] = {}
    for text, symbol, name in sorted(units, key=lambda unit: -len(unit[0].split())):
        out.setdefault(text.split()[0], []).append((text.split(), symbol, name))
    return out


def _symbols(tree: dict) -> set[str]:
    return {symbol for symbol in tree if symbol} | {s for key, below in tree.items() if key for s in _symbols(below)}


def _walk(words: list[str], node: dict) -> tuple[str, str, dict[str, str]]:
    """(style, kind, slots) of a text; NotInGrammar at the first word that cannot stand where it stands."""
    units, slots, at = chunks(), {}, 0
    while at < len(words):
        found = next((unit for unit in units.get(words[at], ()) if words[at : at + len(unit[0])] == unit[0]), None)
        if found is None:
            raise NotInGrammar(words, at, set(node))
        text, symbol, name = found
        after = at + len(text)
        if symbol not in node or (symbol == "a" and after < len(words) and words[at] != article(words[after])):
            raise NotInGrammar(words, at, set(node) - ({symbol} - {"a"}))
        node, at = node[symbol], after
        if name is not None:
            slots[SLOT_OF[symbol]] = name
    if END not in node:
        raise NotInGrammar(words, at, set(node))
    return *node[END], slots


def read(sentence: str) -> tuple[Meaning, str]:
    """(meaning, style) of a sentence. NotInGrammar says where it stopped."""
    style, kind, slots = _walk(sentence.split(), frame_tree(False))
    return Meaning(**slots, polarity=" " not in kind), style


def parse(sentence: str) -> Meaning:
    """The meaning of a sentence. NotInGrammar says where it stopped."""
    return read(sentence)[0]


def parse_question(text: str) -> Question:
    """What a question asks. NotInGrammar says where it stopped."""
    style, _, slots = _walk(text.split(), frame_tree(True))
    return Question(style.removesuffix("?"), Meaning(**slots))


def read_clauses(text: str) -> tuple[tuple[Meaning, ...], set[str]]:
    """(meanings, styles) of sentences joined by "and"."""
    read_ones, start = [], 0
    for clause in f" {text} ".split(" and "):
        try:
            read_ones.append(read(clause))
        except NotInGrammar as error:
            raise NotInGrammar(text.split(), start + error.position, error.expected) from error
        start += len(clause.split()) + 1
    return tuple(meaning for meaning, _ in read_ones), {style for _, style in read_ones}
