"""Rows and lines of local files: .jsonl, .csv, .tsv, .parquet, .txt, gzip'ed or not."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pandas as pd
import pyarrow.parquet as pq

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
        wanted = f"one row a line, closed quotes and fields of at most {csv.field_size_limit():,} characters"
        raise TaskError(f"{path}: expected {wanted}, found {error}") from error


def text_lines(path: Path) -> list[str]:
    """Lines of a text file without their ends; only newlines end a line."""
    with opened(path) as handle:
        lines = handle.read().replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def records(path: Path) -> list[dict]:
    """Rows as dictionaries. Text stays text: "NA" and "1.0" are not turned into numbers. Errors: TaskError."""
    return list(stream(path))


def columns(path: Path, names: Sequence[str], options: str) -> pd.DataFrame:
    """These columns of all rows, none of their values empty. options: those of a command that choose columns.

    Errors: TaskError for a missing column, no rows, and for empty values with the number of their row.
    """
    rows = pd.DataFrame(records(path))
    if not len(rows):
        raise TaskError(f"{path}: expected rows with {', '.join(names)}, found none")
    if missing := [name for name in names if name not in rows]:
        raise TaskError(f"{path}: expected the columns {', '.join(names)}, found no {', '.join(missing)} among "
                        f"{', '.join(map(str, rows.columns))}; use {options}")  # fmt: skip
    for name in names:
        empty = [i for i, value in enumerate(rows[name]) if value is None or value != value or not str(value).strip()]
        if empty:
            shown = ", ".join(str(i + 1) for i in empty[:5]) + (", ..." if len(empty) > 5 else "")
            raise TaskError(f"{path}: expected text in column {name}, found none in {len(empty)} of {len(rows)} rows "
                            f"(row {shown}; the first row of data is 1); mend or delete them")  # fmt: skip
    return rows[list(names)]


def stream(path: Path) -> Iterator[dict]:
    """The same, row by row: a large file is never in memory as a whole. Errors: TaskError, when its place is reached."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    if kind == "jsonl":
        return _json_rows(path)
    if kind in ("csv", "tsv"):
        return _separated(path, kind)
    if kind != "parquet":
        raise TaskError(f"{path}: expected .jsonl, .csv, .tsv or .parquet (.gz allowed), found .{kind}")
    return _parquet(path)


def _parquet(path: Path) -> Iterator[dict]:
    if not path.is_file():
        raise TaskError(f"expected a file of rows at {path}, found none")
    try:
        for batch in pq.ParquetFile(path).iter_batches():
            yield from batch.to_pandas().to_dict("records")
    except (ValueError, OSError) as error:
        raise TaskError(f"{path}: expected a whole parquet file, found {error}") from error


def _separated(path: Path, kind: str) -> Iterator[dict]:
    """CSV with the usual double quotes; TSV without any quoting, so that a lone quotation mark is just that."""
    look = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if kind == "tsv" else {"strict": True}
    with opened(path) as handle:
        rows = (row for row in csv.reader(handle, **look) if row)
        header = next(rows, None)
        if header is None:
            raise TaskError(f"{path}: expected a header and rows, found an empty file")
        for number, row in enumerate(rows, start=1):
            if len(row) != len(header):
                raise TaskError(f"{path}, row {number} below the header: expected {len(header)} fields as there, "
                                f"found {len(row)}")  # fmt: skip
            if any("\0" in field for field in row):
                raise TaskError(f"{path}, row {number} below the header: expected text, found a NUL byte; "
                                "re-save the file as UTF-8")  # fmt: skip
            yield dict(zip(header, row, strict=True))


def _json_rows(path: Path) -> Iterator[dict]:
    with opened(path) as handle:
        for number, line in enumerate(handle):
            if line.strip():
                yield _json_row(path, number, line.rstrip("\r\n"))


def _json_row(path: Path, number: int, line: str) -> dict:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise TaskError(f"{path}, line {number + 1}: expected one JSON object, found {line[:60]!r}") from error
    if not isinstance(row, dict):
        raise TaskError(f"{path}, line {number + 1}: expected one JSON object, found {type(row).__name__}")
    return row
