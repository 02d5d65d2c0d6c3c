"""What the audit page holds, read from its bytes; tests/browser drives it."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from dawgen_core.audit import page

HOSTILE = "</script><!--<script>alert(1)</script> & \u2028\u2029 \0 \N{PILE OF POO} \u05e9\u05dc\u05d5\u05dd"


def measures(*rows: dict) -> pd.DataFrame:
    """Rows that differ from a plain one as said."""
    plain = dict.fromkeys(page.NUMBERS, np.nan) | {
        "task": "sick", "source": "dawgen", "label": "", "group": "copies", "measure": "exact copies", "unit": "share",
        "flag": "", "note": "", "value": 0.5, "n": 1000, "limit": 0.6}  # fmt: skip
    return pd.DataFrame([plain | row for row in rows], columns=list(dict.fromkeys([*plain, *(k for r in rows for k in r)])))


def pairs(*groups: tuple[int, str, str]) -> pd.DataFrame:
    """(how many, label, flags) of each group; every sentence says its place."""
    rows = [(label, flags) for n, label, flags in groups for _ in range(n)]
    return pd.DataFrame({
        "task": "sick", "source": "dawgen", "seed": "", "label": [label for label, _ in rows],
        "sentence1": [f"first {i}" for i in range(len(rows))], "sentence2": [f"second {i}" for i in range(len(rows))],
        "flags": [flags for _, flags in rows]})  # fmt: skip


@pytest.fixture
def written(tmp_path):
    """(text of the page, what its script reads), NaN refused."""

    def write(measures=measures(), examples=pairs(), title="T", about="A", cards={}):  # noqa: B006, B008
        page.write(tmp_path / "page.html", title, about, measures, examples, cards)
        text = (tmp_path / "page.html").read_bytes().decode("utf-8")
        block = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1]
        return text, json.loads(block, parse_constant=pytest.fail)

    return write


# ---------------------------------------------------------------- the file


def test_same_input_same_bytes_and_nothing_is_modified(tmp_path):
    numbers = measures({"seed": 1}, {"seed": 2, "flag": "red"})
    rows = pairs((30, "a", ""), (5, "b", "leaked")).assign(weights=None)
    rows.at[3, "weights"] = [["second", 0.75], ["3", 0.25]]
    before = numbers.copy(deep=True), rows.copy(deep=True)
    for name in ("one", "two"):
        page.write(tmp_path / name / "page.html", "T", "A", numbers, rows, {"card": "text"})
    assert (tmp_path / "one" / "page.html").read_bytes() == (tmp_path / "two" / "page.html").read_bytes()
    pd.testing.assert_frame_equal(numbers, before[0])
    pd.testing.assert_frame_equal(rows, before[1])
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["page.html"]


def test_texts_cannot_become_markup(written):
    rows = pairs((1, HOSTILE, "")).assign(sentence1=HOSTILE, sentence2=HOSTILE, task=HOSTILE, source=HOSTILE, flags=HOSTILE)
    rows["weights"] = [[[HOSTILE, 1.0]]]
    lines = measures(dict.fromkeys(["task", "source", "label", "group", "measure", "note"], HOSTILE) | {"flag": "red"})
    text, data = written(lines, rows, HOSTILE, HOSTILE, {HOSTILE: HOSTILE})
    assert data["pairs"] == [[HOSTILE, HOSTILE, HOSTILE, "", HOSTILE, HOSTILE, [HOSTILE], [[HOSTILE, 1.0]]]]
    assert data["cards"] == [[HOSTILE, HOSTILE]] and data["lines"][0]["note"] == HOSTILE
    assert text.count("<script") == text.count("</script>") == 2 and "<!--" not in text and "\0" not in text
    block = text.split('id="data">')[1].split("</script>")[0]
    assert block.isascii() and not set(block) & set("<>&")


def test_a_placeholder_in_a_text_stays_a_text(written):
    text, data = written(title="{{data}} {{title}} {{other}}", cards={"{{about}}": "{{verdict}}"})
    assert text.count('<h1 dir="auto">{{data}} {{title}} {{other}}</h1>') == 1
    assert data["cards"] == [["{{about}}", "{{verdict}}"]]


def test_asks_nothing_of_a_network(written):
    text, _ = written()
    policy = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:")
    assert set(re.findall(r"""\b(?:src|href|url|import)\b\s*[=(]\s*['"]?(\S)""", text)) == {"#"}


def test_missing_texts_and_numbers_are_empty(written):
    rows = pairs((2, "a", "")).assign(label=[None, np.nan], seed=[13.0, np.nan], flags=None)
    rows["weights"] = [np.nan, [["x", np.nan]]]
    _, data = written(measures({"value": np.nan, "note": None, "n": np.nan}), rows)
    assert [pair[2:4] + pair[6:] for pair in data["pairs"]] == [["", "13", [], None], ["", "", [], [["x", 0]]]]
    line = data["lines"][0]
    assert (line["value"], line["real"], line["note"], line["counted"]) == (["", ""], "", "", "")
    assert line["numbers"] == [None] * 4


@pytest.mark.parametrize("column", [*page.KEY, *page.NUMBERS, "flag", "note"])
def test_a_measure_without_a_column_is_refused_by_name(column, tmp_path):
    with pytest.raises(ValueError, match=rf"^measures: expected columns .*; missing: {column}$"):
        page.write(tmp_path / "page.html", "T", "A", measures({}).drop(columns=column), pairs())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("column", ["task", "source", "seed", "label", "sentence1", "sentence2", "flags"])
def test_examples_without_a_column_are_refused_by_name(column, tmp_path):
    with pytest.raises(ValueError, match=rf"^examples: expected columns .*; missing: {column}$"):
        page.write(tmp_path / "page.html", "T", "A", measures(), pairs().drop(columns=column))


@pytest.mark.parametrize(("column", "value"), [("unit", "percent"), ("flag", "orange")])
def test_an_unknown_unit_or_flag_is_refused_by_name(column, value, tmp_path):
    with pytest.raises(ValueError, match=rf"^measures: column {column}: expected .*, found \['{value}'\]$"):
        page.write(tmp_path / "page.html", "T", "A", measures({}, {column: value}), pairs())


# ---------------------------------------------------------------- numbers in words


@pytest.mark.parametrize(("unit", "value", "said"), [
    ("share", 0.12345, "12.3%"), ("share", 0, "0.0%"), ("share", -0.0002, "0.0%"), ("count", 1234.4, "1,234"),
    ("number", 0.00123456, "0.00123"), ("number", 0.1, "0.100"), ("number", 41.25, "41.2"), ("number", 123.456, "123"),
    ("number", 999.9, "1,000"), ("number", -12345, "-12,300"), ("number", np.inf, "inf"),
])  # fmt: skip
def test_a_value_in_its_unit(unit, value, said, written):
    _, data = written(measures({"unit": unit, "value": value, "reference": value, "limit": value}))
    line = data["lines"][0]
    assert line["value"] == [said, ""] and line["real"] == line["limit"] == said


def test_intervals_and_differences(written):
    numbers = {"low": 0.4, "high": 0.6, "reference": 0.52, "difference": -0.02}
    numbers |= {"difference_low": -0.1204, "difference_high": 0.08}
    _, data = written(measures(numbers, numbers | {"unit": "number"}))
    share, number = data["lines"]
    assert share["value"] == ["50.0%", "40.0 to 60.0"] and share["difference"] == ["-2.0 pp", "-12.0 to +8.0"]
    assert number["value"] == ["0.500", "0.400 to 0.600"] and number["difference"] == ["-0.0200", "-0.120 to +0.0800"]
    assert share["numbers"] == [0.5, 0.4, 0.6, 0.52] and share["counted"] == "1,000 rows"


def test_seeds_become_one_line_by_pencil(written):
    # values 1/4, 1/2, 3/4 and real rows 1/8, 1/4, 3/8: means 1/2 and 1/4, differences 1/8 to 3/8
    flags = [(1, 13, "", ""), (2, 21, "red", "half"), (3, 42, "amber", "most")]
    seeds = [{"value": k / 4, "low": 0, "high": 1, "reference": k / 8, "difference": k / 8}
             | {"seed": seed, "flag": flag, "note": note} for k, seed, flag, note in flags]  # fmt: skip
    _, data = written(measures(*seeds, {"seed": 13, "label": "neutral", "low": 0.25, "high": 0.75}))
    line, single = data["lines"]
    assert line["value"] == ["50.0%", "25.0 to 75.0"] and line["real"] == "25.0%"
    assert line["difference"] == ["+25.0 pp", "+12.5 to +37.5"]
    assert (line["flag"], line["note"]) == ("red", "Seed 21: half")
    assert line["counted"] == "3,000 rows, 3 seeds, 1 of them red"
    assert single["value"] == ["50.0%", "25.0 to 75.0"] and single["counted"] == "1,000 rows"  # its own interval
    _, data = written(measures(*[seed | {"note": "the same"} for seed in seeds]))
    assert data["lines"][0]["note"] == "the same"
    _, data = written(measures(*seeds).drop(columns="seed"))
    assert [line["flag"] for line in data["lines"]] == ["", "red", "amber"]  # nothing says that they are one


@pytest.mark.parametrize(("flags", "said"), [
    ("", "No red flag."), ("a", "No red flag, 1 amber: m0."), ("r", "1 red flag: m0."),
    ("rr a", "2 red flags, 1 amber: m0, m1."), ("rrrrrr", "6 red flags: m0, m1, m2, m3 and 2 more."),
])  # fmt: skip
def test_the_verdict(flags, said, written):
    names = {"r": "red", "a": "amber", " ": ""}
    text, _ = written(measures(*[{"flag": names[flag], "measure": f"m{i}"} for i, flag in enumerate(flags)]))
    worst = names[next((flag for flag in "ra" if flag in flags), " ")]
    assert f'<p class="verdict {worst}" id="verdict">{said}</p>' in text


def test_figures_without_limits_are_no_pass(written):
    text, _ = written(measures({"limit": np.nan}, {"limit": 0.005, "group": "leaks"}))
    assert ">Too few rows to judge.</p>" in text
    text, _ = written(measures({"limit": np.nan, "flag": "red", "group": "leaks"}))
    assert ">1 red flag: exact copies.</p>" in text


# ---------------------------------------------------------------- which pairs are shown


def drawn(most: int, rows: pd.DataFrame, monkeypatch) -> pd.DataFrame:
    monkeypatch.setattr(page, "MOST_EXAMPLES", most)
    got = page.drawn(rows)
    assert got.index.is_monotonic_increasing and got.index.is_unique
    pd.testing.assert_frame_equal(got, page.drawn(rows.copy()))
    return got


def counts(rows: pd.DataFrame) -> dict:
    return rows.groupby(["label", "flags"]).size().to_dict()


def test_as_many_as_there_is_room_for_are_all_shown(monkeypatch):
    rows = pairs((4, "a", ""), (3, "b", "leaked"))
    pd.testing.assert_frame_equal(drawn(7, rows, monkeypatch), rows)


@pytest.mark.parametrize(("groups", "most", "expected"), [
    ([(100, "a", ""), (100, "b", "")], 10, {("a", ""): 5, ("b", ""): 5}),
    ([(100, "a", ""), (2, "b", "")], 10, {("a", ""): 8, ("b", ""): 2}),  # what a group lacks goes to the others
    ([(100, "a", ""), (100, "a", "x")], 10, {("a", ""): 5, ("a", "x"): 5}),  # flagged up to half
    ([(100, "a", ""), (2, "a", "x")], 10, {("a", ""): 8, ("a", "x"): 2}),
    ([(1, "a", ""), (100, "a", "x")], 10, {("a", ""): 1, ("a", "x"): 9}),  # more than half where too few are clean
    ([(900, "a", "x"), (1, "a", "y"), (50, "b", "x"), (900, "b", "")], 12,
     {("a", "x"): 2, ("a", "y"): 1, ("b", "x"): 3, ("b", ""): 6}),  # a rare flag has its turn
])  # fmt: skip
def test_the_draw_by_pencil(groups, most, expected, monkeypatch):
    assert counts(drawn(most, pairs(*groups), monkeypatch)) == expected


def test_the_draw_is_spread_over_a_group(monkeypatch):
    assert drawn(10, pairs((1000, "a", "")), monkeypatch).index[-1] > 500  # not its first rows


@pytest.mark.parametrize(("n", "said"), [(1200, "1,000 of 1,200 pairs, drawn"), (1000, ">1,000 pairs."), (0, ">0 pairs.")])
def test_the_page_says_how_many_it_shows(n, said, written, monkeypatch):
    assert page.MOST_EXAMPLES == 5000
    monkeypatch.setattr(page, "MOST_EXAMPLES", 1000)
    text, data = written(examples=pairs((n, "a", "")))
    assert said in text and len(data["pairs"]) == min(n, 1000)
