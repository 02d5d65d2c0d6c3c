"""Names that people tell apart by looking: labels and columns."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from dawgen_core.tasks import TaskError

JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"  # Persian is written with them, and emoji


def hidden(text: str) -> str:
    """The first character that nobody sees and that steers what is shown, as U+202E; "" where there is none: a control, a
    mark or override of direction, a space of no width. Right-to-left letters are letters, and JOINERS are allowed.

    >>> hidden("\\N{HEBREW LETTER SHIN}"), hidden("a\\N{RIGHT-TO-LEFT OVERRIDE}b")
    ('', 'U+202E')
    """
    if text.isprintable():
        return ""
    odd = (c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in JOINERS)
    return next((f"U+{ord(c):04X}" for c in odd), "")


def folded(text: str) -> str:
    """The same for texts that differ only by case, spaces, JOINERS or the way that Unicode writes them."""
    plain = unicodedata.normalize("NFKC", "".join(c for c in text if c not in JOINERS)).casefold()
    return " ".join(unicodedata.normalize("NFKC", plain).split())


def check(path: Path, labels: Iterable[object]) -> None:
    """Labels that look the same must be the same: TaskError for two that fold to one, and for one with what is hidden."""
    counts, known = Counter(map(str, labels)), {}
    for raw in sorted(counts):
        if found := hidden(raw):
            raise TaskError(f"{path}: expected labels without invisible characters, found {found} in {raw!r:.200}; mend it")
        if (other := known.setdefault(folded(raw), raw)) != raw:
            raise TaskError(f"{path}: expected labels that differ by more than case and spaces, found {other!r:.200} "
                            f"({counts[other]} rows) and {raw!r:.200} ({counts[raw]} rows); make them one")  # fmt: skip
