"""Hostile data files: what is refused, how it is said, that it is bounded, and what is read as the plain text that it is."""

import gzip
import json
import os
import pickle
import subprocess
import sys
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dawgen_core.data import files
from dawgen_core.params import ROOT
from dawgen_core.tasks import TaskError

HEAD = "sentence1,sentence2,label\n"
LINE = {"sentence1": "a", "sentence2": "b", "label": "x"}
DEEP = '{"sentence1": ' + "[" * 100_000
RLO, ZWSP = "\N{RIGHT-TO-LEFT OVERRIDE}", "\N{ZERO WIDTH SPACE}"


def rows(*found: str) -> str:
    """CSV of pairs with these labels."""
    return HEAD + "".join(f"first {i},second {i},{label}\n" for i, label in enumerate(found))


def parquet(frame: dict, **options) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(frame), sink, **options)
    return sink.getvalue().to_pybytes()


REFUSED = {
    "CSV: a line without end": ("a.csv", HEAD + "a" * 2_000_000, "line 2: expected at most 1,048,576 characters"),
    "CSV: a header without end": ("a.csv", "a" * 2_000_000, "line 1: expected at most 1,048,576 characters"),
    "CSV: a field without end": ("a.csv", HEAD + "a" * 200_000 + ",b,x", "fields of at most 131,072 characters"),
    "CSV: a quote without end": ("a.csv", HEAD + '"' + "a\n" * 200_000, "fields of at most 131,072 characters"),
    "CSV: a NUL byte": ("a.csv", HEAD + "a\0,b,x", "line 2: expected text, found a NUL byte"),
    "CSV: a NUL byte in the header": ("a.csv", "a\0,b\n1,2", "line 1: expected text, found a NUL byte"),
    "CSV: UTF-16": ("a.csv", rows("x", "y").encode("utf-16"), "expected UTF-8 text, found a byte"),
    "CSV: UTF-16 without a mark": (
        "a.csv",
        rows("x", "y").encode("utf-16-le"),
        "found a NUL byte; re-save the file as UTF-8",
    ),
    "CSV: UTF-32": ("a.csv", rows("x", "y").encode("utf-32"), "expected UTF-8 text"),
    "CSV: two encodings": ("a.csv", (HEAD + "é,b,x\n").encode() + "é,b,x\n".encode("latin-1"), "expected UTF-8 text"),
    "CSV: a surrogate's bytes": ("a.csv", HEAD.encode() + b"\xed\xa0\x80,b,x\n", "expected UTF-8 text"),
    "CSV: a column twice": ("a.csv", "sentence1,label,label\na,x,y\n", "expected each column once, found 'label' 2 times"),
    "CSV: a column that nobody sees": ("a.csv", f"{ZWSP}label,b\n1,2\n", "expected columns without invisible .* U\\+200B"),
    "CSV: a column that turns the text": ("a.csv", f"{RLO}lebal,b\n1,2\n", "expected columns without .* U\\+202E"),
    "CSV: a column that steers the terminal": ("a.csv", "\x1b[2Jlabel,b\n1,2\n", r"without invisible .* U\+001B in '\\x1b"),
    "CSV: ten thousand columns": ("a.csv", ",".join(f"c{i}" for i in range(10_000)) + "\n", "expected rows with"),
    "CSV: an empty label": ("a.csv", rows("x", "", "y"), r"in column label, found none in 1 of 3 rows \(row 2;"),
    "CSV: labels that differ by a space": (
        "a.csv",
        rows("x", "x "),
        "differ by more than case and spaces, found 'x' .*'x '",
    ),
    "CSV: labels that differ by case": ("a.csv", rows("x", "X"), "differ by more than case and spaces, found 'X'"),
    "CSV: labels in two normal forms": ("a.csv", rows("é", "e\u0301"), "differ by more than case and spaces, found"),
    "CSV: labels in two widths": ("a.csv", rows("yes", "ｙｅｓ"), "differ by more than case and spaces, found 'yes'"),
    "CSV: labels that differ by a joiner": (
        "a.csv",
        rows("می\u200cخواهم", "میخواهم"),
        "differ by more than case and spaces",
    ),
    "CSV: a label that nobody sees": ("a.csv", rows("x", f"x{ZWSP}"), "expected labels without invisible .* U\\+200B"),
    "CSV: a label that turns the text": ("a.csv", rows("x", f"{RLO}y"), "expected labels without invisible .* U\\+202E"),
    "CSV: a label that steers the terminal": ("a.csv", rows("x", "\x1b[31my"), r"without invisible .* U\+001B in '\\x1b"),
    "TSV: a line without end": ("a.tsv", "a" * 2_000_000, "line 1: expected at most 1,048,576 characters"),
    "JSON: a line without end": ("a.jsonl", '{"sentence1": "' + "a" * 2_000_000, "line 1: expected at most 1,048,576"),
    "JSON: depth": ("a.jsonl", DEEP, 'line 1: expected one JSON object, found \'{"sentence1"'),
    "JSON: a key twice": ("a.jsonl", '{"sentence1": "a", "label": "x", "label": "y"}', "each key once, found 'label' again"),
    "JSON: half a character": ("a.jsonl", json.dumps(LINE | {"sentence1": "\ud800"}), "line 1: expected whole characters"),
    "JSON: half a character in a key": ("a.jsonl", json.dumps(LINE | {"\udfff": "a"}), "line 1: expected whole characters"),
    "JSON: a number without end": ("a.jsonl", '{"label": ' + "9" * 5000 + "}", "line 1: expected one JSON object"),
    "JSON: text that is none": (
        "a.jsonl",
        json.dumps(LINE | {"sentence1": {"a": "b"}}),
        "in column sentence1, found a dict",
    ),
    "JSON: a list for a label": ("a.jsonl", json.dumps(LINE | {"label": ["x"]}), "in column label, found a list"),
    "JSON: NaN for a label": (
        "a.jsonl",
        '{"sentence1": "a", "sentence2": "b", "label": NaN}',
        "in column label, found none",
    ),
    "JSON: ten thousand keys, each once": (
        "a.jsonl",
        "".join(json.dumps({f"k{i}": 1}) + "\n" for i in range(10_000)),
        "found no sentence1, sentence2, label among k0",
    ),
    "JSON: a template for a key": ("a.jsonl", '{"{0.__class__}": 1}', r"among \{0.__class__\};"),
    "gzip: none": ("a.csv.gz", rows("x", "y"), "expected a whole gzip file"),
    "gzip: a header alone": ("a.csv.gz", b"\x1f\x8b\x08\x1c", "expected a whole gzip file"),
    "gzip: a bomb of one line": ("a.csv.gz", gzip.compress(bytes(50_000_000)), "line 1: expected at most 1,048,576"),
    "gzip: a bomb of good rows": (
        "a.csv.gz",
        gzip.compress(HEAD.encode() + b"a,b,x\n" * 5_000_000),
        "unpacks to at most 100 times its size, found more",
    ),
    "gzip: a bomb of long rows": (
        "a.csv.gz",
        gzip.compress(HEAD.encode() + (b"a" * 900 + b",b,x\n") * 90_000),
        "at most 100 times",
    ),
    "gzip: a bomb in a bomb": ("a.csv.gz", gzip.compress(gzip.compress(bytes(10_000_000))), "expected UTF-8 text"),
    "parquet: none": ("a.parquet", b"PAR1" + bytes(100) + b"PAR1", "expected a whole parquet file"),
    "parquet: lists": ("a.parquet", parquet({k: [["a"]] * 2 for k in LINE}), "in column sentence1, found a ndarray"),
    "parquet: bytes": ("a.parquet", parquet({k: [b"a"] * 2 for k in LINE}), "in column sentence1, found a bytes"),
    "parquet: a column that nobody sees": (
        "a.parquet",
        parquet({f"label{ZWSP}": ["a"]}),
        "expected columns without invisible",
    ),
    "parquet: a bomb of rows": (
        "a.parquet",
        parquet({"label": pa.nulls(9_000_000, pa.string())}),
        "found .* and 9,000,000 rows",
    ),
    "parquet: a bomb of text": (
        "a.parquet",
        parquet({"label": ["a" * 90_000_000]}, compression="zstd", use_dictionary=False),
        "expected 100 times the size",
    ),
    "parquet: a long text, often": (
        "a.parquet",
        parquet({"label": ["a" * 500_000] * 2000}),
        "rows of at most 65,536 bytes on av",
    ),
    "no known kind": ("a.pkl", pickle.dumps(LINE), "expected .jsonl, .csv, .tsv or .parquet"),
    "a spreadsheet": ("a.xlsx", b"PK\x03\x04", "expected .jsonl, .csv, .tsv or .parquet"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_hostile_rows(kind, tmp_path, dawgen):
    name, content, message = REFUSED[kind]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    said = dawgen("audit", tmp_path / name)
    assert said.count("\n") == 1 and said.startswith(f"dawgen audit: {tmp_path / name}")
    with pytest.raises(TaskError, match=message):
        raise TaskError(said)


@pytest.mark.parametrize(
    "kind",
    [
        "CSV: a column twice",
        "CSV: labels that differ by case",
        "gzip: a bomb of one line",
        "JSON: depth",
        "CSV: a label that turns the text",
        "parquet: lists",
    ],
)
def test_what_fit_reads_is_refused_likewise(kind, tmp_path, dawgen):
    name, content, _ = REFUSED[kind]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert str(tmp_path / name) in dawgen("fit", tmp_path / name, "--check", "--out", tmp_path / "run")


@pytest.mark.parametrize(
    "name", ["a" * 300 + ".csv", "a" * 300 + ".parquet", "a.csv/", "folder.csv", "pipe.csv", "/dev/zero", "a\nb.csv"]
)
def test_what_is_no_file(name, tmp_path, dawgen):
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    assert "expected" in dawgen("audit", tmp_path / name)


@pytest.mark.parametrize(
    "kind", ["gzip: a bomb of one line", "gzip: a bomb of long rows", "CSV: a line without end", "JSON: a line without end"]
)
def test_bombs_are_refused_in_little_memory(kind, tmp_path):
    name, content, _ = REFUSED[kind]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    tracemalloc.start()
    with pytest.raises(TaskError):
        for _ in files.stream(tmp_path / name):
            pass
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


MEASURED = """
import re, sys, time
from pathlib import Path
from dawgen_core.app import cli
def peak():  # of this process alone: ru_maxrss is inherited
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
from dawgen_core.audit import page, report
before, started = peak(), time.perf_counter()
code = cli.main(["audit", sys.argv[1]])
print(code, time.perf_counter() - started, peak(), before)
"""


ASKED = pytest.mark.skipif(
    "gigabyte" not in os.environ.get("DAWGEN_REQUIRE", ""), reason="1 GB of disk, where it is asked for"
)


@pytest.mark.parametrize("size", [50_000_000, pytest.param(10**9, marks=(pytest.mark.gigabyte, ASKED))])
def test_one_line_of_a_gigabyte(size, tmp_path):
    """In a process of its own: its seconds and its memory, libraries included."""
    with open(tmp_path / "a.csv", "wb") as file:
        for _ in range(size // 10**6):
            file.write(b"a" * 10**6)
    done = subprocess.run([sys.executable, "-c", MEASURED, tmp_path / "a.csv"], cwd=ROOT, capture_output=True, text=True)
    code, seconds, peak, before = map(float, done.stdout.split())
    print(f"{size:,} bytes: {seconds:.2f} s, {peak:.0f} MiB in all, {peak - before:.0f} MiB of them to read it")
    assert code == 2 and seconds < 5 and peak - before < 50 and "line 1: expected at most" in done.stderr
