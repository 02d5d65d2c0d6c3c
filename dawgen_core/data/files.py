"""Rows and lines of local files: .jsonl, .csv, .tsv, .parquet, .txt, gzip'ed or not.

What a file holds is read as what it is, or refused after bounded work: lines without end, small files that unpack to huge
ones, NUL bytes (the sign of UTF-16), half characters, columns that look the same.
"""

import csv
import gzip
import itertools
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api.types import is_scalar

from dawgen_core.data.labels import hidden
from dawgen_core.tasks import TaskError

LONGEST = 2**20  # characters of a line
UNPACKED, TIMES = 2**22, 100  # a packed file may unpack to so many characters, or to so many times its size
BATCH, MEAN = 1000, 2**16  # rows of a parquet file in memory at once, bytes of each on average


@contextmanager
def opened(path: Path, newline: str = "") -> Iterator[Iterator[str]]:
    """The lines of a UTF-8 text file, with their ends (a byte order mark is skipped). Errors: TaskError (missing, not UTF-8,
    damaged, too long a line, a NUL byte, a file that unpacks to far more than it is)."""
    check_there(path)
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8-sig", newline=newline) as handle:
            yield _bounded(handle, path)
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: expected UTF-8 text, found a byte that is not ({error}); re-save it") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TaskError(f"{path}: expected a whole gzip file, found a truncated one ({error})") from error
    except csv.Error as error:
        wanted = f"one row a line, closed quotes and fields of at most {csv.field_size_limit():,} characters"
        raise TaskError(f"{path}: expected {wanted}, found {error}") from error


def check_there(path: Path) -> None:
    """TaskError where no file is."""
    try:
        there = path.is_file()
    except OSError:  # a name that no file can have
        there = False
    if not there:
        raise TaskError(f"expected a file of rows at {path}, found none")


def _bounded(handle: TextIO, path: Path) -> Iterator[str]:
    most, n = max(UNPACKED, TIMES * path.stat().st_size), 0
    for number in itertools.count(1):
        line = handle.readline(LONGEST + 1)
        if not line:
            return
        n += len(line)
        if len(line) > LONGEST:
            raise TaskError(f"{path}, line {number}: expected at most {LONGEST:,} characters, found more; one row a line")
        if "\0" in line:
            raise TaskError(f"{path}, line {number}: expected text, found a NUL byte; re-save the file as UTF-8")
        if path.suffix == ".gz" and n > most:
            raise TaskError(f"{path}: expected a file that unpacks to at most {TIMES} times its size, found more, as in a "
                            "gzip bomb; if it is what it should be, unpack it first")  # fmt: skip
        yield line


def text_lines(path: Path) -> list[str]:
    """Lines of a text file without their ends; only newlines end a line."""
    with opened(path, newline="\n") as lines:
        return [line[:-2] if line.endswith("\r\n") else line.removesuffix("\n") for line in lines]


def records(path: Path) -> list[dict]:
    """Rows as dictionaries. Text stays text: "NA" and "1.0" are not turned into numbers. Errors: TaskError."""
    return list(stream(path))


def columns(path: Path, names: Sequence[str], options: str) -> pd.DataFrame:
    """These columns of all rows, none of their values empty. options: those of a command that choose columns.

    Errors: TaskError for a missing column, no rows, and for values that are empty or no text or number, with their row.
    """
    read = records(path)
    if not read:
        raise TaskError(f"{path}: expected rows with {', '.join(names)}, found none")
    there = dict.fromkeys(name for row in read for name in row)
    if missing := [name for name in names if name not in there]:
        raise TaskError(f"{path}: expected the columns {', '.join(names)}, found no {', '.join(missing)} among "
                        f"{', '.join(map(str, there)):.1000}; use {options}")  # fmt: skip
    rows = pd.DataFrame([{name: row.get(name) for name in names} for row in read])
    for name in names:
        odd = [i for i, value in enumerate(rows[name]) if not is_scalar(value) or isinstance(value, bytes)]
        if odd:
            found = type(rows[name][odd[0]]).__name__
            raise TaskError(f"{path}, row {odd[0] + 1}: expected text in column {name}, found a {found}")
        absent = rows[name].isna()
        empty = [i for i, value in enumerate(rows[name]) if absent[i] or not str(value).strip()]
        if empty:
            shown = ", ".join(str(i + 1) for i in empty[:5]) + (", ..." if len(empty) > 5 else "")
            raise TaskError(f"{path}: expected text in column {name}, found none in {len(empty)} of {len(rows)} rows "
                            f"(row {shown}; the first row of data is 1); mend or delete them")  # fmt: skip
    return rows


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


