"""Shortcuts, two-sample tests, labels and limits: worked by hand, held against libraries, and on toy problems."""

import itertools
import math
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from dawgen_core.audit import calibration, labelling, limits, report, shortcuts, two_sample

QUICK = settings(max_examples=40, deadline=None, derandomize=True, database=None)
COLUMNS = ["sentence1", "sentence2", "label"]
NOUNS = [f"{a}{b}{c}" for a, b, c in itertools.product("bdfgk", "aeiou", "lmrs")]  # a hundred words of three letters
SIGNALS = ["sentence 2 only", "sentence 1 only", "lengths only", "overlap only", "negation words only"]


def words(random: np.random.Generator, n: int, others: set[str] = frozenset()) -> list[str]:
    return random.choice(sorted(set(NOUNS) - set(others)), n, replace=False).tolist()


def toy(signal: str, n: int = 300, seed: int = 0) -> pd.DataFrame:
    """n pairs of six random words whose label shows in one view; "" : in none."""
    random, rows = np.random.default_rng(seed), []
    for i in range(n):
        yes = i % 2 == 0
        first = words(random, 6)
        second = words(random, 6, set(first))
        if signal == "sentence 2 only":
            second[2] = "yea" if yes else "nay"
        elif signal == "sentence 1 only":
            first[2] = "yea" if yes else "nay"
        elif signal == "lengths only":
            second = words(random, 6 + 3 * yes, set(first))
        elif signal == "overlap only":
            second[:3] = first[:3] if yes else second[:3]
        elif signal == "negation words only":
            second[2] = random.choice(["not", "nor"]) if yes else second[2]
        rows.append((" ".join(first), " ".join(second), "yes" if yes else "no"))
    return pd.DataFrame(rows, columns=COLUMNS)


def dense(features) -> np.ndarray:
    return features.toarray() if hasattr(features, "toarray") else features


# ---------------------------------------------------------------- folds and held-out answers


def test_a_fold_is_the_digest_of_a_text():
    """crc32 of "a" is 0xE8B7BE43 = 3904355907, of "b" 0x71BEEFF9 = 1908338681, of "" 0."""
    assert shortcuts.folds(pd.Series(["a", "b", "", "a"])).tolist() == [2, 1, 0, 2]


@QUICK
@given(st.lists(st.sampled_from(NOUNS[:20]), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_equal_texts_share_a_fold_in_any_order(texts, random):
    found = dict(zip(texts, shortcuts.folds(pd.Series(texts)), strict=True))
    turned = random.sample(texts, len(texts))
    assert [found[text] for text in turned] == shortcuts.folds(pd.Series(turned)).tolist()


def test_folds_are_about_equal():
    sizes = np.bincount(shortcuts.folds(pd.Series([f"text {i}" for i in range(2000)])))
    assert len(sizes) == shortcuts.FOLDS == 5 and sizes.min() > 330 and sizes.max() < 470  # 400 each, sd 18


def answers(features: np.ndarray, labels: np.ndarray, fold_B: np.ndarray) -> float:
    probabilities = shortcuts.held_out(features, labels, fold_B)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(labels)))
    return shortcuts.balanced(np.unique(labels)[probabilities.argmax(1)] == labels, labels)[0]


def test_held_out_on_a_separable_problem_and_on_shuffled_labels():
    random, labels = np.random.default_rng(0), np.repeat(["a", "b", "c"], 100)
    centres = dict(zip("abc", ([5, 0], [0, 5], [-5, -5]), strict=True))
    features = np.array([centres[name] for name in labels]) + random.normal(size=(300, 2))
    fold_B = random.integers(5, size=300)
    assert answers(features, labels, fold_B) > 0.98
    assert abs(answers(features, random.permutation(labels), fold_B) - 1 / 3) < 0.1


def test_no_row_is_answered_by_a_classifier_that_has_read_it():
    """Every row has a feature of its own: who has seen the row knows it, who has not knows nothing."""
    labels, fold_B = np.array(["a", "b"] * 50), np.arange(100) % 5
    assert shortcuts.held_out(100 * np.eye(100), labels, fold_B)[:, 0] == pytest.approx(np.full(100, 0.5), abs=0.01)
    seen = shortcuts.fitted(100 * np.eye(100), labels).predict(100 * np.eye(100))
    assert (seen == labels).all()


