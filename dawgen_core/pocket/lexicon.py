"""The words of the pocket language and their trees, read from lexicon.yaml, where they are explained."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

SLOTS = ("agent", "age", "action", "number", "colour", "object", "manner", "place", "time")  # and polarity
EXCLUSIVE = frozenset({"age", "number", "colour", "manner", "place", "time"})  # siblings exclude each other
FORMS = ("do", "doing", "done")  # of an action
LEANS_ON = {"agent": ("age",), "object": ("number", "colour")}  # what cannot be said without it
GENERAL = "person"  # whom every domain knows, and under whom its own agents stand
LEXICON_FILE = Path(__file__).with_name("lexicon.yaml")


@dataclass(frozen=True, slots=True)
class Concept:
    """One meaning that fills a slot. line: the names from the top of its tree down to itself, groups in parentheses."""

    name: str
    slot: str
    line: tuple[str, ...]
    forms: tuple[str, ...]  # its wordings; for an action each is "do doing done"
    children: tuple[str, ...]  # spoken ones, straight below
    domain: str | None  # None: it belongs to every domain

    @property
    def parent(self) -> str | None:
        """The next wider word, None at the top or below a group."""
        return self.line[-2] if len(self.line) > 1 and not is_group(self.line[-2]) else None


def is_group(name: str) -> bool:
    return name.startswith("(")


@dataclass(frozen=True)
class Lexicon:
    """concepts: slot -> name -> concept. domains: domain -> slot -> names that may be said there. layouts: as written."""

    concepts: dict[str, dict[str, Concept]]
    domains: dict[str, dict[str, tuple[str, ...]]]
    layouts: dict[str, dict[str, str]]

    def children(self, domain: str, slot: str, name: str) -> list[str]:
        """The words straight below `name` that the domain knows."""
        known = self.domains[domain][slot]
        return [child for child in self.concepts[slot][name].children if child in known]


@cache
def lexicon() -> Lexicon:
    """The lexicon of this package. ValueError where a name stands twice in a slot or a domain asks for an unknown action."""
    written = yaml.safe_load(LEXICON_FILE.read_text(encoding="utf-8"))
    concepts = {slot: {} for slot in SLOTS}
    for slot, tree in written["trees"].items():
        _grow(concepts[slot], slot, tree, (), None)
    for domain, own in written["domains"].items():
        _grow(concepts["agent"], "agent", own["agent"], (GENERAL,), domain)
        for slot in ("object", "place"):
            _grow(concepts[slot], slot, own[slot], (), domain)
    domains = {name: _known(name, own["action"], concepts) for name, own in written["domains"].items()}
    return Lexicon(_with_children(concepts), domains, written["layouts"])


def _grow(found: dict[str, Concept], slot: str, tree: dict, above: tuple[str, ...], domain: str | None) -> None:
    for key, below in (tree or {}).items():
        forms = tuple(form.strip() for form in key.split("|"))
        name = forms[0].split()[0] if slot == "action" else forms[0]
        if name in found:
            raise ValueError(f"lexicon.yaml, {slot}: expected each name once, found {name!r} again; choose another word")
        if not is_group(name):
            found[name] = Concept(name, slot, (*above, name), forms, (), domain)
        _grow(found, slot, below, (*above, name), domain)


def _with_children(concepts: dict[str, dict[str, Concept]]) -> dict[str, dict[str, Concept]]:
    below = {slot: {} for slot in concepts}
    for slot, found in concepts.items():
        for concept in found.values():
            if concept.parent:
                below[slot].setdefault(concept.parent, []).append(concept.name)
    return {slot: {c.name: Concept(c.name, slot, c.line, c.forms, tuple(below[slot].get(c.name, ())), c.domain)
                   for c in found.values()} for slot, found in concepts.items()}  # fmt: skip


def _known(domain: str, actions: list[str], concepts: dict[str, dict[str, Concept]]) -> dict[str, tuple[str, ...]]:
    if unknown := [name for name in actions if name not in concepts["action"]]:
        raise ValueError(f"lexicon.yaml, {domain}: expected actions of the tree, found {unknown}; add them or drop them")
    known = {slot: tuple(c.name for c in found.values() if c.domain in (None, domain)) for slot, found in concepts.items()}
    wider = [concepts["action"][name].parent for name in actions]
    return known | {"action": tuple(dict.fromkeys([*actions, *filter(None, wider)]))}


def words() -> list[str]:
    """Every word of the language, sorted: what a word-level tokenizer must know."""
    book = lexicon()
    forms = [form for found in book.concepts.values() for concept in found.values() for form in concept.forms]
    items = " ".join(layout for layouts in book.layouts.values() for layout in layouts.values())
    places = {*SLOTS, *FORMS, "front", "early", "late", "tail"}
    literals = [item.replace("-", " ") for item in items.replace("{", "").replace("}", "").split() if item not in places]
    return sorted({word for text in [*forms, *literals, "an", "and"] for word in text.split()})
