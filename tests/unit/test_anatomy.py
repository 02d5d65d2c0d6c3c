"""What is wrong with labelled pairs: five rows by hand, counted by pencil."""

import pandas as pd
import pytest

from dawgen_core.audit import anatomy
from dawgen_core.pocket.verdicts import judge

TEXTS = [  # (sentence 1, sentence 2, label), then what the oracle says of it
    ("a woman is washing red cars", "a lady is rinsing automobiles", "entailment"),  # right
    ("a woman is washing red cars", "a man is washing green cars", "entailment"),  # agent and colour at fault
    ("a woman is washing red cars", "a woman is red washing cars", "entailment"),  # unreadable
    ("a woman is washing red cars", "a lady is rinsing green signs", "contradiction"),  # object at fault
    ("a woman is washing red cars", "a woman is not washing red cars", "contradiction"),  # right
]


def frame(rows: list[tuple]) -> pd.DataFrame:
    """(label, in_grammar, label_right, relation, wrong) as the rows of a task have them."""
    columns = ["label", "in_grammar", "label_right", "relation", "wrong"]
    return pd.DataFrame(rows, columns=columns).astype({"label_right": "boolean", "relation": "string"})


RIGHT = ("entailment", True, True, "entailment", "")
TWO_SLOTS = ("entailment", True, False, "neutral", "agent,colour")
UNREADABLE = ("entailment", False, None, None, "")
ONE_SLOT = ("contradiction", True, False, "neutral", "object")
IN_ANOTHER_GENRE = ("contradiction", False, True, "contradiction", "")  # it can be read, and is right
FIVE = frame([RIGHT, TWO_SLOTS, UNREADABLE, ONE_SLOT, IN_ANOTHER_GENRE])
ALIKE = frame([("neutral", True, False, "equivalent", "too alike"), ("neutral", True, False, "contradiction", "agent")])


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    sets = {("pocket_snli", 13, "dawgen"): FIVE, ("pocket_snli", 21, "dawgen"): FIVE[3:], ("pocket_snli", 13, "mle"): ALIKE}
    return anatomy.judged(sets)


def test_judged_rows_carry_the_key_of_their_set(rows):
    assert rows.columns.tolist() == [*anatomy.KEYS, "in_grammar", "label_right", "relation", "wrong"]
    assert rows.index.tolist() == list(range(5 + 2 + 2))
    counts = rows.groupby(["source", "seed"]).size()
    assert counts.to_dict() == {("dawgen", 13): 5, ("dawgen", 21): 2, ("mle", 13): 2}
    assert set(rows["task"]) == {"pocket_snli"} and rows["label_right"].isna().sum() == 1


def test_rows_without_a_verdict_are_left_out():
    plain = FIVE[["label"]]
    both = anatomy.judged({("mrpc", 13, "dawgen"): plain, ("pocket_snli", 13, "dawgen"): FIVE})
    assert set(both["task"]) == {"pocket_snli"} and len(both) == 5
    none = anatomy.judged({("mrpc", 13, "dawgen"): plain})
    assert none.empty and none.columns.tolist() == both.columns.tolist()


def test_label_quality_by_pencil(rows):
    # seed 13, entailment: 3 pairs, 2 in the grammar, 1 right of 2 that can be read; contradiction: 1 of 2, 1 of 2
    found = anatomy.label_quality(rows).set_index(["source", "seed", "label"])
    assert found.loc[("dawgen", 13, "entailment"), ["in_grammar", "label_right", "n"]].tolist() == [2 / 3, 0.5, 3]
    for seed in (13, 21):
        assert found.loc[("dawgen", seed, "contradiction"), ["in_grammar", "label_right", "n"]].tolist() == [0.5, 0.5, 2]
    assert found.loc[("mle", 13, "neutral"), ["in_grammar", "label_right", "n"]].tolist() == [1.0, 0.0, 2]
    assert len(found) == 4


def test_a_label_that_nobody_can_read_has_no_share():
    found = anatomy.label_quality(anatomy.judged({("pocket_snli", 13, "dawgen"): frame([UNREADABLE] * 2)}))
    assert found["in_grammar"].tolist() == [0.0] and found["label_right"].isna().all() and found["n"].tolist() == [2]


def test_slots_at_fault_by_pencil(rows):
    # dawgen: 4 + 2 pairs can be read; agent and colour once (one pair, both slots), object once in each seed
    found = anatomy.slots_at_fault(rows).set_index(["source", "slot"])
    assert set(found["task"]) == {"pocket_snli"}
    assert found["pairs"].to_dict() == {("dawgen", "agent"): 1, ("dawgen", "colour"): 1, ("dawgen", "object"): 2,
                                        ("mle", "too alike"): 1, ("mle", "agent"): 1}  # fmt: skip
    assert found["read"].to_dict() == {key: 6 if key[0] == "dawgen" else 2 for key in found.index}
    assert found.loc[("dawgen", "object"), "share"] == pytest.approx(2 / 6)
    assert found.loc[("mle", "too alike"), "share"] == 0.5


def test_where_all_is_right_no_slot_is_at_fault():
    assert anatomy.slots_at_fault(anatomy.judged({("pocket_snli", 13, "oracle"): frame([RIGHT] * 3)})).empty


def test_verdicts_of_the_oracle_are_counted():
    """Written pairs from the oracle's verdict to the counts."""
    written = pd.DataFrame(TEXTS, columns=["sentence1", "sentence2", "label"])
    verdicts = judge("pocket_snli", written)
    types = {"in_grammar": bool, "label_right": "boolean", "relation": "string"}
    told = written.join(verdicts.assign(wrong=verdicts["wrong"].map(",".join)).astype(types))
    rows = anatomy.judged({("pocket_snli", 13, "dawgen"): told})
    quality = anatomy.label_quality(rows).set_index("label")
    assert quality["n"].to_dict() == {"entailment": 3, "contradiction": 2} and quality["label_right"].tolist() == [0.5, 0.5]
    assert anatomy.slots_at_fault(rows).set_index("slot")["pairs"].to_dict() == {"agent": 1, "colour": 1, "object": 1}