def test_a_fold_without_a_class_in_the_others_gets_equal_probabilities():
    """Class b stands in fold 0 alone: what has not seen fold 0 does not know it; what has seen it answers."""
    labels, fold_B = np.array(["a", "b", "a", "a", "a", "a"]), np.array([0, 0, 1, 1, 2, 2])
    features = np.where(labels == "b", 1.0, -1.0)[:, None]
    found = shortcuts.held_out(features, labels, fold_B)
    assert (found[:2] == 0.5).all() and (found[2:, 0] > 0.6).all()
    assert (shortcuts.held_out(features, labels, np.zeros(6, int)) == 0.5).all()  # no other fold
    three = np.array([*labels, "c", "c"])  # two classes of three are in the other folds of fold 0
    found = shortcuts.held_out(np.where(three == "b", 1.0, -1.0)[:, None], three, np.array([0, 0, 1, 1, 2, 2, 1, 2]))
    assert found[:2] == pytest.approx(np.full((2, 3), 1 / 3)) and found[2:, 1].max() < 0.3


def test_classes_weigh_the_same_however_many_rows_they_have():
    labels, fold_B = np.array(["a"] * 90 + ["b"] * 10), np.arange(100) % 5
    assert shortcuts.held_out(np.zeros((100, 1)), labels, fold_B) == pytest.approx(np.full((100, 2), 0.5), abs=1e-3)


def test_balanced_by_pencil():
    """2 of 3 and 1 of 2 are right: (2/3 + 1/2) / 2 = 7/12. A resample is (k/3 + l/2) / 2, of variance
    (2/3 * 1/3 / 3 + 1/2 * 1/2 / 2) / 4 = 0.0498."""
    right_B, labels = np.array([1, 0, 1, 0, 1], bool), np.array(["a", "a", "a", "b", "b"])
    found, drawn = shortcuts.balanced(right_B, labels, n=20_000)
    assert found == pytest.approx(7 / 12) and drawn.mean() == pytest.approx(7 / 12, abs=0.01)
    assert drawn.var() == pytest.approx((2 / 27 + 1 / 8) / 4, rel=0.05)
    possible = {round((k / 3 + j / 2) / 2, 9) for k in range(4) for j in range(3)}
    assert set(drawn.round(9)) == possible and len(drawn) == 20_000
    assert (drawn == shortcuts.balanced(right_B, labels, n=20_000)[1]).all()
    assert (drawn != shortcuts.balanced(right_B, labels, n=20_000, seed=1)[1]).any()


def test_a_sample_keeps_the_shares_of_the_labels():
    rows = pd.DataFrame({"label": ["a"] * 60 + ["b"] * 30 + ["c"] * 10, "place": range(100)})
    found = shortcuts.sample(rows, 50, seed=3)
    assert found["label"].value_counts().to_dict() == {"a": 30, "b": 15, "c": 5}
    assert found["place"].is_unique and set(found.index) <= set(rows.index) and set(found.columns) == set(rows.columns)
    pd.testing.assert_frame_equal(found, shortcuts.sample(rows, 50, seed=3))
    assert not found.equals(shortcuts.sample(rows, 50, seed=4)) and shortcuts.sample(rows, 100).equals(rows)


def test_a_sample_keeps_a_rare_label():
    rows = pd.DataFrame({"label": ["a"] * 9000 + ["b"] * 3})
    assert shortcuts.sample(rows, 1000)["label"].value_counts().to_dict() == {"a": 1000, "b": 1}


# ---------------------------------------------------------------- what a view sees


@pytest.mark.parametrize("view", shortcuts.VIEWS)
def test_a_view_sees_what_it_says_and_nothing_else(view):
    """Features stay, to the last digit, when all that a view does not name changes, and move with what it names."""
    rows = pd.concat([toy(name, 40, seed=i) for i, name in enumerate(SIGNALS)], ignore_index=True)
    names = {word: f"x{i}" for i, word in enumerate([*NOUNS, "yea", "nay"])}
    swapped = dict(zip(NOUNS, NOUNS[1:] + NOUNS[:1], strict=True)) | {"not": "yet", "nor": "and"}
    some = np.arange(len(rows)) % 2 == 0

    def reworded(by: dict[str, str], text: str) -> str:
        return " ".join(by.get(word, word) for word in text.split())

    def changed(by: dict[str, str], *columns: str) -> pd.DataFrame:
        return rows.assign(**{name: rows[name].map(lambda text: reworded(by, text)) for name in columns})

    both = ("sentence1", "sentence2")
    unseen = {"sentence 2 only": rows.assign(sentence1="other words"),
              "sentence 1 only": rows.assign(sentence2="other words"),
              "lengths only": changed(swapped, *both),
              "overlap only": changed(names | {"not": "yet"}, *both),
              "negation words only": changed(names, *both)}[view]  # fmt: skip
    seen = {"sentence 2 only": changed(names, "sentence2"),
            "sentence 1 only": rows.assign(sentence1=rows["sentence1"].str[4:]),
            "lengths only": rows.assign(sentence2=rows["sentence2"].where(some, "bal " + rows["sentence2"])),
            "overlap only": rows.assign(sentence2=rows["sentence2"].where(some, rows["sentence1"])),
            "negation words only": rows.assign(sentence1=rows["sentence1"].where(some, "no"))}[view]  # fmt: skip
    assert not unseen[["sentence1", "sentence2"]].equals(rows[["sentence1", "sentence2"]])
    own, same, other = (dense(shortcuts.VIEWS[view](frame)) for frame in (rows, unseen, seen))
    np.testing.assert_array_equal(own, same)
    assert own.shape != other.shape or np.abs(own - other).max() > 0.1
    no_labels = shortcuts.VIEWS[view](rows.drop(columns="label"))
    np.testing.assert_array_equal(own, dense(no_labels))


