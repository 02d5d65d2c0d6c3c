"""`dawgen audit`: formats, columns, what is printed, exit codes."""

import gzip
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from dawgen_core.app import cli
from dawgen_core.audit import limits, report

COLUMNS = ["sentence1", "sentence2", "label"]
FORMATS = ["pairs.jsonl", "pairs.csv", "pairs.tsv", "pairs.parquet", "pairs.jsonl.gz", "pairs.csv.gz", "pairs.tsv.gz"]


def made(n: int = 40, seed: int = 0) -> pd.DataFrame:
    """Pairs of random words; some have what a reader could stumble over."""
    random, nouns = np.random.default_rng(seed), np.array([f"w{i}" for i in range(60)])
    texts = [" ".join(nouns[chosen]) for chosen in random.integers(60, size=(2 * n, 10))]
    texts[:6] = ['a "quoted" word , and more', "NA", "1.0", "\N{PILE OF POO} ünï\u2028code", "null", "it's 'so', is it"]
    return pd.DataFrame({"sentence1": texts[:n], "sentence2": texts[n:], "label": ["a", "b"] * (n // 2)})


def write(rows: pd.DataFrame, path) -> str:
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        rows.to_parquet(path)
        return str(path)
    if name.endswith(".jsonl"):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows.to_dict("records"))
    elif name.endswith(".csv"):
        text = rows.to_csv(index=False)
    else:
        text = "\n".join("\t".join(map(str, row)) for row in [list(rows.columns), *rows.to_numpy().tolist()]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


@pytest.fixture
def run(quick, capsys, monkeypatch):
    """(exit code, stdout, stderr), without calibrated limits."""
    none = pd.DataFrame(columns=["measure", "scope", "kind", "n", "limit"])
    monkeypatch.setattr(limits, "table", lambda: none)

    def run(*arguments) -> tuple[int, str, str]:
        code = cli.main(["audit", *map(str, arguments)])
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


@pytest.fixture
def read(run):
    """What --json says, NaN refused."""

    def read(*arguments) -> dict:
        code, out, err = run(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out, parse_constant=pytest.fail)

    return read


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_the_same(name, tmp_path, read):
    rows = made()
    found = read(write(rows, tmp_path / name), "--few-shot", write(rows.head(4), tmp_path / f"few-{name}"))
    told = report.audit(rows, few_shot=rows.head(4))
    assert found["file"] == str(tmp_path / name)
    assert (found["rows"], found["labels"], found["red"]) == (40, {"a": 20, "b": 20}, 0)
    assert [row["measure"] for row in found["measures"]] == told.measures["measure"].tolist()
    values = [np.nan if row["value"] is None else row["value"] for row in found["measures"]]
    assert values == pytest.approx(told.measures["value"].tolist(), nan_ok=True)
    assert [row["ngram"] for row in found["telling"]] == told.telling["ngram"].tolist()


def test_columns_may_have_other_names_and_others_are_left_alone(tmp_path, read):
    names = dict(zip(COLUMNS, ["premise", "hypothesis", "gold"], strict=True))
    other = made().rename(columns=names).assign(sentence2="no", number=range(40), label="x")[
        ["number", "label", "gold", "hypothesis", "sentence2", "premise"]]  # fmt: skip
    options = ("--first", "premise", "--second", "hypothesis", "--label", "gold")
    found = read(write(other, tmp_path / "other.csv"), *options, "--few-shot", write(other.tail(1), tmp_path / "few.jsonl"))
    plain = read(write(made(), tmp_path / "plain.csv"), "--few-shot", write(made().tail(1), tmp_path / "plain.jsonl"))
    assert found | {"file": ""} == plain | {"file": ""} and found["measures"][0]["value"] == 1 / 40


@pytest.mark.parametrize("kind", [int, str, "category"])
def test_numbers_as_labels_are_texts_in_every_format(kind, tmp_path, read):
    rows = made().assign(label=pd.Series([0, 1] * 20).astype(str if kind == "category" else int).astype(kind))
    real = write(made(seed=1).assign(label=[0, 1] * 20), tmp_path / "real.parquet")
    names = ("a.csv", "a.parquet", "a.jsonl", "a.tsv.gz")
    tables = [read(write(rows, tmp_path / name), "--against", real) for name in names]
    assert all(table | {"file": ""} == tables[0] | {"file": ""} for table in tables)
    assert tables[0]["labels"] == {"0": 20, "1": 20}
    assert {row["label"] for row in tables[0]["measures"]} == {"", "0", "1"}


# ---------------------------------------------------------------- what is printed


def test_json_holds_no_nan_and_the_whole_table(tmp_path, read):
    found = read(write(made(), tmp_path / "a.jsonl"))
    assert list(found) == ["file", "rows", "labels", "red", "warnings", "audited", "measures", "telling"]
    assert all(list(row) == report.COLUMNS for row in found["measures"])
    assert any(row["reference"] is None for row in found["measures"])
    assert {row["label"] for row in found["telling"]} == {"a", "b"}


def test_text_shows_what_is_flagged_and_on_demand_all(tmp_path, run):
    rows, real = made(), made(seed=1)
    path, against = write(rows, tmp_path / "a.csv"), write(real, tmp_path / "real.csv")
    held, few = write(rows.head(8), tmp_path / "held.csv"), write(rows.tail(1), tmp_path / "few.csv")
    options = (path, "--against", against, "--test", held, "--few-shot", few)
    code, out, err = run(*options)
    lines = out.splitlines()
    assert (code, err) == (1, "")
    assert lines[0] == f"{path}: 40 pairs (a 20, b 20), against as many rows of {against} per class"
    assert lines[1:3] == ["audited (but for leaks): a 16 of 20, b 16 of 20", "1 red, 1 amber flags"]
    assert re.search(r"^flag +class +measure +found +95 % interval +real +difference +limit +note$", out, re.MULTILINE)
    found = re.search(r"^RED +in the test set +20\.0 % +(.*) +0\.5 % +left out of all else$", out, re.MULTILINE)[1]
    assert found.strip() == "10.5 % to 34.8 %"  # no reference, no difference
    assert re.search(r"^amber +in the few-shot set +2\.5 % ", out, re.MULTILINE) and "self-BLEU" not in out
    n = len(report.audit(rows, real, test=rows.head(8), few_shot=rows.tail(1)).measures)
    assert lines[-1] == f"{n - 2} other figures within their limits or without one: --all shows them"
    assert len(lines) == 4 + 2 + 2 + 1 + 1
    code, out, _ = run(*options, "--all")
    assert code == 1 and "self-BLEU" in out and "--all" not in out and len(out.rstrip().splitlines()) == 4 + 2 + n + 2
    row = re.search(r"^ +a +words of sentence 2 .*$", out, re.MULTILINE)[0]
    assert re.fullmatch(r" +a +words of sentence 2 +10 +10 to 10 +10 +\+0 *", row)


def test_without_a_reference_it_says_so(tmp_path, run):
    code, out, _ = run(write(made(), tmp_path / "a.csv"))
    lines = [f"{tmp_path / 'a.csv'}: 40 pairs (a 20, b 20), no reference: absolute flags only", "no red, no amber flags"]
    assert code == 0 and out.splitlines()[:2] == lines


def test_an_amber_flag_is_no_failure(tmp_path, run):
    code, out, _ = run(write(made(), tmp_path / "a.csv"), "--few-shot", write(made(), tmp_path / "few.csv"))
    assert code == 0 and "no red, 1 amber flags" in out and "100.0 %" in out


@pytest.mark.parametrize(("n", "expected"), [(1, 0), (2, 1)])
def test_more_than_half_a_percent_of_leaks_is_a_failure(n, expected, tmp_path, run):
    """1 and 2 of 200."""
    rows = made(200)
    turned = rows.tail(n).rename(columns={"sentence1": "sentence2", "sentence2": "sentence1"})
    assert run(write(rows, tmp_path / "a.csv"), "--test", write(turned, tmp_path / "test.csv"))[0] == expected


def test_a_page_is_written_besides(tmp_path, run):
    path = tmp_path / "new folder" / "audit.html"
    options = (write(made(), tmp_path / "a.b.csv"), "--test", write(made().head(20), tmp_path / "test.csv"))
    code, out, err = run(*options, "--page", path)
    assert (code, err) == (1, "") and out == run(*options)[1]
    text = path.read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1], parse_constant=pytest.fail)
    assert "Audit of a.b.csv" in text and "40 pairs of a.b.csv" in text and "1 red flag: in the test set." in text
    assert len(data["pairs"]) == 40 and [pair[6] for pair in data["pairs"]].count(["in the test set"]) == 20
    assert data["pairs"][0][:6] == ["a", "a.b.csv", "a", "", made()["sentence1"][0], made()["sentence2"][0]]
    code, out, _ = run(*options, "--page", path, "--json")
    assert json.loads(out)["red"] == 1 and str(path) not in out


@pytest.mark.parametrize("arguments", [["--help"], ["audit", "--help"]])
def test_help_shows_examples(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    out = capsys.readouterr().out
    assert stop.value.code == 0 and "what is wrong with labelled pairs?" in out or "examples:" in out
    if len(arguments) > 1:
        lines = [line.strip() for line in out.splitlines() if line.strip().startswith("dawgen audit ")]
        assert len(lines) == 3 and all(re.match(r"dawgen audit \w+\.(jsonl\.gz|csv|tsv)\b", line) for line in lines)
        named = set(re.findall(r"--[a-z-]+", " ".join(lines)))
        assert named <= set(re.findall(r"^  (--[a-z-]+)", out, re.MULTILINE)) and "Exit code 1" in out


@pytest.mark.parametrize("arguments", [[], ["audit"], ["edit"], ["audit", "a.csv", "--nothing"]])
def test_a_wrong_command_line_is_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    out = capsys.readouterr()
    assert stop.value.code == 2 and "usage: dawgen" in out.err and out.out == ""


def test_too_few_rows_to_judge_are_no_pass(tmp_path, run, monkeypatch):
    """Exit code 4; a reference that is too small is not used, and all rows are audited without it."""
    path, few = write(made(120), tmp_path / "a.csv"), write(made(40, seed=3), tmp_path / "few.csv")
    limited = [("near copies of sentence 1", "all", kind, 50, 0.1) for kind in ("against", "alone")]
    known = pd.DataFrame(limited, columns=limits.table().columns)
    monkeypatch.setattr(limits, "table", lambda: known)
    assert run(path)[0] == 0 and "WARNING" not in run(path)[1]
    code, out, _ = run(path, "--against", few)
    said = "the reference has too few rows and is not used: expected 50 or more of every class, found 20 of class a, 20 of"
    assert code == 4 and f"WARNING: {said}" in out and "audited (but" not in out
    code, out, _ = run(few, "--against", path, "--json")
    found = json.loads(out)
    assert code == 4 and found["audited"] == {"a": 20, "b": 20}
    assert found["warnings"] == ["too few rows to judge: expected 50 or more of every class, found 20 of class a, 20 of "
                                 "class b; a figure without a limit raises no flag"]  # fmt: skip
    assert run(few, "--test", path, "--page", tmp_path / "few.html")[0] == 4
    assert "Too few rows to judge." in (tmp_path / "few.html").read_text(encoding="utf-8")


def test_how_many_rows_were_audited_is_said(tmp_path, run):
    path, real = write(made(120), tmp_path / "a.csv"), write(made(100, seed=3), tmp_path / "real.csv")
    assert "audited (but for leaks): a 50 of 60, b 50 of 60\n" in run(path, "--against", real)[1]
    assert "words that tell a class most: “" in run(path, "--all")[1]


def test_a_folder_is_no_page(tmp_path, run, monkeypatch):
    monkeypatch.setattr(report, "audit", pytest.fail)
    refused(*run(write(made(), tmp_path / "a.csv"), "--page", tmp_path), "--page: expected the name of a file to write")


def test_test_pairs_need_no_labels(tmp_path, run):
    path, other = write(made(), tmp_path / "a.csv"), write(made().head(4).drop(columns="label"), tmp_path / "test.csv")
    code, out, _ = run(path, "--test", other, "--few-shot", other, "--json")
    found = {row["measure"]: row["value"] for row in json.loads(out)["measures"]}
    assert code == 1 and found["in the test set"] == found["in the few-shot set"] == 0.1


def test_a_fault_of_the_command_is_not_a_red_flag(tmp_path, run, monkeypatch):
    monkeypatch.setattr(report, "audit", lambda *args, **options: 1 / 0)
    code, out, err = run(write(made(), tmp_path / "a.csv"))
    assert code == 3 and out == "" and "ZeroDivisionError" in err


def test_a_large_file_shows_no_progress_where_nobody_looks(tmp_path, run, monkeypatch):
    path = write(pd.concat([made(2000)] * 10), tmp_path / "a.tsv")
    code, out, err = run(path)
    assert (code, err) == (0, "") and "20,000 pairs (a 10,000, b 10,000)" in out and "\r" not in out
    told = []
    monkeypatch.setattr(report, "audit", lambda rows, real, **options: told.append(options["progress"]) or AUDIT)
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda answer=terminal: answer)
        run(path)
    assert told == [False, True]


AUDIT = report.Audit(pd.DataFrame(columns=report.COLUMNS), made().assign(flags=""), pd.DataFrame(columns=["label", "ngram"]),
                     {"a": 20, "b": 20}, [])  # fmt: skip


# ---------------------------------------------------------------- wrong input


def refused(code: int, out: str, err: str, *said: str) -> None:
    assert code == 2 and out == ""
    assert err.startswith("dawgen audit: ") and err.count("\n") == 1 and all(text in err for text in said), err


def test_a_missing_file_is_named(tmp_path, run):
    path, there = tmp_path / "none.csv", write(made(), tmp_path / "a.csv")
    for arguments in ([path], [there, "--against", path], [there, "--test", path], [there, "--few-shot", path]):
        refused(*run(*arguments), f"expected a file of rows at {path}, found none")
    refused(*run(tmp_path / "none.parquet"), f"expected a file of rows at {tmp_path / 'none.parquet'}, found none")
    refused(*run(tmp_path), "expected .jsonl, .csv, .tsv or .parquet (.gz allowed), found")


def test_a_missing_column_is_named(tmp_path, run):
    path = write(made().rename(columns={"label": "gold"}), tmp_path / "a.csv")
    refused(*run(path), f"{path}: expected the columns sentence1, sentence2, label, found no label among "
            "sentence1, sentence2, gold; use --first, --second and --label")  # fmt: skip
    refused(*run(path, "--label", "gold", "--first", "s1"), "expected the columns s1, sentence2, gold, found no s1")
    other = write(made(), tmp_path / "test.csv")
    refused(*run(path, "--label", "gold", "--against", other), f"{other}: expected the columns sentence1, sentence2, gold")
    other = write(made().drop(columns="sentence2"), tmp_path / "test.csv")
    said = f"{other}: expected the columns sentence1, sentence2, found no sent"
    refused(*run(path, "--label", "gold", "--test", other), said)
    refused(*run(write(made().head(0), tmp_path / "no.jsonl")), "no.jsonl: expected rows with", "found none")
    refused(*run(write(made().head(0), tmp_path / "no.csv")), "no.csv: expected")


@pytest.mark.parametrize(("name", "content", "said"), [
    ("a.jsonl", b'{"sentence1": "a", "sentence2": "b", "label": "x"}\n{"sentence1": "a", "sent\n',
     """line 2: expected one JSON object, found '{"sentence1": "a", "sent'"""),
    ("a.jsonl", b'["a", "b", "x"]\n', "line 1: expected one JSON object, found list"),
    ("a.csv", b"sentence1,sentence2,label\na,b\n", "row 1 below the header: expected 3 fields as there, found 2"),
    ("a.csv", b'sentence1,sentence2,label\n"a,b,x\n', "expected one row a line, closed quotes and fields of at most"),
    ("a.csv", b'sentence1,sentence2,label\n"' + b"a" * 131_073 + b'",b,x\n', "131,072 characters, found field larger"),
    ("a.csv", b"sentence1,sentence2,label\na,b,x\na\0b,b,x\n", "line 3: expected text, found a NUL byte"),
    ("a.csv", b"sentence1,sentence2,label\n", "expected rows with sentence1, sentence2"),
    ("a.csv", b"", "expected a header and rows, found an empty file"),
    ("a.csv", "sentence1,sentence2,label\né,b,x\n".encode("latin-1"), "expected UTF-8 text"),
    ("a.csv.gz", b"sentence1,sentence2,label\na,b,x\n", "expected a whole gzip file"),
    ("a.jsonl.gz", gzip.compress(b"{}" * 99)[:20], "expected a whole gzip file"),
    ("a.parquet", b"PAR1, but no more", "expected a whole parquet file"),
    ("a.txt", b"a", "expected .jsonl, .csv, .tsv or .parquet (.gz allowed), found .txt"),
    ("a.csv", b"sentence1,sentence2,label\na,b,x\n ,b,x\n", "in column sentence1, found none in 1 of 2 rows (row 2;"),
    ("a.jsonl", b'{"sentence1": "a", "sentence2": "b", "label": "x"}\n{"sentence1": "a", "label": "x"}\n',
     "expected text in column sentence2, found none in 1 of 2 rows (row 2;"),
    ("a.jsonl", b'{"sentence1": "a", "sentence2": "b", "label": "x"}\n{"sentence1": "a", "sentence2": "b", "label": null}',
     "expected text in column label, found none in 1 of 2 rows (row 2;"),
    ("a.csv", b"sentence1,sentence2,label\na b,b c,x\na b,b d,\n", "in column label, found none in 1 of 2 rows (row 2;"),
], ids=lambda value: value if isinstance(value, str) and len(value) < 12 else "")  # fmt: skip
def test_a_damaged_file_is_named(name, content, said, tmp_path, run):
    (tmp_path / name).write_bytes(content)
    refused(*run(tmp_path / name), said)
    if "label, found none" not in said:  # a test set needs no labels
        refused(*run(write(made(), tmp_path / "whole.csv"), "--test", tmp_path / name), str(tmp_path / name), said)


def test_labels_that_differ_from_the_reference_are_named(tmp_path, run):
    real = write(made().assign(label=["a", "c"] * 20), tmp_path / "real.csv")
    refused(*run(write(made(), tmp_path / "a.csv"), "--against", real),
            "expected rows and reference to have the same labels, found ['a', 'b'] and ['a', 'c']")  # fmt: skip


def test_a_set_that_is_its_test_set_is_no_set(tmp_path, run):
    path = write(made(), tmp_path / "a.csv")
    refused(*run(path, "--test", path), "expected rows that do not stand in the test set, found none")


def test_a_page_that_cannot_be_written_is_wrong_input(tmp_path, run):
    (tmp_path / "file").write_text("here")
    code, _, err = run(write(made(), tmp_path / "a.csv"), "--page", tmp_path / "file" / "audit.html")
    assert code == 2 and err.startswith("dawgen audit: ") and err.count("\n") == 1


def test_an_interruption_is_130(tmp_path, run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "audit", interrupted)
    assert run(write(made(), tmp_path / "a.csv")) == (130, "", "interrupted; nothing was written\n")


def test_two_rows_without_a_common_word_are_audited(tmp_path, capsys):
    """What a reader tries first."""
    rows = pd.DataFrame([("a b", "c d", "x"), ("e f", "g h", "y")], columns=COLUMNS)
    code, out = cli.main(["audit", write(rows, tmp_path / "a.csv")]), capsys.readouterr()
    assert (code, out.err) == (4, "") and "2 pairs (x 1, y 1)" in out.out


def test_the_module_runs_as_a_command(tmp_path):
    """All of it, in a process of its own: nothing on stderr."""
    rows, real = write(made(80), tmp_path / "a.jsonl.gz"), write(made(80, seed=1), tmp_path / "real.csv")
    command = [sys.executable, "-m", "dawgen_core.app.cli", "audit", rows, "--against", real, "--test", real, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stderr == ""
    found = json.loads(done.stdout, parse_constant=pytest.fail)
    assert found["red"] == sum(row["flag"] == "red" for row in found["measures"])
    assert done.returncode == (1 if found["red"] else 4)  # 40 of a class are too few
    assert {row["measure"] for row in found["measures"]} >= {"told from real by overlap", "label told by lengths only"}
