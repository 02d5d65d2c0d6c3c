"""`dawgen audit`: options, and what it prints."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dawgen_core.tasks import TaskError

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = """\
examples:
  dawgen audit synthetic.jsonl.gz                                    # flags that need no reference
  dawgen audit synthetic.csv --against train.csv --test test.csv     # against real rows of equal size; leaks are left out
  dawgen audit pairs.tsv --first premise --second hypothesis --label gold --page audit.html
"""


def options_of(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Audits labelled pairs: copies, duplicates, leaks, shortcuts, labels, diversity. No neural model is needed. "
        "FILE: JSON lines, CSV, TSV or parquet, gzip'ed or not. "
        "Exit code 1 when a red flag is raised, else 4 when a class has too few rows to judge (or to be judged by)."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the pairs to audit")
    parser.add_argument("--against", type=Path, metavar="REAL", help="real pairs of the same task: the reference")
    parser.add_argument("--test", type=Path, metavar="TEST", help="test pairs (labelled or not): rows in them are left out")
    parser.add_argument("--few-shot", type=Path, metavar="FILE", help="the pairs that the set was made from")
    parser.add_argument("--first", default="sentence1", metavar="COLUMN", help="of sentence 1 (default: %(default)s)")
    parser.add_argument("--second", default="sentence2", metavar="COLUMN", help="of sentence 2 (default: %(default)s)")
    parser.add_argument("--label", default="label", metavar="COLUMN", help="of the label (default: %(default)s)")
    parser.add_argument("--all", action="store_true", help="show every figure, not only the flagged ones")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--page", type=Path, metavar="HTML", help="also write a page with a browser of the pairs")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from dawgen_core.audit import page, report  # heavy: sklearn, scipy

    if options.page and options.page.is_dir():
        raise TaskError(f"--page: expected the name of a file to write, found the folder {options.page}")
    given = (options.file, options.against, options.test, options.few_shot)
    if options.page and options.page.resolve() in {path.resolve() for path in given if path}:
        raise TaskError(f"--page: expected another file than those that are read, found {options.page}")
    if len({options.first, options.second, options.label}) < 3:
        raise TaskError(f"expected three different columns, found --first {options.first} --second {options.second} "
                        f"--label {options.label}")  # fmt: skip
    sentences = {options.first: "sentence1", options.second: "sentence2"}
    columns = sentences | {options.label: "label"}
    rows, real = _pairs(options.file, columns), options.against and _pairs(options.against, columns)
    others = {"test": options.test, "few_shot": options.few_shot}
    others = {name: path and _pairs(path, sentences) for name, path in others.items()}
    found = report.audit(rows, real, **others, progress=sys.stderr.isatty())
    if options.page:
        against = f", against {options.against.name}" if options.against else ""
        warned = (f"{line[0].upper()}{line[1:]}." for line in found.warnings)
        about = "\n\n".join([f"{len(rows):,} pairs of {options.file.name}{against}", *warned])
        named = {"task": options.file.name.partition(".")[0], "source": options.file.name}
        examples = found.rows[["label", "sentence1", "sentence2", "flags"]].assign(**named, seed="")
        page.write(options.page, f"Audit of {options.file.name}", about, found.measures.assign(**named), examples)
    print(_json(options, rows, found) if options.json else _text(options, rows, found))
    if len(found.red):
        return 1
    return 4 if found.warnings else 0


def _pairs(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    """The asked columns of a file, under our names."""
    from dawgen_core.data import files, labels

    rows = files.columns(path, list(columns), "--first, --second and --label").rename(columns=columns)
    labels.check(path, rows.get("label", ()))
    return rows


def _json(options: argparse.Namespace, rows: pd.DataFrame, found) -> str:
    def plain(frame: pd.DataFrame) -> list[dict]:
        return json.loads(frame.to_json(orient="records"))  # NaN becomes null

    labels = found.rows["label"].value_counts().to_dict()
    out = {"file": str(options.file), "rows": len(rows), "labels": labels, "red": len(found.red), "warnings": found.warnings,
           "audited": found.audited, "measures": plain(found.measures), "telling": plain(found.telling)}  # fmt: skip
    return json.dumps(out, ensure_ascii=False, indent=1)


def _text(options: argparse.Namespace, rows: pd.DataFrame, found) -> str:
    """A verdict, the flagged figures, and the words that tell a class."""
    from tabulate import tabulate

    measures = found.measures
    flagged = measures[measures["flag"] != ""]
    counts = found.rows["label"].value_counts()
    labels = ", ".join(f"{label} {n:,}" for label, n in counts.items())
    red, amber = (int((measures["flag"] == level).sum()) for level in ("red", "amber"))
    held = measures["reference"].notna().any()
    against = f"against as many rows of {options.against} per class" if held else "no reference: absolute flags only"
    lines = [f"{options.file}: {len(rows):,} pairs ({labels}), {against}"]
    if any(found.audited.get(label) != n for label, n in counts.items()):
        of = (f"{label} {found.audited.get(label, 0):,} of {n:,}" for label, n in counts.items())
        lines.append(f"audited (but for leaks): {', '.join(of)}")
    lines += [f"{red or 'no'} red, {amber or 'no'} amber flags", *(f"WARNING: {line}" for line in found.warnings), ""]
    shown = measures if options.all else flagged
    if len(shown):
        lines += [tabulate([_line(row) for _, row in shown.iterrows()], tablefmt="simple", disable_numparse=True, headers=[
            "flag", "class", "measure", "found", "95 % interval", "real", "difference", "limit", "note"]), ""]  # fmt: skip
    if options.all and len(found.telling):
        said = [f"“{row.ngram}” (in {row.in_class:.1%} of {row.label}, in {row.elsewhere:.1%} elsewhere)"
                for row in found.telling.groupby("label", sort=False).head(3).itertuples()]  # fmt: skip
        lines += ["words that tell a class most: " + ", ".join(said), ""]
    if len(shown) < len(measures):
        lines.append(f"{len(measures) - len(shown)} other figures within their limits or without one: --all shows them")
    return "\n".join(lines)


def _line(row: pd.Series) -> list[str]:
    def number(value: float, sign: str = "") -> str:
        if value != value:
            return ""
        return f"{100 * value:{sign}.1f} %" if row["unit"] == "share" else f"{value:{sign}.3g}"

    interval = f"{number(row['low'])} to {number(row['high'])}" if row["low"] == row["low"] else ""
    flag = "RED" if row["flag"] == "red" else row["flag"]
    return [flag, row["label"], row["measure"], number(row["value"]), interval, number(row["reference"]),
            number(row["difference"], "+"), number(row["limit"]), row["note"]]  # fmt: skip
