"""Copies, duplicates, leaks and variety of texts: every measure beside its pencil number."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dawgen_core.audit import copies, diversity

MANY = settings(max_examples=60, deadline=None, derandomize=True, database=None)
FEW = settings(MANY, max_examples=20)  # each builds an index
TEXTS = st.lists(st.text("aAbBß .,!_é", min_size=1, max_size=6), min_size=1, max_size=12)
SENTENCES = st.lists(st.text("abcd", min_size=1, max_size=1), min_size=1, max_size=9).map(" ".join)


def series(*texts: str) -> pd.Series:
    return pd.Series(texts, dtype=object)


def pairs(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["sentence1", "sentence2"], dtype=object)


def sentences(n: int, n_words: int, seed: int) -> list[list[str]]:
    """Made-up sentences of different words, of 10,000."""
    random = np.random.default_rng(seed)
    return [[f"w{number}" for number in random.choice(10_000, n_words, replace=False)] for _ in range(n)]


# ---------------------------------------------------------------- three senses of the same


@pytest.mark.parametrize(("text", "folded", "bare"), [
    ("It's  HERE!", "it's here!", "it s here"),
    (" a\tb\n", "a b", "a b"),
    ("«Это» дом.", "«это» дом.", "это дом"),
    ("你好。", "你好。", "你好"),
    ("Die STRASSE", "die strasse", "die strasse"),  # casefold: ß is ss, final sigma is sigma
    ("die Straße", "die strasse", "die strasse"),
    ("snake_case_", "snake_case_", "snake_case_"),  # an underscore is a word character
    ("a 3.5", "a 3.5", "a 3 5"),
    ("I \u2764\ufe0f it", "i \u2764\ufe0f it", "i it"),  # a variation selector is no letter, nor is a heart
    ("\u2600\ufe0f", "\u2600\ufe0f", "\u2600\ufe0f"),  # nothing would be left: it stays, unlike any other sign
    ("cafe\u0301", "caf\u00e9", "caf\u00e9"),  # two ways to write one letter
    ("?!", "?!", "?!"),  # nothing would be left: it stays
    (" ?  ! ", "? !", "? !"),
])  # fmt: skip
def test_folded_and_bare_by_pencil(text, folded, bare):
    assert copies.folded(series(text)).tolist() == [folded]
    assert copies.bare(series(text)).tolist() == [bare]


def test_vowel_signs_are_no_punctuation():
    """Different words of Hindi, Tamil and Hebrew (with points) that differ in their vowel signs alone (Mc, Mn) stay so."""
    for one, other in (("दिन", "दान"), ("की", "का"), ("கை", "கா"), ("סֵפֶר", "סָפַר")):
        assert copies.bare(series(one)).tolist() != copies.bare(series(other)).tolist(), (one, other)


@MANY
@given(TEXTS)
def test_folding_twice_is_folding_once_and_keeps_the_index(texts):
    one = pd.Series(texts, index=range(7, 7 + len(texts)), dtype=object)
    for fold in (copies.folded, copies.bare):
        once = fold(one)
        assert once.tolist() == fold(once).tolist() and once.index.equals(one.index)


@pytest.mark.parametrize(("one", "other", "expected"), [
    ("", "", 1.0), ("a", "", 0.0), ("a b c d", "a b c d e", 4 / 5), ("a b", "b c", 1 / 3), ("a a b", "b a", 1.0),
])  # fmt: skip
def test_jaccard_by_pencil(one, other, expected):
    assert copies.jaccard(copies.words(one), copies.words(other)) == copies.jaccard(copies.words(other), copies.words(one))
    assert copies.jaccard(copies.words(one), copies.words(other)) == expected


# ---------------------------------------------------------------- copies of sentence 1


@pytest.mark.parametrize(("first", "second", "expected"), [
    ("A man sleeps", "a  man SLEEPS", "exact"),
    ("A man sleeps", "a man sleeps.", "bare"),  # a point more
    ("it's here", "it s here", "bare"),
    ("你好", "你好！", "bare"),
    ("a b c d", "d c b a", "near"),  # the same words in another order
    ("a b c d", "a b c d e", "near"),  # exactly 4 of 5
    ("a b c d", "a a a b c d", "near"),  # different words are counted once
    ("a b c d e f g", "a b c d e f g h i", ""),  # 7 of 9: 0.78
    ("a b c d", "a b c", ""),  # 3 of 4
    ("?!", "?!", "exact"),
    ("?!", "!!", ""),  # of punctuation alone: held as it is
    ("?!", "? !", ""),
])  # fmt: skip
def test_copies_by_pencil(first, second, expected):
    """Each column holds the ones before it."""
    names = ["exact", "bare", "near"]
    own = names.index(expected) if expected else 3
    found = copies.copies(pairs((first, second)))
    assert list(found.columns) == names
    assert found.iloc[0].tolist() == [own <= place for place in range(3)]


@MANY
@given(st.lists(st.tuples(st.text("aAbB .,!", min_size=1, max_size=5), st.text("aAbB .,!", min_size=1, max_size=5)),
                min_size=1, max_size=10))  # fmt: skip
def test_exact_is_bare_is_near_either_way_round(rows):
    frame = pairs(*rows).set_axis(range(5, 5 + len(rows)))
    found = copies.copies(frame)
    assert not (found["exact"] & ~found["bare"]).any() and not (found["bare"] & ~found["near"]).any()
    turned = frame.rename(columns={"sentence1": "sentence2", "sentence2": "sentence1"})
    pd.testing.assert_frame_equal(found, copies.copies(turned))
    assert found.index.equals(frame.index) and set(found.dtypes) == {np.dtype(bool)}


# ---------------------------------------------------------------- duplicates


def test_kinds_by_pencil():
    texts = series(
        "a b c d e f g h i j k l m n o p q r s t",  # 0: the first of its kind
        "x y z",  # 1: another
        "A b c d e f g h i j k l m n o p q r s t!",  # 2: bare, it is 0
        "t s r q p o n m l k j i h g f e d c b a",  # 3: the words of 0: near, not exact
        "T S R Q P O N M L K J I H G F E D C B A",  # 4: exactly 3, and so nearly 0
        "z y",  # 5: 2 words of the 3 of 1: not near
        "a b c d e f g h i j k l m n o p q r s t u",  # 6: 20 of 21
    )
    found = copies.kinds(texts)
    assert found["exact"].tolist() == [0, 1, 0, 3, 3, 5, 6]
    assert found["near"].tolist() == [0, 1, 0, 0, 0, 5, 0]
    assert found["exact"].duplicated().tolist() == [False, False, True, False, True, False, False]
    assert found["near"].duplicated().sum() == 4


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_kinds_that_are_near_the_first_is_named(turned):
    """20 words in common: with three more of their own two texts share 20 of 26, a third without them 20 of 23."""
    common = " ".join(f"a{i}" for i in range(20))
    kinds = [f"{common} x y z", f"{common} t u v"]
    found = copies.kinds(series(*kinds[:: -1 if turned else 1], common))
    assert found["near"].tolist() == [0, 1, 0]


def test_of_part_of_the_rows_the_first_is_no_duplicate():
    """Without the first of a kind the next one is: 1 and 2 are alike, 0 is away."""
    found = copies.kinds(pd.Series(["a b", "A b.", "b a", "c"], index=[10, 20, 30, 40]))
    part = found.loc[[20, 30, 40]]
    assert part["exact"].duplicated().tolist() == [False, False, False]
    assert part["near"].duplicated().tolist() == [False, True, False]


@FEW
@given(TEXTS, st.data())
def test_exact_kinds_are_the_first_of_equal_bare_texts_in_any_part(texts, data):
    texts = pd.Series(texts, dtype=object)
    found, plain = copies.kinds(texts), copies.bare(texts)
    assert found["exact"].tolist() == [plain.tolist().index(text) for text in plain]
    part = data.draw(st.lists(st.sampled_from(range(len(texts))), unique=True))
    assert found["exact"].iloc[part].duplicated().tolist() == plain.iloc[part].duplicated().tolist()


@FEW
@given(st.lists(SENTENCES, min_size=1, max_size=15))
def test_a_kind_is_named_by_its_first_which_is_near(texts):
    found, sets = copies.kinds(pd.Series(texts)), [copies.words(text) for text in texts]
    near, exact = found["near"].tolist(), found["exact"].tolist()
    assert near[0] == exact[0] == 0
    for i, kind in enumerate(near):
        assert kind <= exact[i] <= i and near[kind] == kind
        assert copies.jaccard(sets[i], sets[kind]) >= copies.NEAR
        assert kind == near[exact[i]] == near[sets.index(sets[i])]  # equal texts are of one kind, and equal words


def test_one_word_of_twelve_changed_is_found():
    """Jaccard 11 / 13 = 0.85, the commonest near duplicate there is: 95 in 100 of them are found, at the least."""
    first = sentences(200, 12, seed=0)
    changed = [[*words[:5], f"new{i}", *words[6:]] for i, words in enumerate(first)]
    found = copies.kinds(pd.Series([" ".join(words) for words in [*first, *changed]]))["near"].tolist()
    assert found[:200] == list(range(200))
    assert sum(found[200 + i] == i for i in range(200)) >= 190
    assert all(found[200 + i] in (i, 200 + i) for i in range(200))


def test_two_words_of_eight_changed_are_never_near():
    """6 of 10."""
    first = sentences(200, 8, seed=1)
    changed = [["x", "y", *words[2:]] for words in first]
    found = copies.kinds(pd.Series([" ".join(words) for words in [*first, *changed]]))
    assert not found["near"].duplicated().any()


# ---------------------------------------------------------------- leaks


def test_held_by_pencil():
    other = copies.Pairs(pairs(("A man sleeps.", "He rests"), ("x", "y"), ("x", "z")))
    rows = pairs(
        ("a man sleeps", "he rests!"),  # bare, the same
        ("He rests", "a MAN sleeps"),  # in the other order
        ("a man sleeps", "y"),  # both stand there, not as a pair
        ("a man sleeps", "a man sleeps"),  # one of them twice
        ("y", "z"),  # both beside x
        ("z", "x"),
        ("a man", "sleeps he rests"),  # the same words, cut elsewhere
    )
    assert other.held(rows).tolist() == [True, True, False, False, False, True, False]
    assert other.held(rows).dtype == bool


@FEW
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=6))
def test_every_pair_stands_in_its_own_set_either_way(rows):
    frame = pairs(*rows)
    turned = pairs(*[(second, first) for first, second in rows])
    assert copies.Pairs(frame).held(frame).all() and copies.Pairs(frame).held(turned).all()
    assert copies.Pairs(frame).nearly_held(frame).all()
    absent = [pair for pair in [("a", "a"), ("a", "b"), ("c", "b")] if pair not in rows and pair[::-1] not in rows]
    assert not absent or not copies.Pairs(frame).held(pairs(*absent)).any()


def test_nearly_held_by_pencil():
    """20 words a pair; a word counts with the sentence it stands in."""
    first, second = "a b c d e f g h i j", "k l m n o p q r s t"
    rows = pairs(
        (first, f"{second} u"),  # 20 of 21
        (f"{first}!", second.upper()),  # 20 of 20
        ("j i h g f e d c b a", second),  # 20 of 20
        (second, first),  # 0 of 40: the other order
        (first, "k l m n o p u v w x"),  # 16 of 24
        (first, first),  # 10 of 30
        ("a", "k"),  # 2 of 20
    )
    other, expected = copies.Pairs(pairs((first, second), ("y", "z"))), [True, True, True, False, False, False, False]
    assert other.nearly_held(rows).tolist() == expected
    assert other.nearly_held(rows).tolist() == expected  # asked again, and of one row
    assert other.nearly_held(rows.iloc[[3]]).tolist() == [False]
    assert other.held(rows).tolist() == [False, True, False, True, False, False, False]


def test_a_test_pair_with_one_word_of_twelve_changed_is_found():
    first = sentences(200, 12, seed=2)
    changed = [[*words[:8], f"new{i}", *words[9:]] for i, words in enumerate(first)]
    known, rows = (pairs(*[(" ".join(words[:6]), " ".join(words[6:])) for words in half]) for half in (first, changed))
    assert copies.Pairs(known).nearly_held(rows).sum() >= 190
    assert not copies.Pairs(known).held(rows).any()


# ---------------------------------------------------------------- variety


@pytest.mark.parametrize(("texts", "n", "expected"), [
    (["a b a", "b"], 1, 2 / 4),  # a, b of a, b, a, b
    (["a b a", "b"], 2, 1.0),  # a b, b a; none across texts
    (["a b a b a"], 2, 2 / 4),
    (["a b a b a", "a b a b a"], 3, 2 / 6),
    (["a b c"], 3, 1.0),
])  # fmt: skip
def test_distinct_by_pencil(texts, n, expected):
    assert diversity.distinct_n(texts, n) == expected


def test_distinct_of_no_n_gram_is_unknown():
    assert math.isnan(diversity.distinct_n(["a b"], 3)) and math.isnan(diversity.distinct_n([], 1))


def test_self_bleu_by_pencil():
    """a b c d against a b c e: 3/4, 2/3, 1/2 of the n-grams, and for 0 of 1 half a count (1/2):
    (3/4 * 2/3 * 1/2 * 1/2) ** (1/4) = 0.125 ** 0.25; the other way round it is the same."""
    assert diversity.self_bleu(["a b c d", "a b c e"]) == pytest.approx(0.125**0.25)
    assert diversity.self_bleu(["a b c d", "a b c e", "a b c d"]) == pytest.approx((1 + 1 + 0.125**0.25) / 3)


def test_self_bleu_of_one_and_of_none_alike():
    assert diversity.self_bleu(["a b c d e"] * 5) == pytest.approx(1.0)
    assert diversity.self_bleu(["a b"] * 3) == pytest.approx(1.0)  # up to the longest n-gram there is
    assert diversity.self_bleu(["a b c d", "e f g h", "i j k l"]) < 0.01
    assert math.isnan(diversity.self_bleu(["a b c d"])) and math.isnan(diversity.self_bleu([]))


def test_self_bleu_s_sample_is_its_seed(monkeypatch):
    monkeypatch.setattr(diversity, "SAMPLE", 10)
    texts = ["a b c d e"] * 50 + [" ".join(words) for words in sentences(50, 5, seed=3)]
    found = [diversity.self_bleu(texts, seed) for seed in range(10)]
    assert found == [diversity.self_bleu(texts, seed) for seed in range(10)] and diversity.self_bleu(texts) == found[0]
    # of ten texts k are equal, those score 1; the others share no word with any, but for chance
    assert len({round(10 * value) for value in found}) > 2
    assert all(abs(10 * value - round(10 * value)) < 0.3 for value in found) and 0.2 < np.mean(found) < 0.8
    monkeypatch.setattr(diversity, "SAMPLE", 100)  # all of them: 50 of 100, whatever the seed
    assert diversity.self_bleu(texts, 0) == pytest.approx(diversity.self_bleu(texts, 1)) == pytest.approx(0.5, abs=0.01)


def test_compression_by_pencil():
    """zlib: 6 bytes of frame, 10 bits of a block's frame, 8 a letter: ab takes 26 bits, 4 bytes; with a newline, 5."""
    assert diversity.compression(["ab"]) == pytest.approx(2 / 10)
    assert diversity.compression(["a", "b"]) == pytest.approx(3 / 11)
    assert diversity.compression(["é"]) == pytest.approx(2 / 10)  # two bytes, of 9 bits each: 28, 4 bytes
    assert math.isnan(diversity.compression([])) and math.isnan(diversity.compression([""]))