@pytest.mark.parametrize("view", ["sentence 2 only", "sentence 1 only"])
def test_the_other_sentence_changes_no_figure(view):
    """Nor the folds: what a view is answered on is what it sees."""
    rows = toy(view, 120)
    other = {"sentence 2 only": "sentence1", "sentence 1 only": "sentence2"}[view]
    found, again = shortcuts.view(view, rows), shortcuts.view(view, rows.assign(**{other: "nothing to see"}))
    assert found[0] == again[0] and (found[1] == again[1]).all()
    own = ({"sentence1", "sentence2"} - {other}).pop()
    assert shortcuts.inputs(rows, view).tolist() == rows[own].tolist()
    pair = shortcuts.inputs(rows, "overlap only")
    assert pair.tolist() == [f"{a} | {b}" for a, b in zip(rows["sentence1"], rows["sentence2"], strict=True)]


@pytest.mark.parametrize("signal", ["", *SIGNALS])
def test_each_view_finds_its_own_signal(signal):
    """Over chance: 0.5 is all; standard error 0.03. A planted word or negation is a word of sentence 2, too."""
    assert list(shortcuts.VIEWS) == SIGNALS
    found = {view: shortcuts.view(view, toy(signal))[0] for view in SIGNALS}
    assert signal == "" or found.pop(signal) > 0.4
    if signal == "negation words only":
        assert found.pop("sentence 2 only") > 0.3
    if signal == "lengths only":  # a share of the words is of lengths, too
        found.pop("sentence 2 only")
    assert max(map(abs, found.values())) < 0.15, found


def test_resamples_of_a_view_are_around_it():
    value, drawn = shortcuts.view("overlap only", toy("overlap only"))
    assert np.mean(drawn) == pytest.approx(value, abs=0.01)
    noisy = toy("").assign(label=["a", "b", "c"] * 100)
    value, drawn = shortcuts.view("sentence 2 only", noisy)
    assert np.percentile(drawn, 2.5) < 0 < np.percentile(drawn, 97.5) or abs(value) < 0.1
    assert drawn.std() == pytest.approx(math.sqrt(2 / 9 / 300), rel=0.15)  # a third right, of 300


def test_equal_inputs_do_not_teach_each_other():
    """25 sentences, each four times with one label by chance: who has read one of the four knows the others."""
    random = np.random.default_rng(5)
    texts = [" ".join(words(random, 4)) for _ in range(60)]
    rows = pd.DataFrame([("a", text, str(i % 2)) for i, text in enumerate(texts) for _ in range(4)], columns=COLUMNS)
    assert shortcuts.view("sentence 2 only", rows)[0] < 0.2
    spread = np.arange(len(rows)) % 5
    features = shortcuts.VIEWS["sentence 2 only"](rows)
    leaking = shortcuts.held_out(features, rows["label"].to_numpy(), spread).argmax(1) == rows["label"].astype(int)
    assert leaking.mean() > 0.95


@pytest.mark.parametrize(("text", "n"), [
    ("nobody is here", 1), ("it is not , no", 2), ("it isn t", 1), ("they cannot go", 1), ("nothing without nothing", 3),
    ("they don t", 1), ("they do n t", 1), ("we can t , or won t", 2), ("a note on knots", 0), ("a t shirt", 0),
])  # fmt: skip
def test_negation_words_by_pencil(text, n):
    """Bare texts. Standardised: as far from a text without as from one with twice as many."""
    rows = pd.DataFrame({"sentence1": "a dog", "sentence2": ["a dog", text, "no " * 2 * n]})
    column = shortcuts.VIEWS["negation words only"](rows)[:, 1]
    assert column[1] - column[0] == pytest.approx(column[2] - column[1]) and (column[1] > column[0]) == (n > 0)


