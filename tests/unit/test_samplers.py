"""Who is drawn when, and how the next token is chosen."""

import math
from collections import Counter
from itertools import islice

import pandas as pd
import pytest
import torch

from dawgen_core import samplers
from dawgen_core.data.rows import few_shot_split
from dawgen_core.samplers import choose_token, penalise_repetition, seeded
from dawgen_core.tasks import TaskError


def test_seeded_streams_are_repeatable_and_distinct():
    parts = [(13,), (13, 0), (13, 1), (0, 13), (1, 13), (13, 1, 0), (21, 1), (0,), (0, 0)]
    first = [torch.rand(3, generator=seeded(*p)).tolist() for p in parts]
    assert first == [torch.rand(3, generator=seeded(*p)).tolist() for p in parts]
    assert len({tuple(x) for x in first}) == len(parts)


LABELS = [*"abc"] * 7 + ["b"] * 4


def split(seed: int, labels=LABELS, names=("a", "b", "c")) -> list[pd.DataFrame]:
    rows = pd.DataFrame({"row": range(len(labels)), "label": labels})
    return list(few_shot_split(rows, list(names), 3, seeded(seed), "rows.csv"))


def test_few_shot_splits_are_disjoint_and_balanced():
    for seed in range(20):
        train, dev = split(seed)
        assert len({*train["row"], *dev["row"]}) == 18
        assert train["label"].tolist() == dev["label"].tolist() == [*"aaabbbccc"]
        assert [LABELS[i] for i in train["row"]] == train["label"].tolist() and list(dev.index) == list(range(9))


def test_few_shot_splits_follow_the_seed_and_reach_every_row():
    draws = [[part["row"].tolist() for part in split(seed)] for seed in range(40)]
    assert draws[3] == [part["row"].tolist() for part in split(3)]
    assert draws[3] != draws[4]
    assert {i for train, _ in draws for i in train} == set(range(len(LABELS)))


def test_few_shot_splits_need_twice_the_shots():
    split(1, [*"ab"] * 6, "ab")
    with pytest.raises(TaskError, match="rows.csv: expected at least 6 rows of class b .*found 5"):
        split(1, [*"ab"] * 5 + ["a"], "ab")
    with pytest.raises(TaskError, match="class c .*found 0"):
        split(1, [*"ab"] * 6, "abc")


