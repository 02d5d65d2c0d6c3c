"""The audit as one HTML file that a browser opens without Python or a network: verdict, table, panels, pairs, cards.

What is measured and decided stands here in words and numbers; page.html lays it out. Texts of others reach it by two
ways only, `_escaped` and `_json`, so that none of them can become markup.
"""

import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dawgen_core.artifacts import replacing

MOST_EXAMPLES = 5000  # embedded pairs: one to two megabytes
TEMPLATE = Path(__file__).with_suffix(".html")
KEY = ["task", "source", "label", "group", "measure", "unit"]
NUMBERS = ["value", "low", "high", "reference", "difference", "difference_low", "difference_high", "limit", "n"]
GROUPS = ["task", "source", "label"]
KNOWN = {"unit": ["share", "number", "count"], "flag": ["red", "amber", ""]}  # flags: the worst first
Line = dict[str, Any]


def write(path: Path, title: str, about: str, measures: pd.DataFrame, examples: pd.DataFrame,
          cards: Mapping[str, str] = {}) -> None:  # fmt: skip
    """The page, whole or not at all; same input, same bytes. Neither frame is modified.

    measures: one row per measure; rows that differ by a column `seed` become one line. examples: one row per pair, of
    which `drawn` are embedded. cards: name to Markdown. ValueError when columns lack, or for an unknown unit or flag.
    """
    lines = _lines(_plain("measures", measures, [*KEY, "flag", "note", *{"seed"} & set(measures)], NUMBERS))
    pairs = _plain("examples", examples, [*GROUPS, "seed", "sentence1", "sentence2", "flags"])
    embedded = drawn(pairs)
    counted = f"{len(pairs):,} pairs." if len(embedded) == len(pairs) else (
        f"{len(embedded):,} of {len(pairs):,} pairs, drawn evenly over tasks, sources and classes. Flagged pairs were drawn "
        "first, up to half: shares among the pairs of this page are not shares of the data.")  # fmt: skip
    data = {"lines": [_line(line) for line in lines], "pairs": [_pair(row) for row in embedded.to_dict("records")],
            "cards": list(cards.items())}  # fmt: skip
    parts = {"title": _escaped(title), "about": _escaped(about), "verdict": _escaped(_verdict(lines)),
             "worst": min((line["flag"] for line in lines), key=KNOWN["flag"].index, default=""),
             "counted": counted, "data": _json(data)}  # fmt: skip
    # In one pass: a text that looks like a placeholder stays a text.
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], TEMPLATE.read_text(encoding="utf-8"))
    with replacing(Path(path)) as part:
        part.write_text(page, encoding="utf-8", errors="xmlcharrefreplace", newline="")


def drawn(pairs: pd.DataFrame) -> pd.DataFrame:
    """At most MOST_EXAMPLES rows in their old order: rows with flags up to half of the places, then rows without, then again
    rows with. For each place task, source and label take turns, within each its kinds of flags. Always the same rows.
    """
    pairs, half = pairs.reset_index(drop=True), MOST_EXAMPLES // 2
    flagged, clean = _turns(pairs[pairs["flags"] != ""]), _turns(pairs[pairs["flags"] == ""])
    return pd.concat([flagged[:half], clean, flagged[half:]]).head(MOST_EXAMPLES).sort_index()