def test_repetition_compresses_more():
    different = [" ".join(words) for words in sentences(100, 8, seed=4)]
    repeated = [different[i % 5] for i in range(100)]
    assert diversity.compression(repeated) > 5 * diversity.compression(different) > 5


@pytest.mark.parametrize(("texts", "expected"), [
    (["a b c d", "e f g h"], 1.0),  # 8 of 4
    (["a b", "a b", "b a"], 0.0),  # 2 of 2
    (["a b c", "a d d"], math.log2(4 / 3)),  # a b c, then d
    (["a", "b b"], 1.0),  # of three words the first one is the half
    (["a b c d", "x y x y"], math.log2(6 / 4)),
])  # fmt: skip
def test_growth_by_pencil(texts, expected):
    assert diversity.growth(texts) == pytest.approx(expected)


def test_growth_of_less_than_two_words_is_unknown():
    assert math.isnan(diversity.growth(["a"])) and math.isnan(diversity.growth([]))


@pytest.mark.parametrize(("texts", "expected"), [
    (["a b c", "a b", "a c"], ("a b", 2 / 3)),
    (["b x", "a y", "b x", "a y", "c"], ("a y", 2 / 5)),  # of equals the first in the alphabet
    (["a", "a b"], ("a", 1 / 2)),  # a single word is an opening
    ([], ("", 0.0)),
])  # fmt: skip
def test_openings_by_pencil(texts, expected):
    assert diversity.openings(texts) == pytest.approx(expected)


def test_describe_is_of_bare_texts():
    """a b, a b, a c: words 3 of 6, pairs 2 of 3, no three; the opening a b in 2 of 3; 2 words of 3, then all 3."""
    found = diversity.describe(pd.Series(["A b.", "a, B", "a c!"]))
    assert found["distinct-1"] == 3 / 6 and found["distinct-2"] == 2 / 3 and math.isnan(found["distinct-3"])
    assert found["most frequent opening"] == 2 / 3 and found["vocabulary growth"] == pytest.approx(math.log2(3 / 2))
    assert found["self-BLEU"] == diversity.self_bleu(["a b", "a b", "a c"])
    assert found["compression ratio"] == diversity.compression(["a b", "a b", "a c"])
    assert len(found) == 7