def test_plain_rows_are_bare():
    rows = pd.DataFrame([("A dog!", "It's here.", "x")], columns=COLUMNS)
    assert shortcuts.plain(rows).values.tolist() == [["a dog", "it s here", "x"]]
    assert rows.values.tolist() == [["A dog!", "It's here.", "x"]]


# ---------------------------------------------------------------- words that give a class away

EIGHT = pd.DataFrame([("", text, label) for label, texts in {
    "x": ["not a so", "not b so", "not c not", "d e", "k l"], "y": ["not f", "g h", "g i"]}.items() for text in texts],
    columns=COLUMNS)  # fmt: skip


def test_telling_by_pencil():
    """Held by two rows or more: not (3 of 5 x, 1 of 3 y), so (2 of 5, 0 of 3), g (0 of 5, 2 of 3); priors 5/8 and 3/8.
    P(x | not) = 3/4, over 5/8: 6/5; P(x | so) = 1: 8/5; P(y | g) = 1: 8/3; P(y | not) = 1/4, over 3/8: 2/3."""
    found = shortcuts.telling(EIGHT).set_index(["label", "ngram"])
    assert found.index.tolist() == [("x", "so"), ("x", "not"), ("x", "g"), ("y", "g"), ("y", "not"), ("y", "so")]
    assert found["in_class"].tolist() == pytest.approx([2 / 5, 3 / 5, 0, 2 / 3, 1 / 3, 0])
    assert found["elsewhere"].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 0, 3 / 5, 2 / 5])
    assert found["gap"].tolist() == pytest.approx([2 / 5, 4 / 15, -2 / 3, 2 / 3, -4 / 15, -2 / 5])
    assert found["lift"].tolist() == pytest.approx([8 / 5, 6 / 5, 0, 8 / 3, 2 / 3, 0])
    assert found["real_gap"].isna().all() and found["excess"].tolist() == found["gap"].tolist()
    assert shortcuts.telling(EIGHT, most=1)["ngram"].tolist() == ["so", "g"]


def test_telling_beyond_what_is_so_in_real_rows():
    """Real x: so in 2 of 4, not in 1 of 4; real y: neither in 2. Then not (4/15 - 1/4) tells x, so does not (2/5 - 1/2)."""
    real = pd.DataFrame([("", "so m", "x"), ("", "so n", "x"), ("", "not o", "x"), ("", "p", "x"), ("", "g q", "y"),
                         ("", "r", "y")], columns=COLUMNS)  # fmt: skip
    found = shortcuts.telling(EIGHT, real).set_index(["label", "ngram"])
    assert found.index.tolist()[:3] == [("x", "not"), ("x", "so"), ("x", "g")]
    assert found.loc["x", "real_gap"].tolist() == pytest.approx([1 / 4, 1 / 2, -1 / 2])
    assert found.loc["x", "excess"].tolist() == pytest.approx([4 / 15 - 1 / 4, 2 / 5 - 1 / 2, -2 / 3 + 1 / 2])
    assert found.loc["y", "real_gap"].to_dict() == pytest.approx({"g": 1 / 2, "not": -1 / 4, "so": -1 / 2})
    assert found.loc["x", "gap"].tolist() == pytest.approx([4 / 15, 2 / 5, -2 / 3])


def test_telling_reads_three_words_of_sentence_2_and_none_of_sentence_1():
    rows = pd.DataFrame([("one", "give it away now", "x"), ("one", "give it away now", "x"), ("two", "a", "y"),
                         ("two", "b", "y")], columns=COLUMNS)  # fmt: skip
    found = shortcuts.telling(rows, most=99)
    grams = found.loc[found["label"] == "x", "ngram"].tolist()
    assert grams == sorted(["give", "it", "away", "now", "give it", "it away", "away now", "give it away", "it away now"])
    assert (found.loc[found["label"] == "x", "gap"] == 1).all()  # ties: in the alphabet's order


def test_nothing_frequent_tells_nothing():
    rows = pd.DataFrame([("a", "b", "x"), ("a", "c", "y")], columns=COLUMNS)
    found = shortcuts.telling(rows)
    assert len(found) == 0 and list(found.columns) == list(shortcuts.telling(EIGHT).columns)


def test_an_n_gram_of_a_large_set_is_frequent_from_one_row_in_500():
    rows = pd.DataFrame([("", f"w{i // 3} u{i // 2} common", "xy"[i % 2]) for i in range(1500)], columns=COLUMNS)
    found = set(shortcuts.telling(rows, most=9999)["ngram"])
    assert "w7" in found and "u7" not in found  # three rows, two rows, of 1,500


# ---------------------------------------------------------------- two samples


