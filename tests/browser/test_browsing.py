"""What a reader can do with the audit page, by mouse and by keyboard, in a wide window and in a narrow one."""

import itertools

import pytest

from dawgen_core.audit import page

pytestmark = pytest.mark.browser

HOSTILE = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> &amp; \u2028 {{data}} \N{PILE OF POO}"
RTL = "\u202e\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd"  # with an override that is never taken back


def shown(opened) -> list[tuple[str, str]]:
    """Both sentences of every pair on the page."""
    sentences = opened.locator("#pairs p").all_text_contents()
    return list(zip(sentences[::2], sentences[1::2], strict=True))


def count(opened) -> str:
    return opened.locator("#count").text_content()


def choose(opened, name: str, choice: str) -> None:
    opened.get_by_label(name, exact=True).select_option(label=choice)


def unfold(opened) -> None:
    for fold in opened.locator("details").all():
        if fold.get_attribute("open") is None:
            fold.locator("summary").click()


@pytest.fixture
def crossed(opened, measures, pairs):
    """A page with 3 pairs of every task, source, class and flags: 72 in all."""
    sides = {"task": ["mrpc", "sick"], "source": ["dawgen", "fewgen"], "label": ["no", "yes"]}
    sides["flags"] = ["", "leaked", "leaked,wrong label"]
    rows = [dict(zip(sides, values, strict=True)) for values in itertools.product(*sides.values()) for _ in range(3)]
    return opened(measures({}), pairs(*rows))


def test_filters_narrow_the_list_and_combine(crossed):
    assert count(crossed) == "72 pairs match, 20 of them shown"
    choices = [("Task", "sick", 36), ("Source", "fewgen", 18), ("Class", "yes", 9), ("Flag", "wrong label", 3)]
    for name, choice, left in choices:
        choose(crossed, name, choice)
        assert count(crossed).startswith(f"{left} pairs match")
        facts = crossed.locator("#pairs .facts").all_text_contents()
        assert len(facts) == min(left, 20) and all(choice in fact for fact in facts)
    for name, left in [("Task", 6), ("Source", 12), ("Class", 24), ("Flag", 72)]:
        choose(crossed, name, "all")
        assert count(crossed).startswith(f"{left} pairs match")


@pytest.mark.parametrize(("choice", "left", "chips"), [
    ("no flag", 24, set()), ("any flag", 48, {"leaked", "wrong label"}), ("leaked", 48, {"leaked", "wrong label"}),
    ("wrong label", 24, {"leaked", "wrong label"}),
])  # fmt: skip
def test_the_filter_of_flags(choice, left, chips, crossed):
    choose(crossed, "Flag", choice)
    assert count(crossed) == f"{left} pairs match, 20 of them shown"
    assert set(crossed.locator("#pairs .chip").all_text_contents()) == chips


def test_search_in_both_sentences_whatever_the_case(opened, measures, pairs):
    texts = [("A+B (c) [d]", "x"), ("y", "say a+b (C) [D] twice"), ("aab c d", "z"), ("\u00c9cole", "w")]
    at = opened(measures({}), pairs(*[{"sentence1": first, "sentence2": second} for first, second in texts]))
    box = at.get_by_label("Search in both sentences")
    found = {"a+b (c) [D]": [0, 1], "A": [0, 1, 2], ".": [], "e\u0301cole": [3], "": [0, 1, 2, 3]}  # e and an accent
    for asked, places in found.items():
        box.fill(asked)
        assert sorted(shown(at)) == sorted(texts[i] for i in places)
        assert count(at) == f"{len(places)} {'pair matches' if len(places) == 1 else 'pairs match'}"


