"""The exact input of the generator, piece by piece, for people to read."""

import pandas as pd

from dawgen_core.prompts import PromptLayout


def generator_input(layout: PromptLayout, label: int, first: str, second: str) -> pd.DataFrame:
    """The exact generator input of one row: one line per piece, with its text, its part and what it is.

    Trainable pieces are shown in angle brackets as the word they started from.
    """
    generator, soft = layout.generator, layout.code_states is None
    show, n = generator.tokenizer.convert_ids_to_tokens, generator.n_vocab
    opening, ids = layout.opening(label, generator.ids(first)), generator.ids(second)
    words = [*show(layout.slot_ids[label] + layout.infix_ids), "end"]
    pieces = [] if soft else [(token, "control code", "frozen") for token in show(layout.code_ids)]
    pieces += [(f"<{token}>", "prefix", "trainable keys and values") for token in show(layout.state_ids[label])]
    n_code, n_slots, n_infix = len(layout.code_ids) if soft else 0, len(layout.slot_ids[label]), len(layout.infix_ids)
    n_first = len(opening) - n_code - n_slots - n_infix - layout.both
    parts = [("control code", n_code), ("prefix", n_slots), ("sentence 1", n_first), ("end of sentence 1", int(layout.both)),
             ("infix", n_infix), ("sentence 2", len(ids)), ("end", 1)]  # fmt: skip
    named = [part for part, size in parts for _ in range(size)]
    scored = {"sentence 2", "end"} | ({"sentence 1", "end of sentence 1"} if layout.both else set())
    for i, part in zip([*opening, *ids, layout.eos_ids[label]], named, strict=True):
        kinds = ["scored"] * (part in scored) + ["trainable slot"] * (i >= n)
        pieces.append((show(i) if i < n else f"<{words[i - n]}>", part, ", ".join(kinds) or "frozen"))
    return pd.DataFrame(pieces, columns=["piece", "part", "what"])