@QUICK
@given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.lists(st.integers(0, 6), min_size=1, max_size=20))
def test_area_under_the_curve_is_sklearn_s_with_ties(own, other):
    scores, made = np.array(other + own, float), np.repeat([0, 1], [len(other), len(own)])
    found, drawn = two_sample.resampled_auc(scores, made, n=7)
    assert found == pytest.approx(roc_auc_score(made, scores)) and drawn.shape == (7,)


def test_resamples_of_the_area_are_a_bootstrap_s():
    """To first order: mean and spread as of 1,500 resamples of either side, each held against the other anew."""
    random = np.random.default_rng(0)
    own, other = (random.integers(0, 8, size) / 8 + shift for size, shift in ((60, 0.25), (150, 0)))
    scores, made = np.concatenate([own, other]), np.repeat([1, 0], [60, 150])
    found, drawn = two_sample.resampled_auc(scores, made, n=4000)
    resampled = [(random.choice(own, 60)[:, None], random.choice(other, 150)[None]) for _ in range(1500)]
    plain = [np.mean((a > b) + 0.5 * (a == b)) for a, b in resampled]
    assert drawn.mean() == pytest.approx(found, abs=0.003) and np.mean(plain) == pytest.approx(found, abs=0.003)
    assert drawn.std() == pytest.approx(np.std(plain), rel=0.08)
    assert np.percentile(drawn, [2.5, 97.5]) == pytest.approx(np.percentile(plain, [2.5, 97.5]), abs=0.015)
    again = two_sample.resampled_auc(scores, made, n=4000)[1]
    assert (drawn == again).all() and (drawn != two_sample.resampled_auc(scores, made, n=4000, seed=1)[1]).any()


def test_area_by_pencil():
    """Own 1, 2; other 0, 1, 3. 1: above 0, ties with 1: 1.5 of 3; 2: above two: 2 of 3. In all 3.5 of 6."""
    assert two_sample.resampled_auc(np.array([1.0, 2, 0, 1, 3]), np.array([1, 1, 0, 0, 0]))[0] == pytest.approx(3.5 / 6)


def test_who_tells_two_sets_apart():
    """Sets of one kind are not told apart; those that differ in sentence 1 alone are, by who sees that."""
    rows, real = toy("", 300, seed=1), toy("", 300, seed=2)
    marked = rows.assign(sentence1="yea " + rows["sentence1"].str[4:])
    for view in ("sentence 1 only", "sentence 2 only", "overlap only", "lengths only"):
        same, drawn = two_sample.auc(rows, real, view)
        assert abs(same - 0.5) < 0.08, view  # standard error 0.024
        assert np.percentile(drawn, 2.5) <= same <= np.percentile(drawn, 97.5) and len(drawn) == 300
    assert two_sample.auc(marked, real, "sentence 1 only")[0] > 0.95
    blind, before = (two_sample.auc(frame, real, "sentence 2 only")[0] for frame in (marked, rows))
    assert blind == before
    longer = rows.assign(sentence2=rows["sentence2"] + " " + real["sentence1"])
    assert two_sample.auc(longer, real, "lengths only")[0] > 0.95


def test_a_row_that_stands_in_both_sets_is_told_by_nobody():
    rows = toy("", 200, seed=3)
    assert two_sample.auc(rows, rows.copy(), "sentence 2 only")[0] == pytest.approx(0.5)


def test_mmd_by_pencil():
    """Corners of a square: 2 apart (squared) within either set, 1 across, so the width is 1: 2 * e^-2 - 2 * e^-1."""
    one, other = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    assert two_sample.mmd(one, other) == pytest.approx(2 * math.exp(-2) - 2 * math.exp(-1))
    assert two_sample.mmd(3 * one + 5, 3 * other + 5) == pytest.approx(two_sample.mmd(one, other))  # the width follows
    assert two_sample.mmd(np.ones((3, 2)), np.ones((2, 2))) == 0.0


def test_mmd_of_one_distribution_is_about_0_and_grows_with_a_shift():
    both = [np.random.default_rng(seed).normal(size=(2, 150, 4)) for seed in range(20)]
    same = [two_sample.mmd(one, other) for one, other in both]
    assert abs(np.mean(same)) < 0.002 and min(same) < 0 < max(same)  # unbiased: below 0 too
    little, much = ([two_sample.mmd(one, other + shift) for one, other in both[:5]] for shift in (0.3, 1.0))
    assert max(same) < min(little) and max(little) < min(much)