def test_each_click_draws_twenty_others_of_what_matches(opened, measures, pairs):
    at = opened(measures({}), pairs(*[{"label": "yes"}] * 60, *[{"label": "no"}] * 60))
    choose(at, "Class", "yes")
    draws = [shown(at)]
    for _ in range(4):
        at.get_by_role("button", name="20 random rows").click()
        draws.append(shown(at))
    assert all(len(set(draw)) == 20 for draw in draws)
    assert all(not set(one) & set(other) for one, other in itertools.pairwise(draws))
    assert len(set().union(*draws[:3])) == 60  # the whole deck before any comes again
    assert all(int(first.strip("first .")) < 60 for draw in draws for first, _ in draw)
    assert draws[0] != sorted(draws[0])  # shuffled
    assert count(at) == "60 pairs match, 20 of them shown"


def test_the_keyboard_alone_is_enough(crossed):
    keyboard, reached, focus = crossed.keyboard, [], "document.activeElement"
    while not reached or reached[-1] != "draw":
        assert len(reached) < 30
        keyboard.press("Tab")
        reached.append(crossed.evaluate(f"{focus}.id || {focus}.tagName"))
        style, width = crossed.evaluate(f"(s => [s.outlineStyle, parseFloat(s.outlineWidth)])(getComputedStyle({focus}))")
        assert style == "solid" and width >= 2, reached[-1]
        if reached[-1] == "task":
            listed = shown(crossed)
            keyboard.press("r")  # in a control a key is the control's
            assert shown(crossed) == listed
        if reached[-1] == "label":
            keyboard.press("ArrowDown")
            assert count(crossed).startswith("36 pairs match")
        if reached[-1] == "search":
            keyboard.type("FIRST 1r")
            assert (count(crossed), crossed.input_value("#search")) == ("0 pairs match", "FIRST 1r")
            keyboard.press("Backspace")
            some = count(crossed)
            keyboard.press("Enter")
            assert some == count(crossed) != "0 pairs match" and all("1" in first for first, _ in shown(crossed))
            keyboard.press("ControlOrMeta+a")
            keyboard.press("Delete")
    assert reached[-6:] == ["task", "label", "source", "flag", "search", "draw"] and "SUMMARY" in reached
    before = shown(crossed)
    keyboard.press("r")
    drawn = shown(crossed)
    keyboard.press("Enter")
    assert len(before) == len(drawn) == len(shown(crossed)) == 20
    assert set(before) != set(drawn) != set(shown(crossed))


def test_every_control_has_a_name_and_the_count_is_said(crossed):
    for control in crossed.locator("select, input").all():
        assert control.evaluate("control => control.labels.length === 1 && control.labels[0].textContent.trim() !== ''")
    assert crossed.locator("#count").get_attribute("aria-live") == "polite"


def test_red_flags_come_first_then_amber_and_the_rest_is_folded(opened, measures, pairs):
    flags = ["", "amber", "red", "", "amber", "red"]
    rows = [{"measure": f"m{i}", "flag": flag, "task": "mrpc" if i < 3 else "sick"} for i, flag in enumerate(flags)]
    at = opened(measures(*rows, {"measure": "m6", "source": "fewgen"}), pairs())
    assert at.locator("#verdict").text_content() == "2 red flags, 2 amber: m2, m5."
    first = at.locator("#audit table").first.locator("tbody tr")
    assert first.locator("td.flag").all_text_contents() == ["red", "red", "amber", "amber"]
    assert first.locator("td.measure b").all_text_contents() == ["m2", "m5", "m1", "m4"]
    folds = at.locator("#audit details")
    assert [fold.locator("summary").text_content() for fold in folds.all()] == [
        "mrpc, dawgen: 1 without a flag", "sick, dawgen: 1 without a flag", "sick, fewgen: 1 without a flag"]  # fmt: skip
    row = folds.nth(1).get_by_text("m3", exact=True)
    assert not row.is_visible()
    folds.nth(1).locator("summary").click()
    assert row.is_visible()


