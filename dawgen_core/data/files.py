"""Rows and lines of local files: .jsonl, .csv, .tsv, .parquet, .txt, gzip'ed or not."""

import gzip
import json
import zlib
from pathlib import Path

import pandas as pd

from dawgen_core.tasks import TaskError


def text_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 text file without their ends. Errors: TaskError (missing, not UTF-8, truncated gzip)."""
    if not path.is_file():
        raise TaskError(f"expected a file of rows at {path}, found none")
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8") as handle:
            return [line.rstrip("\n") for line in handle]
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: expected UTF-8 text, found a byte that is not ({error}); re-save it") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TaskError(f"{path}: expected a whole gzip file, found a truncated one ({error})") from error


def records(path: Path) -> list[dict]:
    """Rows as dictionaries. Text stays text: "NA" and "1.0" are not turned into numbers. Errors: TaskError."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    if not path.is_file():
        raise TaskError(f"expected a file of rows at {path}, found none")
    if kind == "jsonl":
        return [_json_row(path, i, line) for i, line in enumerate(text_lines(path))]
    if kind not in ("csv", "tsv", "parquet"):
        raise TaskError(f"{path}: expected .jsonl, .csv, .tsv or .parquet (.gz allowed), found .{kind}")
    try:
        if kind == "parquet":
            return pd.read_parquet(path).to_dict("records")
        separator = "," if kind == "csv" else "\t"
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8").to_dict("records")
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: expected UTF-8 text, found a byte that is not ({error}); re-save it") from error
    except (ValueError, OSError, EOFError, zlib.error) as error:  # pandas' parser errors are ValueErrors, pyarrow's too
        raise TaskError(f"{path}: expected a whole {kind} file, found {error}") from error


def _json_row(path: Path, number: int, line: str) -> dict:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise TaskError(f"{path}, line {number + 1}: expected one JSON object, found {line[:60]!r}") from error
    if not isinstance(row, dict):
        raise TaskError(f"{path}, line {number + 1}: expected one JSON object, found {type(row).__name__}")
    return row