def _check_header(path: Path, names: Sequence[str]) -> None:
    for name, n in Counter(names).items():
        if n > 1 and name:  # a spreadsheet leaves columns without a name behind
            raise TaskError(f"{path}: expected each column once, found {name!r:.200} {n} times; rename or delete one")
        if found := hidden(name):
            raise TaskError(f"{path}: expected columns without invisible characters, found {found} in {name!r:.200}; rename")


def _parquet(path: Path) -> Iterator[dict]:
    check_there(path)
    try:
        file = pq.ParquetFile(path)
        _check_header(path, file.schema_arrow.names)
        about, size = file.metadata, path.stat().st_size
        unpacked = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        if unpacked > max(UNPACKED, TIMES * size) or about.num_rows > max(UNPACKED, size):
            raise TaskError(f"{path}: expected {TIMES} times the size of the file at most and a byte a row, found "
                            f"{unpacked:,} bytes and {about.num_rows:,} rows in {size:,}; write it again")  # fmt: skip
        for batch in file.iter_batches(BATCH):
            if batch.nbytes > BATCH * MEAN:
                raise TaskError(f"{path}: expected rows of at most {MEAN:,} bytes on average, found more")
            yield from batch.to_pandas().to_dict("records")
    except TaskError:
        raise
    except (ValueError, OSError, TypeError, KeyError, pa.ArrowException) as error:
        raise TaskError(f"{path}: expected a whole parquet file, found {' '.join(str(error).split()):.300}") from error


def _separated(path: Path, kind: str) -> Iterator[dict]:
    """CSV with the usual double quotes; TSV without any quoting, so that a lone quotation mark is just that."""
    look = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if kind == "tsv" else {"strict": True}
    with opened(path) as lines:
        rows = (row for row in csv.reader(lines, **look) if row)
        header = next(rows, None)
        if header is None:
            raise TaskError(f"{path}: expected a header and rows, found an empty file")
        _check_header(path, header)
        for number, row in enumerate(rows, start=1):
            if len(row) != len(header):
                raise TaskError(f"{path}, row {number} below the header: expected {len(header)} fields as there, "
                                f"found {len(row)}")  # fmt: skip
            yield dict(zip(header, row, strict=True))


def _json_rows(path: Path) -> Iterator[dict]:
    with opened(path) as lines:
        for number, line in enumerate(lines):
            if line.strip():
                yield _json_row(path, number, line.rstrip("\r\n"))


def _json_row(path: Path, number: int, line: str) -> dict:
    try:
        row = json.loads(line, object_pairs_hook=_once)
        if "\\u" in line:
            json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        said = "expected whole characters, found half of one (a lone surrogate)"
        raise TaskError(f"{path}, line {number + 1}: {said}; delete it") from error
    except KeyError as error:
        raise TaskError(f"{path}, line {number + 1}: expected each key once, found {error} again") from error
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{path}, line {number + 1}: expected one JSON object, found {line[:60]!r}") from error
    if not isinstance(row, dict):
        raise TaskError(f"{path}, line {number + 1}: expected one JSON object, found {type(row).__name__}")
    return row


def _once(pairs: list[tuple]) -> dict:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise KeyError(next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1))
    return row
