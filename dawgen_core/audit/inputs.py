"""The exact input of the generator, piece by piece, for people to read."""

import pandas as pd

from dawgen_core.prompts import PromptLayout


def generator_input(layout: PromptLayout, label: int, first: str, second: str) -> pd.DataFrame:
    """The exact generator input of one row: one line per piece, with its text, its part and what it is."""
    opening, ids = layout.opening(label, layout.generator.ids(first)), layout.generator.ids(second)
    n, prefix, infix = layout.generator.n_vocab, layout.prefix_ids[label], layout.infix_ids
    show = layout.generator.tokenizer.convert_ids_to_tokens
    seen = [f"<{t}>" if i >= n else t for i, t in zip(opening, show(
        [(prefix + infix)[i - n] if i >= n else i for i in opening]), strict=True)]  # fmt: skip
    n_code, n_prefix = len(layout.code_ids), len(prefix)
    parts = ["control code"] * n_code + ["prefix"] * n_prefix
    parts += ["sentence 1"] * (len(opening) - n_code - n_prefix - len(infix)) + ["infix"] * len(infix)
    kinds = ["trainable slot" if i >= n else "frozen" for i in opening]
    end = "<end>" if layout.learned_eos else layout.generator.tokenizer.eos_token
    return pd.DataFrame({
        "piece": seen + show(ids) + [end],
        "part": parts + ["sentence 2"] * len(ids) + ["end"],
        "what": kinds + ["scored"] * len(ids) + ["scored, trainable slot" if layout.learned_eos else "scored"],
    })  # fmt: skip
