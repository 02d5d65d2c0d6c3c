"""Word order: every sequence of symbols that the layouts of lexicon.yaml allow, and a tree of them for the parser.

A symbol is a slot ("agent"), a form of the action ("doing") or a word of the grammar itself ("is"; "a" for a and an).
Symbols name their slots, so a sequence of symbols has one reading; see `language` for the words.
"""

from functools import cache
from itertools import product

from dawgen_core.pocket.lexicon import FORMS, SLOTS, lexicon

STATEMENTS = ("caption", "report")
END = ""  # no symbol
Symbols = tuple[str, ...]
SLOT_OF = {slot: slot for slot in SLOTS if slot != "action"} | dict.fromkeys(FORMS, "action")
MOVABLE = ("manner", "place", "time")
SEATS = {"front": MOVABLE[1:], "early": MOVABLE[:1], "late": MOVABLE[:1], "tail": MOVABLE[1:]}


def style_of_question(asked: str) -> str:
    return f"{asked}?"


def items_of(layout: str) -> list[tuple[str, bool]]:
    """(item, stands in braces) of each item: what stands in braces is said with the agent, or not at all."""
    out, inside = [], False
    for item in layout.split():
        inside = inside or item.startswith("{")
        out.append((item.strip("{}").replace("-", " "), inside))
        inside = inside and not item.endswith("}")
    return out


@cache
def frame(style: str, kind: str, filled: frozenset[str], front: str | None, early: bool, place_first: bool) -> Symbols:
    """The symbols of a sentence, in order, with these slots filled. ValueError where this cannot be said."""
    layouts = lexicon().layouts
    if style not in layouts or kind not in layouts[style]:
        known = [f"{name} {kind}" for name, kinds in layouts.items() for kind in kinds]
        raise ValueError(f"expected one of {known}, found {style} {kind}")
    items = items_of(layouts[style][kind])
    may, must = _may(style, items), _must(items)
    if not must <= filled <= may or ("age" in filled and "agent" not in filled):
        raise ValueError(f"{style} {kind}: expected {sorted(must)} filled, of {sorted(may - must)} any, age only with an "
                         f"agent; found {sorted(filled)}")  # fmt: skip
    front = front if front in filled and ("front", False) in items else None
    tail = [slot for slot in (("place", "time") if place_first else ("time", "place")) if slot in filled and slot != front]
    seats = {"front": [front] if front else [], "tail": tail}
    seats |= {"early": ["manner"] * (early and "manner" in filled), "late": ["manner"] * (not early and "manner" in filled)}
    out = []
    for item, braced in items:
        if item in SEATS:
            out += seats[item]
        elif not (braced and "agent" not in filled) and SLOT_OF.get(item, "action") in filled | {"action"}:
            out.append(item)
    return tuple(out)


def _may(style: str, items: list[tuple[str, bool]]) -> frozenset[str]:
    slots = {slot for item, _ in items for slot in SEATS.get(item, (SLOT_OF.get(item),))}
    return frozenset(slots - {None, style.removesuffix("?") if style.endswith("?") else None})


def _must(items: list[tuple[str, bool]]) -> frozenset[str]:
    always = ("agent", "action", "object")
    return frozenset({SLOT_OF[item] for item, braced in items if not braced and SLOT_OF.get(item) in always})


def every_frame(style: str, kind: str) -> set[tuple[str, ...]]:
    """All sequences of symbols of one layout."""
    items = items_of(lexicon().layouts[style][kind])
    may, must = _may(style, items), _must(items)
    free, out = sorted(may - must), set()
    for said in product((False, True), repeat=len(free)):
        filled = must | {slot for slot, yes in zip(free, said, strict=True) if yes}
        if "age" not in filled or "agent" in filled:
            orders = product((None, "place", "time"), (False, True), (False, True))
            out |= {frame.__wrapped__(style, kind, filled, *order) for order in orders}
    return out


@cache
def frame_tree(questions: bool) -> dict:
    """A tree of all sequences: symbol -> subtree; at the END of each the (style, kind) that it belongs to.

    ValueError where two layouts share a sequence: such a sentence would have two readings.
    """
    tree: dict = {}
    for style, kinds in lexicon().layouts.items():
        for kind in kinds if (style not in STATEMENTS) == questions else ():
            for symbols in every_frame(style, kind):
                node = tree
                for symbol in symbols:
                    node = node.setdefault(symbol, {})
                if (there := node.setdefault(END, (style, kind))) != (style, kind):
                    raise ValueError(f"lexicon.yaml: expected one layout for {symbols}, found {there} and {(style, kind)}")
    return tree