def test_a_row_says_all_that_was_measured(opened, measures, pairs):
    said = {"difference": 0.2, "difference_low": 0.1, "difference_high": 0.3, "limit": 0.45, "label": "no", "flag": "red"}
    at = opened(measures(said | {"note": "Too many."}), pairs())
    table = at.locator("#audit table")
    cells = dict(zip(table.locator("th").all_text_contents(), table.locator("td").all_text_contents(), strict=True))
    assert cells == {
        "flag": "red", "task": "sick", "source": "dawgen", "class": "no", "value": "50.0% (40.0 to 60.0)",
        "measure": "exact copies of sentence 1 Too many. 1,000 rows", "real rows": "30.0%", "limit": "45.0%",
        "difference": "+20.0 pp (+10.0 to +30.0)",
    }  # fmt: skip


def test_a_panel_by_pencil(opened, measures, pairs):
    ends = {"low": 0.5, "high": 1.0, "reference": 0.75, "value": 0.75}
    at = opened(measures(ends, ends | {"source": "mle", "value": 0.5, "low": float("nan")}, {"label": "no"}), pairs())
    panel = at.locator("#panels svg")
    said = "exact copies of sentence 1, sick. dawgen: 75.0% (50.0 to 100.0), real rows 75.0%; mle: 50.0%, real rows 75.0%"
    assert panel.get_attribute("aria-label") == said
    dawgen, mle = panel.locator("g").all()  # the row of one class is not among all classes
    # the scale has 0.5 at 108 and 1 at 286, so 0.75 at their middle, 197; rows stand 20 apart
    marks = [row.locator("path").get_attribute("transform") for row in (dawgen, mle)]
    assert marks == ["translate(197 12)", "translate(108 32)"]
    assert [dawgen.locator("line:not(.real)").get_attribute(end) for end in ("x1", "x2")] == ["108", "286"]
    assert [row.locator("line.real").get_attribute("x1") for row in (dawgen, mle)] == ["197", "197"]
    assert mle.locator("line:not(.real)").count() == 0  # no interval without both ends
    assert [text.text_content() for text in panel.locator(".tick").all()] == ["60%", "80%", "100%"]


def test_tokens_are_shaded_by_their_share(opened, measures, pairs):
    weights = [["\u2581a", 0.1], ["\u2581dog", 0.4], ["s", 0.2], ["<unk>", 0.1], ["run", 0.0]]
    at = opened(measures({}), pairs({"sentence2": "a  dogs \u00e9 run!", "weights": weights}))
    tokens = at.locator("#pairs .token")
    assert tokens.all_text_contents() == ["a", "dog", "s", "<unk>", "run"]
    assert shown(at)[0][1] == "a  dogs<unk> \u00e9 run!"  # an unknown token stands alone, all else as it was written
    assert [token.get_attribute("title") for token in tokens.all()] == ["10.0%", "40.0%", "20.0%", "10.0%", "0.0%"]
    colours = [token.evaluate("token => getComputedStyle(token).backgroundColor") for token in tokens.all()]
    levels = [float(colour.strip("rgba()").split(", ")[3]) if "a" in colour else 1 for colour in colours]
    assert levels == [0.25, 1, 0.5, 0.25, 0]
    assert at.locator("#shading").is_visible()


def test_hostile_texts_are_shown_as_texts(opened, measures, pairs):
    named = dict.fromkeys(["task", "source", "label"], HOSTILE)
    one = named | {"sentence1": HOSTILE + "\0", "sentence2": HOSTILE, "seed": HOSTILE, "flags": HOSTILE}
    two = {"sentence1": RTL, "sentence2": RTL, "weights": [[HOSTILE, 1.0]], "task": RTL, "source": RTL, "seed": RTL}
    lines = [named | dict.fromkeys(["measure", "group", "note"], HOSTILE) | {"flag": flag} for flag in ("red", "")]
    at = opened(measures(*lines), pairs(one, two), HOSTILE, HOSTILE, {HOSTILE: HOSTILE})
    unfold(at)
    assert at.title().startswith("</script><script>alert(1)") and at.locator("h1").text_content() == HOSTILE
    assert (HOSTILE + "\N{SYMBOL FOR NULL}", HOSTILE) in shown(at) and (RTL, HOSTILE + RTL) in shown(at)
    table = ["td.task", "td.source", "td.class", "td.measure b", ".note", ".heading th"]
    for place in [".about", *table, "#cards pre", "#cards summary", "#pairs .chip"]:
        assert at.locator(place).first.text_content() == HOSTILE, place
    for name in ("Task", "Class", "Source", "Flag"):
        choose(at, name, HOSTILE)
        assert count(at) == "1 pair matches"
    at.get_by_label("Search in both sentences").fill("<IMG SRC=x")
    assert count(at) == "1 pair matches"
    assert at.locator("img, iframe, object").count() == 0 and at.locator("script").count() == 2


