"""Texts that are something else elsewhere (a formula, markup, a template, another direction): read and written as texts."""

import json
import pickle
import re

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dawgen_core.app import entry, fit
from dawgen_core.audit import figures, page
from dawgen_core.data import card, encoding, files, labels, own

# ---------------------------------------------------------------- reading

HEAD, LINE = "sentence1,sentence2,label\n", {"sentence1": "a", "sentence2": "b", "label": "x"}
RLO, ZWSP = "\N{RIGHT-TO-LEFT OVERRIDE}", "\N{ZERO WIDTH SPACE}"

TEXTS = [
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "+1",
    "{0.__class__}",
    "{first.__init__}",
    "{first!r}",
    "{{7*7}}",
    "{% x %}",
    "${x}",
    "<script>alert(1)</script>",
    r"\input{/etc/passwd}",
    "$\\frac{",
    "| a | b |",
    "שלום",
    "مرحبا",
    "می\u200cخواهم",
    "👩\u200d🔬",
    "NULL",
    "nan",
    "-",
    "0x10",
    "1e999",
    "\\ud800",
    "'; DROP TABLE x; --",
]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_texts_are_texts(suffix, tmp_path):
    frame = pd.DataFrame({"sentence1": TEXTS, "sentence2": TEXTS[::-1], "label": ["x"] * len(TEXTS)})
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(path)
    elif suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))
    else:
        lines = (
            frame.to_csv(index=False, sep="\t", quoting=3, escapechar=None) if suffix == "tsv" else frame.to_csv(index=False)
        )
        path.write_text(lines, encoding="utf-8-sig" if suffix == "csv" else "utf-8")  # a byte order mark is none of the text
    assert [row["sentence1"] for row in files.stream(path)] == TEXTS
    assert files.columns(path, ["sentence1", "label"], "")["sentence1"].tolist() == TEXTS


@pytest.mark.parametrize(
    "raw", ["שלום", "می\u200cخواهم", "👩\u200d🔬", "ja / nein", "<b>", "{0}", "=1", "nan", "0", "-1", "1.0", "日本"]
)
def test_labels_that_people_write_are_labels(raw, tmp_path):
    labels.check(tmp_path / "a.csv", [raw, "other"])
    assert not labels.hidden(raw)


def test_invisible_characters_in_texts_are_kept_and_said(tmp_path):
    """In a text they may belong there; nobody would look for them, so that it is said."""
    lines = HEAD + "".join(f"first {i},second {i},{'xy'[i % 2]}\n" for i in range(16))
    lines = lines.replace("first 3,", f"first {RLO}3,").replace("second 5,", f"second{ZWSP}5,")
    (tmp_path / "a.csv").write_text(lines, encoding="utf-8")
    found = own.read(tmp_path / "a.csv", ("sentence1", "sentence2"), "label")
    assert found.remarks == [
        "2 texts hold characters that nobody sees (marks of direction, spaces of no width); they are kept"
    ]
    assert f"first {RLO}3" in set(found.rows["sentence1"])


def test_a_pickle_within_parquet_is_not_read(tmp_path, payload):
    """CVE-2023-47248: pyarrow once unpickled the metadata of an extension type."""
    about = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickle.dumps(payload)}
    schema = pa.schema([pa.field(name, pa.string(), metadata=about) for name in LINE])
    pq.write_table(pa.table({name: ["a"] for name in LINE}, schema), tmp_path / "a.parquet")
    assert files.records(tmp_path / "a.parquet") == [dict.fromkeys(LINE, "a")]


# ---------------------------------------------------------------- pages, tables, cards, notebooks

MARKUP = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "{{data}}",
    "${alert(1)}",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("hostile", MARKUP)
def test_markup_in_pairs_and_labels_stays_text_on_the_page(hostile, tmp_path, dawgen):
    """As `dawgen audit --page` writes it; tests/browser looks at it in a real Chromium."""
    pairs = pd.DataFrame({"sentence1": [hostile, "a b"], "sentence2": ["c d", hostile], "label": [hostile, "y"]})
    pairs.to_csv(tmp_path / "a.csv", index=False)
    from dawgen_core.app import cli

    assert cli.main(["audit", str(tmp_path / "a.csv"), "--page", str(tmp_path / "a.html")]) == 4
    text, template = (path.read_text(encoding="utf-8") for path in (tmp_path / "a.html", page.TEMPLATE))
    assert all(text.count(mark) == template.count(mark) for mark in ("<script", "</script>", "<img"))
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert {pair[2] for pair in data["pairs"]} == {hostile, "y"} and hostile in {pair[4] for pair in data["pairs"]}


def test_tables_of_a_notebook_show_texts(monkeypatch):
    """Every notebook calls check_parameters first."""
    before = pd.get_option("styler.format.escape")
    try:
        entry.check_parameters([""])
        shown = pd.DataFrame({"sentence1": ["<script>alert(1)</script>"]}).style.hide().to_html()
        assert "<script>" not in shown and "&lt;script&gt;" in shown
    finally:
        pd.set_option("styler.format.escape", before)


def test_tables_on_disk_escape_for_latex(tmp_path):
    frame = pd.DataFrame({"a_b": [r"\\input{x} $\frac{$ 100% & ~ ^ #"]})
    figures.save_table(frame, tmp_path / "t", r"A \\input{x} caption: 100% & $\frac{$ ~ ^ #")
    text = (tmp_path / "t.tex").read_text(encoding="utf-8")
    assert r"\input" not in text.replace(r"\textbackslash", "") and not re.search(
        r"(?<!\\)[%&$#](?!\\)", text.split("tabular")[0]
    )


def test_a_data_card_holds_no_markup(tmp_path, smoke, mrpc):
    task = mrpc.model_copy(update={"reject_containing": ["<script>alert(1)</script>"]})
    card.write(tmp_path, task, smoke, "dawgen", 13, {label: {"accepted": 1} for label in task.labels})
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "<" not in text and "&lt;script>" in text


def test_the_name_of_a_file_is_no_markup_in_what_fit_says(tmp_path):
    pairs = pd.DataFrame(
        {
            "sentence1": [f"w{i} x{i}" for i in range(32)],
            "sentence2": [f"y{i} z{i}" for i in range(32)],
            "label": ["same", "other"] * 16,
        }
    )
    path = tmp_path / "<img src=x>|`$x$`{first}\u202e.csv"
    pairs.to_csv(path, index=False)
    plan = fit.proposed(path, profile="smoke", out=tmp_path / "run", template="{first} \n\n# {second} [MASK]")
    said = [*plan.lines, plan.values["about"], plan.task["sources"]["local"]["shown_as"], plan.task["title"]]
    assert not set("<>|`$\n\u202e") & set("".join(said)) and plan.lines[0].startswith("pairs        32 of _img src_x__")


def test_texts_are_put_into_a_template_as_they_are(mrpc, classifier):
    """Not by str.format: a text's own braces and sentinels are its own."""
    texts = pd.DataFrame(
        [("{second}", "{first.__class__}"), ("{0!r}", "[MASK] <extra_id_0>")], columns=["sentence1", "sentence2"]
    )
    encoded = encoding.encode_pairs(mrpc, classifier, texts.assign(label=mrpc.labels[0]), max_tokens=96)
    sentinel = classifier.tokenizer.convert_tokens_to_ids("<extra_id_0>")
    assert [row.count(sentinel) for row in encoded.ids] == [1, 1] and encoded.n_shortened == 0