@pytest.mark.parametrize("n, size", [(7, 1), (7, 3), (7, 7), (3, 8), (1, 2)])
def test_cycle_draws_each_row_k_times_over_k_passes(n, size):
    k = 2 * size
    batches = list(islice(samplers.cycle(n, size, seeded(1)), k * n // size))
    assert all(len(batch) == size for batch in batches)
    drawn = [i for batch in batches for i in batch]
    assert Counter(drawn) == dict.fromkeys(range(n), k)
    assert all(sorted(drawn[p * n : (p + 1) * n]) == list(range(n)) for p in range(k))  # pass by pass


def test_cycle_shuffles_every_pass_anew_and_follows_the_seed():
    passes = list(islice(samplers.cycle(20, 20, seeded(1)), 3))
    assert passes[0] != passes[1] != passes[2] and passes[0] != sorted(passes[0])
    assert passes == list(islice(samplers.cycle(20, 20, seeded(1)), 3))
    for n, size in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            next(samplers.cycle(n, size, seeded(1)))


def test_class_balanced_batches_hold_every_class_alike():
    labels = [2, 0, 1, 0, 2, 1, 1, 0, 2, 2, 0, 1]
    batches = list(islice(samplers.class_balanced(labels, 2, seeded(1)), 6))
    for batch in batches:
        assert [labels[i] for i in batch] == [0, 0, 1, 1, 2, 2]
        assert len(set(batch)) == 6
    assert Counter(i for batch in batches for i in batch) == dict.fromkeys(range(12), 3)


@pytest.mark.parametrize("per_class", [2, 3])
def test_class_balanced_never_repeats_a_row_in_a_batch(per_class):
    """E5 pairs two rows of a class: with an odd number of rows a pair may not be one row twice."""
    labels = [0] * 5 + [1] * 7
    for batch in islice(samplers.class_balanced(labels, per_class, seeded(3)), 60):
        assert len(set(batch)) == len(batch)


# ---- decoding

def shares(logits: list[float], n: int = 20000, **decoding) -> list[float]:
    chosen = choose_token(torch.tensor([logits]).expand(n, -1), torch.rand(n, generator=seeded(1)), **decoding)
    return (torch.bincount(chosen, minlength=len(logits)) / n).tolist()


LOGITS = [math.log(p) for p in (0.1, 0.5, 0.25, 0.15)]


def test_repetition_penalty_by_pencil():
    # seen and positive: 6 / 1.5 = 4; seen and negative: -2 * 1.5 = -3; not seen: as it was
    logits, seen = torch.tensor([[6.0, -2.0, 5.0, -1.0, 0.0]]), torch.tensor([[True, True, False, False, True]])
    found = penalise_repetition(logits, seen, 1.5)
    assert found.tolist() == [[4.0, -3.0, 5.0, -1.0, 0.0]]
    assert choose_token(found, None).tolist() == [2]  # the penalty turned the row to token 2
    assert penalise_repetition(logits, seen, 1.0).tolist() == [[6.0, -2.0, 5.0, -1.0, 0.0]] == logits.tolist()


def test_temperature_zero_is_the_argmax_without_randomness():
    assert choose_token(torch.tensor([LOGITS, LOGITS[::-1]]), None).tolist() == [1, 2]


def test_temperature_by_pencil():
    assert shares(LOGITS, temperature=1.0) == pytest.approx([0.1, 0.5, 0.25, 0.15], abs=0.015)
    # 1/2 squares the odds: 0.01, 0.25, 0.0625, 0.0225 over their sum 0.345
    expected = [0.029, 0.7246, 0.1812, 0.0652]
    assert shares(LOGITS, temperature=0.5) == pytest.approx(expected, abs=0.015)


def test_top_k_by_pencil():
    # the two largest of 0.1, 0.5, 0.25, 0.15: 0.5 / 0.75 and 0.25 / 0.75
    assert shares(LOGITS, temperature=1.0, top_k=2) == pytest.approx([0, 0.6667, 0.3333, 0], abs=0.015)
    assert shares(LOGITS, temperature=1.0, top_k=1)[1] == 1
    assert shares(LOGITS, temperature=1.0, top_k=99) == shares(LOGITS, temperature=1.0)


def test_top_p_by_pencil():
    # the least set that reaches 0.7: 0.5 alone does not, 0.5 + 0.25 does; 0.4 and 1e-9 leave the first token
    assert shares(LOGITS, temperature=1.0, top_p=0.7) == pytest.approx([0, 0.6667, 0.3333, 0], abs=0.015)
    # 0.8 needs the third, 0.15: shares over 0.9
    expected = [0, 0.5556, 0.2778, 0.1667]
    assert shares(LOGITS, temperature=1.0, top_p=0.8) == pytest.approx(expected, abs=0.015)
    for top_p in (0.4, 1e-9):
        assert shares(LOGITS, temperature=1.0, top_p=top_p)[1] == 1


def test_top_p_counts_after_top_k_and_row_by_row():
    # top-2 leaves 2/3 and 1/3, so top_p 0.6 leaves the first alone; before the cut 0.6 would have kept two
    assert shares(LOGITS, temperature=1.0, top_k=2, top_p=0.6)[1] == 1
    rows = torch.tensor([LOGITS, LOGITS[::-1]])
    assert choose_token(rows, torch.tensor([0.9, 0.1]), temperature=1.0, top_p=0.4).tolist() == [1, 2]


def test_a_draw_by_pencil():
    # shares 0.1, 0.5, 0.25, 0.15 reach 0.1, 0.6, 0.85, 1
    numbers = torch.tensor([0.0, 0.05, 0.15, 0.59, 0.61, 0.84, 0.86, 1 - 2**-53], dtype=torch.float64)
    rows = torch.tensor([LOGITS]).expand(len(numbers), -1)
    assert choose_token(rows, numbers, temperature=1.0).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    # top-2 leaves tokens 1 and 2, up to 2/3 and 1: never one without a share, at neither end
    assert choose_token(rows, numbers, temperature=1.0, top_k=2).tolist() == [1, 1, 1, 1, 1, 2, 2, 2]
    assert choose_token(rows, numbers, temperature=1.0, top_p=0.7).tolist() == [1, 1, 1, 1, 1, 2, 2, 2]


def test_a_draw_depends_on_its_own_row_and_number_only():
    logits, numbers = torch.randn(50, 9, generator=seeded(1)), torch.rand(50, generator=seeded(2))
    rule = {"temperature": 0.7, "top_k": 7, "top_p": 0.9}
    together = choose_token(logits, numbers, **rule).tolist()
    assert together == [choose_token(logits[i : i + 1], numbers[i : i + 1], **rule).item() for i in range(50)]
    assert together[::-1] == choose_token(logits.flip(0), numbers.flip(0), **rule).tolist()
    assert together != choose_token(logits, numbers.flip(0), **rule).tolist()