def test_alignment_by_pencil():
    """Real means (3, 0), (0, 3), (-3, -3): their mean is the origin, moved to (10, 20). a: (1, 0) is 1 from a, 0 from b,
    -0.71 from c. b: (3, 4) has 4/5 to b and 3/5 to a. c: (1, 0) has -0.71 to c and 1 to a."""
    move = np.array([10.0, 20.0])
    real = np.array([[2.0, 0], [4, 0], [0, 3], [-3, -3]]) + move
    made = np.array([[1.0, 0], [3, 5], [3, 3], [1, 0]]) + move
    found = two_sample.alignment(made, ["a", "b", "b", "c"], real, ["a", "a", "b", "c"])
    assert found["label"].tolist() == ["a", "b", "c"]
    assert found["own"].tolist() == pytest.approx([1, 4 / 5, -math.sqrt(0.5)])
    assert found["other"].tolist() == pytest.approx([0, 3 / 5, 1])
    assert found["margin"].tolist() == pytest.approx([1, 1 / 5, -math.sqrt(0.5) - 1])
    order = [3, 1, 0, 2]
    again = two_sample.alignment(made[order], list("cbab"), real, pd.Series(["a", "a", "b", "c"]).to_numpy())
    pd.testing.assert_frame_equal(found, again)


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(("synthetic", "real", "n_classes", "expected"), [
    (0.7, 0.9, 2, 0.25),  # a wrong label is met by 0.1: 0.75 * 0.9 + 0.25 * 0.1 = 0.7
    (0.5, 0.75, 2, 0.5),
    (0.48, 0.7, 3, 0.4),  # 0.6 * 0.7 + 0.4 * 0.15 = 0.48
    (0.9, 0.9, 2, 0.0),
    (0.95, 0.9, 2, 0.0),  # it agrees more: easier pairs
    (0.05, 1.0, 3, 0.95),
])  # fmt: skip
def test_error_rate_by_pencil(synthetic, real, n_classes, expected):
    assert labelling.error_rate(synthetic, real, n_classes) == pytest.approx(expected)


@pytest.mark.parametrize(("real", "n_classes"), [(0.5, 2), (0.54, 2), (0.3, 2), (1 / 3, 3), (0.39, 3)])
def test_the_error_rate_by_a_guesser_is_unknown(real, n_classes):
    """For two classes from 0.55 on, for three from 0.4 on: right and stray 0.1 apart."""
    assert math.isnan(labelling.error_rate(0.4, real, n_classes))


@QUICK
@given(st.floats(0, 1), st.floats(0.65, 1), st.integers(2, 5))
def test_the_error_rate_is_the_one_that_was_planted(rate, real, n_classes):
    agreed = (1 - rate) * real + rate * (1 - real) / (n_classes - 1)
    assert labelling.error_rate(agreed, real, n_classes) == pytest.approx(rate, abs=1e-9)