def _turns(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.sample(frac=1, random_state=0)
    for keys in ([*GROUPS, "flags"], GROUPS):
        rows = rows.iloc[rows.groupby(keys).cumcount().argsort(kind="stable")]
    return rows


def _plain(name: str, frame: pd.DataFrame, texts: Sequence[str], numbers: Sequence[str] = ()) -> pd.DataFrame:
    """A copy with these columns as plain texts ("" for what is missing) and floats."""
    if missing := [column for column in [*texts, *numbers] if column not in frame]:
        raise ValueError(f"{name}: expected columns {', '.join([*texts, *numbers])}; missing: {', '.join(missing)}")
    frame = frame.reset_index(drop=True)
    for column in texts:
        whole = [int(v) if isinstance(v, float) and v.is_integer() else v for v in frame[column]]  # 13.0: a seed beside NaN
        frame[column] = pd.Series(["" if pd.isna(v) else str(v) for v in whole], frame.index, dtype=object)
        if unknown := set(frame[column]) - set(KNOWN.get(column, frame[column])):
            raise ValueError(f"{name}: column {column}: expected {KNOWN[column]}, found {sorted(unknown)}")
    return frame.astype(dict.fromkeys(numbers, float))


def _lines(rows: pd.DataFrame) -> list[Line]:
    """One per task, source, class and measure; of several seeds: mean, smallest and largest, the worst flag and its note."""
    lines = []
    for _, seeds in rows.groupby(KEY if "seed" in rows else rows.index, sort=False):
        alike = seeds[seeds["flag"] == min(seeds["flag"], key=KNOWN["flag"].index)]
        line = alike.iloc[0].to_dict() | {"seeds": len(seeds), "alike": len(alike)}
        if len(seeds) > 1:
            if len(set(seeds["note"]) - {""}) > 1:
                line["note"] = f"Seed {line['seed']}: {line['note']}"
            line |= {"reference": seeds["reference"].mean(), "n": seeds["n"].sum()}
            for name, low, high in (("value", "low", "high"), ("difference", "difference_low", "difference_high")):
                line |= {name: seeds[name].mean(), low: seeds[name].min(), high: seeds[name].max()}
        lines.append(line)
    return lines


def _verdict(lines: list[Line]) -> str:
    red, amber = ([line for line in lines if line["flag"] == flag] for flag in KNOWN["flag"][:2])
    names = list(dict.fromkeys(line["measure"] for line in red or amber))
    said = ", ".join(names[:4]) + f" and {len(names) - 4} more" * (len(names) > 4)
    held = [line["limit"] for line in lines if line["group"] != "leaks"]
    judged = not held or any(map(math.isfinite, held))
    head = f"{len(red)} red flag{'s' * (len(red) > 1)}" if red else "No red flag" if judged else "Too few rows to judge"
    return f"{head}{f', {len(amber)} amber' if amber else ''}{f': {said}' if said else ''}."


def _digits(value: float, unit: str, sign: str) -> str:
    """Percent with one decimal, three significant digits, or an integer; "" for NaN."""
    if not math.isfinite(value):
        return "" if math.isnan(value) else f"{value:{sign}}"
    if unit == "share":
        return f"{round(100 * value, 1) + 0.0:{sign}.1f}"  # + 0.0: no minus before a zero
    value = (round(value) if unit == "count" else float(f"{value:.3g}")) + 0.0
    return f"{value:{sign},.0f}" if unit == "count" or abs(value) >= 1000 else f"{value:{sign}#.3g}".rstrip(".")


def _said(line: Line, name: str) -> tuple[str, str]:
    """A number in its unit, and its interval; each "" where there is none."""
    before, sign, suffix = ("difference_", "+", " pp") if name == "difference" else ("", "", "%")
    number, low, high = (_digits(line[n], line["unit"], sign) for n in (name, f"{before}low", f"{before}high"))
    return number and number + suffix * (line["unit"] == "share"), f"{low} to {high}" if low and high else ""


def _line(line: Line) -> Line:
    """What the page says of a line, and the numbers that it draws (None: nothing)."""
    said = {"{n:,.0f} rows": line["n"] > 0, "{seeds} seeds": line["seeds"] > 1,
            "{alike} of them {flag}": line["seeds"] > 1 and line["flag"]}  # fmt: skip
    counted = ", ".join(text.format(**line) for text, holds in said.items() if holds)
    numbers = [line[name] if math.isfinite(line[name]) else None for name in ("value", "low", "high", "reference")]
    return {name: line[name] for name in (*KEY, "flag", "note")} | {
        "value": _said(line, "value"), "difference": _said(line, "difference"), "real": _said(line, "reference")[0],
        "limit": _said(line, "limit")[0], "counted": counted, "numbers": numbers}  # fmt: skip


def _pair(row: Line) -> list[Any]:
    """What the page shows of a pair: its texts, flags as a list, tokens of sentence 2 with their shares, or null."""
    flags = [flag.strip() for flag in row["flags"].split(",") if flag.strip()]
    tokens = row.get("weights")
    weights = [[str(token), round(float(share), 4) if math.isfinite(share) else 0] for token, share in tokens
               ] if hasattr(tokens, "__len__") else None  # fmt: skip
    return [row["task"], row["source"], row["label"], row["seed"], row["sentence1"], row["sentence2"], flags, weights]


def _escaped(text: str) -> str:
    return html.escape(text.replace("\0", "\N{SYMBOL FOR NULL}"))


def _json(value: Any) -> str:
    """JSON in ASCII that no parser can take for markup."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", text)
