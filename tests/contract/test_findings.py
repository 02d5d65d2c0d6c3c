"""Figures in the README are those of the published tables, line for line."""

import re

import pytest

from dawgen_core.params import ROOT

FOLDER = ROOT / "figures" / "fewgen_released"


def lines(text: str) -> set[str]:
    """Table lines with single spaces."""
    return {re.sub(r"\s+", " ", line).strip() for line in text.splitlines() if line.startswith("|")}


@pytest.mark.parametrize("name", ["copies", "sentence_2"])
def test_findings_on_released_pairs(name):
    published = lines((FOLDER / f"{name}.md").read_text(encoding="utf-8"))
    head = next(line for line in published if line.startswith("| task"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(readme) if lines(line) == {head})
    shown = lines("\n".join(readme[start + 2 : readme.index("", start)]))
    assert len(shown) == 5 and shown <= published