def flipped(rows: pd.DataFrame, share: float, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    where = np.random.default_rng(seed).random(len(rows)) < share
    return rows.assign(label=np.where(where, rows["label"].map({"yes": "no", "no": "yes"}), rows["label"])), where


def test_agreement_knows_whether_sentences_share_words():
    real, (rows, wrong) = toy("overlap only", 400, seed=1), flipped(toy("overlap only", 200, seed=2), 0.2)
    right_B, right_R = labelling.agreement(rows, real)
    assert right_B.shape == (200,) and right_R.shape == (400,) and right_R.mean() > 0.97
    assert np.abs(right_B - ~wrong).mean() < 0.03
    found = labelling.error_rate(right_B.mean(), right_R.mean(), 2)
    assert found == pytest.approx(wrong.mean(), abs=0.03)


def test_agreement_with_real_rows_is_held_out():
    """Labels by chance: a classifier that had read the rows would know them all."""
    random, real = np.random.default_rng(3), toy("", 200, seed=4)
    real = real.assign(label=random.choice(["yes", "no"], 200))
    right_B, right_R = labelling.agreement(real, real)
    assert 0.35 < right_R.mean() < 0.65 and (right_B == right_R).all()  # each is asked of the one that has not read it
    right_B, _ = labelling.agreement(real.assign(sentence1=real["sentence1"] + " qqq"), real)
    assert right_B.mean() > 0.7  # nearly these rows: four of five have read them


class Constant:
    """A classifier of one answer."""

    def __init__(self, answer: str):
        self.answer = answer

    def predict(self, features) -> np.ndarray:
        return np.full(features.shape[0], self.answer)

    def predict_proba(self, features) -> np.ndarray:
        return np.tile([float(self.answer == "no"), float(self.answer == "yes")], (features.shape[0], 1))


def test_each_classifier_is_asked_by_itself(monkeypatch):
    """Two of five say yes: their mean would never agree with a yes, and answer better than one where all are good."""
    answers = iter(["yes", "no", "yes", "no", "no"])
    monkeypatch.setattr(shortcuts, "fitted", lambda features, labels: Constant(next(answers)))
    rows, real = toy("", 20, seed=1), toy("", 100, seed=2)
    right_B, right_R = labelling.agreement(rows, real)
    assert right_B == pytest.approx(rows["label"].map({"yes": 0.4, "no": 0.6}).to_numpy())
    says_yes = np.isin(shortcuts.folds(shortcuts.inputs(real, "pair")), [0, 2])
    assert (right_R == (real["label"] == np.where(says_yes, "yes", "no"))).all()


def test_suspects_are_the_flipped_labels():
    pytest.importorskip("cleanlab")
    rows, wrong = flipped(toy("overlap only", 300, seed=6), 0.1)
    found = labelling.suspects(rows)
    assert found.dtype == bool and found.shape == (300,)
    assert found[wrong].mean() > 0.9 and found[~wrong].mean() < 0.03
    clean = labelling.suspects(toy("overlap only", 300, seed=6))
    assert clean.mean() < 0.03


def test_without_cleanlab_nobody_is_suspected(monkeypatch):
    for name in ("cleanlab", "cleanlab.filter"):
        monkeypatch.setitem(sys.modules, name, None)
    assert labelling.suspects(toy("overlap only", 40)) is None


# ---------------------------------------------------------------- limits

TABLE = pd.DataFrame([("m", "all", "against", n, n / 1000) for n in (300, 50, 150)] + [
    ("m", "class", "against", 50, 0.9), ("m", "all", "alone", 50, 0.8), ("k", "all", "against", 50, 0.7)],
    columns=["measure", "scope", "kind", "n", "limit"])  # fmt: skip


@pytest.mark.parametrize(("n", "expected"), [
    (50, 0.05), (150, 0.15), (300, 0.3), (10**6, 0.3), (72, 0.05 + 0.1 * (1 - (50 / 72) ** 0.5) / (1 - (1 / 3) ** 0.5)),
])  # fmt: skip
def test_a_limit_between_two_sizes_is_linear_in_the_root(n, expected, monkeypatch):
    """72 is 1.2 squared times 50: of the way from 1 to 1 / sqrt(3), 1 - 1 / 1.2."""
    monkeypatch.setattr(limits, "table", lambda: TABLE)
    assert limits.limit("m", "all", "against", n) == pytest.approx(expected)


@pytest.mark.parametrize("of", [
    ("m", "all", "against", 49), ("m", "class", "alone", 500), ("k", "class", "against", 500), ("j", "all", "alone", 500),
])  # fmt: skip
def test_what_was_not_calibrated_has_no_limit(of, monkeypatch):
    monkeypatch.setattr(limits, "table", lambda: TABLE)
    assert math.isnan(limits.limit(*of))
    assert [limits.limit("m", "class", "against", 70), limits.limit("m", "all", "alone", 70)] == [0.9, 0.8]


def test_the_file_of_limits_has_the_columns():
    assert list(limits.table().columns) == list(TABLE.columns)
    assert not limits.table().duplicated(["measure", "scope", "kind", "n"]).any()


@pytest.mark.parametrize(("worse", "difference", "expected"), [
    ("higher", 0.2, 0.2), ("higher", -0.2, -0.2), ("lower", -0.2, 0.2), ("lower", 0.2, -0.2), ("either", -0.2, 0.2),
    ("either", 0.2, 0.2),
])  # fmt: skip
def test_excess_by_pencil(worse, difference, expected):
    assert limits.excess(worse, difference) == expected


def test_family_by_pencil():
    """One task, one measure, 1 to 21: of 21 one may pass (0.05 * 20), so the limit is 20. Of 20 none may: it is 20 again."""
    for n in (21, 20):
        audits = pd.DataFrame({"m": range(1, n + 1)}, index=pd.Index(["t"] * n, name="task"), dtype=float)
        assert limits.family(audits)["m"] == pytest.approx(20)


def test_the_audit_that_sets_the_limit_does_not_pass_it():
    """To the last digit: of 55 two may pass (0.05 * 54 = 2.7), 54 and 55 parts of 3, of 7, of 10."""
    for parts in (3, 7, 10):
        audits = pd.DataFrame({"m": np.arange(1, 56) / parts}, index=["t"] * 55)
        assert (audits > limits.family(audits))["m"].sum() == 2, parts


def test_a_scale_is_of_the_task_that_strays_most():
    """a: root mean squares 3 and 1, scale 3; b: 1 and 2, scale 2. Multiples 3/3, 3/3, 2/2, 2/2 and so 1 for all."""
    audits = pd.DataFrame({"a": [3.0, -3, 1, -1], "b": [1.0, 1, 2, -2]}, index=["s", "s", "t", "t"])
    assert limits.family(audits).to_dict() == pytest.approx({"a": 3.0, "b": 2.0})


@QUICK
@given(st.integers(0, 10**6), st.integers(20, 80), st.sampled_from([0.05, 0.1, 0.2]))
def test_at_most_the_asked_share_of_audits_passes_any_limit(seed, n, rate):
    random = np.random.default_rng(seed)
    scales = random.uniform(0.1, 10, size=4)
    audits = pd.DataFrame(random.normal(size=(n, 4)) * scales, index=random.choice(["s", "t", "u"], n), columns=list("abcd"))
    audits.iloc[0, 1] = np.nan  # not measured
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        limit = limits.family(audits, rate)
    passing = (audits > limit).any(axis=1).mean()
    assert rate - 2 / n <= passing <= rate  # and not much fewer
    assert (limit > 0).all() and list(limit.index) == list("abcd")


# ---------------------------------------------------------------- calibration


def test_halves_have_no_row_in_common():
    rows = pd.DataFrame({"label": ["a"] * 9 + ["b"] * 7, "place": range(16)})
    one, other = calibration.halves(rows, 3, seed=5)
    for half in (one, other):
        assert half["label"].value_counts().to_dict() == {"a": 3, "b": 3} and half.index.tolist() == list(range(6))
    assert not set(one["place"]) & set(other["place"])
    again = calibration.halves(rows, 3, seed=5)
    assert again[0].equals(one) and again[1].equals(other) and not calibration.halves(rows, 3, seed=6)[0].equals(one)
    assert calibration.halves(rows, 4, seed=5) is None  # 8 of b would be needed


def audits() -> pd.DataFrame:
    """Two audits of halves of one task, of two classes."""
    copies, words, told = "exact copies of sentence 1", "words of sentence 2", "told from real by lengths"
    lines = [(copies, "", 0.03, 0.01), (copies, "a", 0.05, 0.02), (copies, "b", 0.04, 0.05), (words, "", 8.0, 9.5),
             (told, "", 0.6, 0.5), ("distinct-1", "", 0.2, 0.3), ("in the test set", "", 0.9, np.nan),
             ("wrong labels, estimated", "", 0.4, np.nan)]  # fmt: skip
    frame = pd.DataFrame(lines, columns=["measure", "label", "value", "reference"])
    frame["difference"] = frame["value"] - frame["reference"]
    frames = [frame.assign(repeat=0), frame.assign(repeat=1, difference=0.0, value=0.0)]
    against = pd.concat(frames).assign(task="t", n=50)
    alone = against[against["measure"] == copies].assign(reference=np.nan, difference=np.nan)
    alone["value"] += 0.01
    return pd.concat([against.assign(kind="against"), alone.assign(kind="alone")])


def test_what_an_audit_of_halves_says_by_pencil():
    """Of classes the worst: 5 - 2 and 4 - 5 points. Lower distinct-n is worse, words are so either way."""
    red, amber = (calibration.seen(audits(), "against", level) for level in ("red", "amber"))
    copies, first = "exact copies of sentence 1", red.index.get_level_values("repeat") == 0
    assert len(red) == 2 and (red[~first] == 0).all(axis=None)
    assert red[first].iloc[0].to_dict() == pytest.approx({(copies, "all"): 0.02, (copies, "class"): 0.03})
    expected = {("words of sentence 2", "all"): 1.5, ("told from real by lengths", "all"): 0.1, ("distinct-1", "all"): 0.1}
    assert amber[first].iloc[0].to_dict() == pytest.approx(expected)
    alone = calibration.seen(audits(), "alone", "red")[first].iloc[0].to_dict()
    assert alone == pytest.approx({(copies, "all"): 0.04, (copies, "class"): 0.06})  # values of their own
    assert calibration.seen(audits(), "alone", "amber").empty


def test_limits_of_shares_have_a_floor_and_alone_nothing_passes():
    copies, words = ("exact copies of sentence 1", "all"), ("words of sentence 2", "all")
    index = pd.MultiIndex.from_product([["s", "t"], [50], range(10)], names=["task", "n", "repeat"])
    far = pd.DataFrame({copies: np.arange(20) / 1e4, words: np.arange(20) / 1e4}, index=index)
    alone, against = (calibration.limits_of(far, kind) for kind in ("alone", "against"))
    assert alone[copies] == against[copies] == limits.FLOOR == 0.02
    assert alone[words] == pytest.approx(0.0019) and against[words] == pytest.approx(0.0019)
    assert calibration.limits_of(100 * far, "alone")[copies] == pytest.approx(0.19)
    assert set(report.MEASURES[name].unit for name, _ in far.columns) == {"share", "number"}