def test_a_text_from_right_to_left_leaves_its_surroundings_alone(opened, measures, pairs):
    short = {"task": RTL[:5], "source": RTL[:5], "seed": RTL[:5]}  # on one line
    at = opened(measures({}), pairs({"sentence1": RTL}, short))
    style = "p => (s => [s.direction, s.unicodeBidi])(getComputedStyle(p))"
    assert sorted(p.evaluate(style) for p in at.locator("#pairs p").all()) == [["ltr", "isolate"]] * 3 + [["rtl", "isolate"]]
    for row in at.locator("#pairs .facts .quiet").all():
        boxes = [bdi.bounding_box() for bdi in row.locator("bdi").all()]
        assert len({box["y"] for box in boxes}) == 1
        assert boxes == sorted(boxes, key=lambda box: box["x"])  # one override let loose would turn the rest round


@pytest.mark.parametrize("wide", [360, 1200])
def test_nothing_makes_the_page_scroll_sideways(wide, opened, measures, pairs):
    long = "x" * 5000
    named = dict.fromkeys(["task", "source", "label"], long)
    rows = [{"flag": "red", "note": long}, {"measure": long, "group": long}, named | {"flag": "red"}]
    examples = pairs(named | {"sentence1": long, "sentence2": long, "flags": long}, {"weights": [[long, 1]]})
    at = opened(measures(*rows), examples, long, long, {long: long}, width=wide)
    unfold(at)
    assert at.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= wide for box in
               (part.bounding_box() for part in at.locator("form > div, #pairs li, svg, h1, summary").all()))  # fmt: skip


def test_in_a_narrow_window_a_table_becomes_cards(opened, measures, pairs):
    at = opened(measures({"flag": "red", "limit": 0.4}), pairs(), width=360)
    table = at.locator("#audit table")
    assert not table.locator("thead").is_visible()
    cells = {head: table.locator(f"td[data-head='{head}']") for head in ("flag", "measure", "task", "real rows", "limit")}
    tops = [cell.bounding_box()["y"] for cell in cells.values()]
    assert tops == sorted(set(tops))  # each on its own line
    assert cells["real rows"].evaluate("td => getComputedStyle(td, '::before').content") == '"real rows"'


def test_without_pairs_or_measures_or_cards(opened, measures, pairs):
    at = opened(measures(), pairs())
    assert at.locator("#verdict").text_content() == "No red flag." and at.locator("#audit table, svg").count() == 0
    assert count(at) == "0 pairs match" and not at.locator("form").is_visible()
    assert not at.locator("#cards").is_visible() and not at.get_by_role("link", name="Data cards").is_visible()


def test_twenty_thousand_pairs(opened, measures, pairs):
    at = opened(measures({}), pairs(*[{"flags": "leaked" if i % 100 == 0 else ""} for i in range(20_000)]))
    assert "5,000 of 20,000 pairs" in at.locator("#browser").text_content() and page.MOST_EXAMPLES == 5000
    assert count(at) == "5,000 pairs match, 20 of them shown" and at.locator("#pairs li").count() == 20
    choose(at, "Flag", "leaked")
    assert count(at) == "200 pairs match, 20 of them shown"
