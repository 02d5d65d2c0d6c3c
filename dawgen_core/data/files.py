"""Rows and lines of local files: .jsonl, .csv, .tsv, .parquet, .txt, gzip'ed or not."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pandas as pd

from dawgen_core.tasks import TaskError


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """A UTF-8 text file (a byte order mark is skipped). Errors: TaskError (missing, not UTF-8, damaged)."""
    if not path.is_file():
        raise TaskError(f"expected a file of rows at {path}, found none")
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8-sig", newline="") as handle:
            yield handle
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: expected UTF-8 text, found a byte that is not ({error}); re-save it") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TaskError(f"{path}: expected a whole gzip file, found a truncated one ({error})") from error
    except csv.Error as error:
        raise TaskError(f"{path}: expected one row a line and closed quotes, found {error}") from error


def text_lines(path: Path) -> list[str]:
    """Lines of a text file without their ends; only newlines end a line."""
    with opened(path) as handle:
        lines = handle.read().replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def records(path: Path) -> list[dict]:
    """Rows as dictionaries. Text stays text: "NA" and "1.0" are not turned into numbers. Errors: TaskError."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    if kind == "jsonl":
        return [_json_row(path, i, line) for i, line in enumerate(text_lines(path)) if line.strip()]
    if kind in ("csv", "tsv"):
        return _separated(path, kind)
    if kind != "parquet":
        raise TaskError(f"{path}: expected .jsonl, .csv, .tsv or .parquet (.gz allowed), found .{kind}")
    if not path.is_file():
        raise TaskError(f"expected a file of rows at {path}, found none")
    try:
        return pd.read_parquet(path).to_dict("records")
    except (ValueError, OSError) as error:
        raise TaskError(f"{path}: expected a whole parquet file, found {error}") from error


def _separated(path: Path, kind: str) -> list[dict]:
    """CSV with the usual double quotes; TSV without any quoting, so that a lone quotation mark is just that."""
    look = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if kind == "tsv" else {"strict": True}
    with opened(path) as handle:
        rows = [row for row in csv.reader(handle, **look) if row]
    if not rows:
        raise TaskError(f"{path}: expected a header and rows, found an empty file")
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise TaskError(f"{path}, row {number + 1}: expected {len(rows[0])} fields as in the header, found {len(row)}")
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def _json_row(path: Path, number: int, line: str) -> dict:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise TaskError(f"{path}, line {number + 1}: expected one JSON object, found {line[:60]!r}") from error
    if not isinstance(row, dict):
        raise TaskError(f"{path}, line {number + 1}: expected one JSON object, found {type(row).__name__}")
    return row
