"""The two loops: both gradients of Algorithm 2, stacks, strategies, selection, and Algorithm 1 over whole runs."""

import itertools
import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from transformers import optimization

from dawgen_core import backbones, losses, prompts, samplers, surgery, tuning
from dawgen_core.data import encoding
from dawgen_core.prompts import EncodedPairs
from dawgen_core.tuning import Condition, DivergedError, GeneratorJob, predict, tune_prompts

P = 5
ONE_GRADIENT = ("real", "syn", "pooled", "pooled_smoothed", "real_then_syn", "syn_then_real")
STRATEGIES = (*ONE_GRADIENT, "paired", "paired_surgery", "paired_symmetric", "paired_drop")


@pytest.fixture(scope="module")
def settings(smoke):
    options = {"steps": 6, "eval_every": 3, "schedule": "constant", "eval_batch_size": 7}
    return smoke.prompt_tuning.model_copy(update=options)


@pytest.fixture(scope="module")
def words(classifier, mrpc):
    verbalizer = [mrpc.classifier.verbalizer[label] for label in mrpc.labels]
    return torch.tensor([backbones.word_id(classifier.tokenizer, word, classifier.name) for word in verbalizer])


@pytest.fixture(scope="module")
def split(mrpc_rows):
    return mrpc_rows.few_shot(13)


@pytest.fixture(scope="module")
def pairs(split, mrpc, classifier):
    """(real, synthetic, dev): the synthetic rows are real ones with the wrong labels, so that gradients conflict."""
    train, dev = (encoding.encode_pairs(mrpc, classifier, part, max_tokens=64) for part in split)
    return train, flipped(EncodedPairs(train.ids[::-1], train.labels[::-1], 0)), dev


def flipped(rows: EncodedPairs) -> EncodedPairs:
    return EncodedPairs(rows.ids, [1 - y for y in rows.labels], 0)


def stack(n: int, seed: int = 0, width: int = 32) -> torch.Tensor:
    return torch.randn(n, P, width, dtype=torch.float64, generator=samplers.seeded(seed))


def accuracy(logits_BC: torch.Tensor, labels: list[int]) -> float:
    return (logits_BC.argmax(-1) == torch.tensor(labels)).double().mean().item()


# ---- gradients and steps of Algorithm 2

def one_gradient(prompt_PD, rows, classifier, words):
    """The mean loss of some rows and its gradient, row by row and without padding."""
    leaf = prompt_PD.clone().requires_grad_()
    loss = 0.0
    for ids, label in zip(rows.ids, rows.labels, strict=True):
        kept = torch.ones(1, len(ids), dtype=torch.bool)
        logits = classifier.label_word_logits(torch.tensor([ids]), kept, words, leaf[None])
        loss = loss - logits.log_softmax(-1)[0, label] / len(rows.ids)
    (grad,) = torch.autograd.grad(loss, leaf)
    return loss.item(), grad.flatten()


def test_both_gradients_equal_two_separate_backward_passes(classifier64, words, pairs):
    real, syn, _ = pairs
    prompts_GPD = stack(3)
    batches = [(real.take([0, 20, 1]), syn.take([3, 4])), (real.take([5]), None), (None, syn.take([2, 9, 9, 30]))]
    loss_G2, grad_G2N = tuning.both_gradients(prompts_GPD, batches, classifier64, words)
    assert loss_G2.shape == (3, 2) and grad_G2N.shape == (3, 2, P * 32)
    for g, pair in enumerate(batches):
        for side, rows in enumerate(pair):
            if rows is None:
                assert loss_G2[g, side].isnan() and (grad_G2N[g, side] == 0).all()
                continue
            loss, grad = one_gradient(prompts_GPD[g], rows, classifier64, words)
            assert loss_G2[g, side].item() == pytest.approx(loss, rel=1e-12)
            assert (grad_G2N[g, side] - grad).norm() <= 1e-10 * grad.norm()


def test_label_smoothing_belongs_to_its_prompt(classifier64, words, pairs):
    """One batch, three shares: every prompt's loss and gradient are those of its own share."""
    rows, prompts_GPD, shares = pairs[0].take([0, 20, 7]), stack(1).expand(3, -1, -1), [0.0, 0.15, 0.9]
    loss_G2, grad_G2N = tuning.both_gradients(prompts_GPD, [(rows, None)] * 3, classifier64, words, shares)
    ids, kept = prompts.padded(rows.ids, 0)
    for g, share in enumerate(shares):
        leaf = prompts_GPD[g].clone().requires_grad_()
        logits = classifier64.label_word_logits(ids, kept, words, leaf.expand(3, -1, -1))
        loss = F.cross_entropy(logits, torch.tensor(rows.labels), label_smoothing=share)
        (grad,) = torch.autograd.grad(loss, leaf)
        assert loss_G2[g, 0].item() == pytest.approx(loss.item(), rel=1e-12)
        assert (grad_G2N[g, 0] - grad.flatten()).norm() <= 1e-10 * grad.norm()


def test_strategies_and_rules_are_complete():
    assert tuning.STRATEGIES == STRATEGIES
    assert tuning.RULES_OF == {"paired": "none", "paired_surgery": "one_sided",
                               "paired_symmetric": "symmetric", "paired_drop": "drop"}  # fmt: skip
    assert set(STRATEGIES) == {*ONE_GRADIENT, *tuning.RULES_OF} and set(tuning.RULES_OF.values()) == set(surgery.RULES)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_first_step_is_surgery_then_clipping_then_the_optimiser(classifier64, words, pairs, settings, strategy):
    """With a clip far below Adam's eps the step shows the clipped length, so neither part nor their order can be lost."""
    real, syn, dev = pairs
    start = stack(1)
    condition = Condition(strategy, 13, real, syn, dev)
    options = {"steps": 1, "optimiser": "adamw", "lr": 0.01, "weight_decay": 0.0, "clip_norm": 1e-8, "eps": 0.5}
    one = settings.model_copy(update=options)
    (found,) = tune_prompts(start, [condition], classifier64, words, one, progress=False)
    batch, smoothing = next(tuning.batches(condition, one)), 0.15 if strategy == "pooled_smoothed" else 0.0
    _, gradients = tuning.both_gradients(start, [batch], classifier64, words, smoothing)
    if strategy in ONE_GRADIENT:  # its step does not know eps
        direction = gradients[0, 0 if batch[0] else 1]
        assert math.isnan(found.trace[0]["conflict"]) and math.isnan(found.trace[0]["cosine"])
    else:
        direction, report = surgery.combine(*gradients[0], eps=0.5, rule=tuning.RULES_OF[strategy])
        assert found.trace[0]["conflict"] == report.conflict.item() == 1.0
        assert found.trace[0]["cosine"] == pytest.approx(report.cosine.item())
    clipped = direction * 1e-8 / (direction.norm() + 1e-6)
    expected = start[0].flatten() - 0.01 * clipped / (clipped.abs() + 1e-8)  # Adam's first step with eps 1e-8
    assert (found.last_PD.flatten() - expected).norm() < 1e-6 * (expected - start[0].flatten()).norm()


def conditions(pairs, strategies=STRATEGIES, seeds=(13,)) -> list[Condition]:
    real, syn, dev = pairs
    return [Condition(s, seed, real, None if s == "real" else syn, dev) for s in strategies for seed in seeds]


@pytest.mark.parametrize("optimiser", ["adafactor", "adamw"])
def test_a_stack_equals_its_prompts_one_at_a_time(classifier64, words, pairs, settings, optimiser):
    every = conditions(pairs, seeds=(13, 21))
    starts, settings = stack(len(every)), settings.model_copy(update={"optimiser": optimiser})
    together = tune_prompts(starts, every, classifier64, words, settings, progress=False)
    for start, condition, found in zip(starts, every, together, strict=True):
        (alone,) = tune_prompts(start[None], [condition], classifier64, words, settings, progress=False)
        assert (found.last_PD - alone.last_PD).abs().max() < 1e-7, condition.strategy
        assert found.best_step == alone.best_step and found.best_dev_accuracy == alone.best_dev_accuracy
        for a, b in zip(found.trace, alone.trace, strict=True):
            assert a == pytest.approx(b, rel=1e-6, nan_ok=True)


def test_each_pair_of_strategies_differs(classifier64, words, pairs, settings):
    found = tune_prompts(stack(1).expand(10, -1, -1), conditions(pairs), classifier64, words, settings, progress=False)
    for (a, one), (b, other) in itertools.combinations(zip(STRATEGIES, found, strict=True), 2):
        assert (one.last_PD - other.last_PD).abs().max() > 1e-3, (a, b)
    by_name = dict(zip(STRATEGIES, found, strict=True))
    assert sum(row["conflict"] for row in by_name["paired_surgery"].trace) > 0  # else surgery would be nothing
    assert by_name["paired"].trace[0] == by_name["paired_surgery"].trace[0]  # same start, same rows, same gradients
    assert all(math.isnan(row["loss_syn"]) for row in by_name["real"].trace + by_name["pooled"].trace)
    assert [math.isnan(row["loss_syn"]) for row in by_name["real_then_syn"].trace] == [True] * 4 + [False, True]
    assert list(by_name["paired"].trace[2]) == ["step", "loss_real", "loss_syn", "cosine", "conflict", "dev_accuracy"]
    assert all(math.isnan(row["loss_real"]) for row in by_name["syn"].trace)


def test_frozen_means_frozen(classifier, words, pairs, settings):
    before, start = classifier.weights_digest(), stack(10).float()
    kept = start.clone()
    tune_prompts(start, conditions(pairs), classifier, words, settings, progress=False)
    assert classifier.weights_digest() == before and torch.equal(start, kept)
    assert all(p.grad is None and not p.requires_grad for p in classifier.model.parameters())


def test_same_seed_same_numbers(classifier, words, pairs, settings):
    runs = [tune_prompts(stack(2).float(), conditions(pairs, ["paired_surgery"], (13, 21)), classifier, words, settings,
                         progress=False) for _ in range(2)]  # fmt: skip
    assert all(torch.equal(a.last_PD, b.last_PD) for a, b in zip(*runs, strict=True))
    assert not torch.equal(runs[0][0].last_PD, runs[0][1].last_PD)


# ---- batches

def marked(n: int, mark: int) -> EncodedPairs:
    return EncodedPairs([[mark, i] for i in range(n)], [i % 2 for i in range(n)], 0)


SIZES = {"real": (4, None), "syn": (None, 6), "pooled": (10, None), "pooled_smoothed": (10, None)}


@pytest.mark.parametrize("strategy, sizes", (SIZES | dict.fromkeys(tuning.RULES_OF, (4, 6))).items())
def test_batches_of_every_strategy(settings, strategy, sizes):
    settings = settings.model_copy(update={"batch_real_per_class": 2, "batch_syn_per_class": 3})
    condition = Condition(strategy, 13, marked(8, 1), marked(12, 2), marked(2, 3))
    seen = [set(), set()]
    for pair in itertools.islice(tuning.batches(condition, settings), 12):
        assert tuple(None if rows is None else len(rows.ids) for rows in pair) == sizes
        for side, rows in enumerate(pair):
            seen[side] |= {tuple(ids) for ids in rows.ids} if rows else set()
            assert rows is None or all(y == ids[1] % 2 for ids, y in zip(rows.ids, rows.labels, strict=True))
    real, syn = ({(mark, i) for i in range(n)} for mark, n in ((1, 8), (2, 12)))
    both = {"real": [real, set()], "syn": [set(), syn]} | dict.fromkeys(("pooled", "pooled_smoothed"), [real | syn, set()])
    assert seen == both.get(strategy, [real, syn])


@pytest.mark.parametrize("n_real, n_syn", [(4, 10), (10, 4)])
def test_paired_cycles_the_smaller_set(settings, n_real, n_syn):
    settings = settings.model_copy(update={"batch_real_per_class": 1, "batch_syn_per_class": 1})
    condition = Condition("paired", 13, marked(n_real, 1), marked(n_syn, 2), marked(2, 3))
    steps = itertools.islice(tuning.batches(condition, settings), 10)
    drawn = Counter(tuple(ids) for pair in steps for rows in pair for ids in rows.ids)
    assert drawn == {(1, i): 20 // n_real for i in range(n_real)} | {(2, i): 20 // n_syn for i in range(n_syn)}


@pytest.mark.parametrize("strategy", tuning.ORDER_OF)
def test_in_turn_a_short_training_reads_both_kinds_in_three_epochs(settings, strategy):
    """30 steps, 8 real and 600 synthetic rows in batches of 4: an epoch is 2 real steps and 8 synthetic ones."""
    settings = settings.model_copy(update={"batch_real_per_class": 1, "batch_syn_per_class": 1, "steps": 30})
    condition = Condition(strategy, 13, marked(8, 1), marked(600, 2), marked(2, 3))
    steps = list(itertools.islice(tuning.batches(condition, settings), settings.steps))
    kinds = [real is None for real, _ in steps]
    epoch = [False] * 2 + [True] * 8
    assert kinds == 3 * (epoch if strategy == "real_then_syn" else epoch[::-1])
    drawn = Counter(tuple(ids) for pair in steps for rows in pair if rows for ids in rows.ids)
    assert sum(mark == 2 for mark, _ in drawn) == 96 and set(drawn.values()) == {1, 3}  # synthetic rows once, real thrice


def epochs(strategy: str, settings, n: int, seed: int = 13) -> list[list[list[int]]]:
    """n epochs of 8 real (marked 1) and 13 synthetic rows (marked 2) in batches of 6, as rows in their order."""
    settings = settings.model_copy(update={"batch_real_per_class": 2, "batch_syn_per_class": 1, "steps": 30})
    stream = tuning.batches(Condition(strategy, seed, marked(8, 1), marked(13, 2), marked(2, 3)), settings)
    out = []
    for _ in range(n):
        pairs = [next(stream) for _ in range(5)]
        parts = [real or syn for real, syn in pairs]
        sizes = {"real_then_syn": [6, 2, 6, 6, 1], "syn_then_real": [6, 6, 1, 6, 2]}[strategy]
        assert [len(part.ids) for part in parts] == sizes and all((real is None) != (syn is None) for real, syn in pairs)
        assert all(ids[0] == (2 if real is None else 1) for real, syn in pairs for ids in (real or syn).ids)
        assert all(y == ids[1] % 2 for part in parts for ids, y in zip(part.ids, part.labels, strict=True))
        out.append([ids for part in parts for ids in part.ids])
    return out


def test_in_turn_every_epoch_is_every_row_once_one_kind_after_the_other(settings):
    """8 real rows in batches of 6 and 2, 13 synthetic ones in 6, 6 and 1; afresh in every epoch, by the condition's seed."""
    real_first, syn_first = epochs("real_then_syn", settings, 3), epochs("syn_then_real", settings, 3)
    real, syn = ([[mark, i] for i in range(n)] for mark, n in ((1, 8), (2, 13)))
    for one, other in zip(real_first, syn_first, strict=True):
        assert sorted(one[:8]) == real and sorted(one[8:]) == syn
        assert other == one[8:] + one[:8]  # the same streams
    for a, b in itertools.combinations([*real_first, real, *epochs("real_then_syn", settings, 1, seed=21)], 2):
        assert a[:8] != b[:8]
    assert real_first[0][8:] != real_first[1][8:]


def test_paired_and_surgery_see_the_same_rows(settings):
    streams = [tuning.batches(Condition(s, 13, marked(8, 1), marked(12, 2), marked(2, 3)), settings)
               for s in ("paired", "paired_surgery")]  # fmt: skip
    assert all(a == b for a, b in itertools.islice(zip(*streams, strict=True), 9))


def test_every_strategy_with_real_rows_alone_sees_the_same_ones(settings):
    settings = settings.model_copy(update={"batch_syn_per_class": 3})
    real, syn, paired = (tuning.batches(Condition(s, 13, marked(8, 1), marked(12, 2), marked(2, 3)), settings)
                         for s in ("real", "syn", "paired"))  # fmt: skip
    for (a, _), (_, b), both in itertools.islice(zip(real, syn, paired, strict=True), 9):
        assert both == (a, b)


def test_bad_conditions_are_refused(classifier, words, pairs, settings):
    real, syn, dev = pairs
    with pytest.raises(ValueError, match="expected synthetic rows, found none"):
        next(tuning.batches(Condition("paired", 13, real, None, dev), settings))
    with pytest.raises(ValueError, match="strategy: expected"):
        next(tuning.batches(Condition("mixed", 13, real, syn, dev), settings))
    with pytest.raises(ValueError, match="one prompt per condition, found 2 and 1"):
        tune_prompts(stack(2).float(), [Condition("real", 13, real, None, dev)], classifier, words, settings)


# ---- learning, selection, prediction

@pytest.fixture(scope="module")
def learnt(classifier, words, pairs, smoke):
    """A prompt trained on its own dev rows, and one trained on the same rows with flipped labels."""
    real, _, _ = pairs
    few = real.take([0, 1, 2, 16, 17, 18])
    settings = smoke.prompt_tuning.model_copy(update={"steps": 60, "eval_every": 5, "lr": 0.1})
    made = [Condition("real", 13, rows, None, rows) for rows in (few, flipped(few))]
    start = prompts.initial_prompt(classifier, 8)
    return few, start, tune_prompts(start.expand(2, -1, -1), made, classifier, words, settings, progress=False)


def test_a_toy_problem_is_learnt(learnt):
    for found in learnt[2]:
        trace = [row["loss_real"] for row in found.trace]
        assert sum(trace[-10:]) < 0.5 * sum(trace[:10])
        assert found.best_dev_accuracy == 1.0


def test_flipped_labels_flip_the_accuracy(learnt, classifier, words):
    few, _, (own, other) = learnt
    right, wrong = predict(torch.stack([own.best_PD, other.best_PD]), [few, few], classifier, words, 99)
    assert accuracy(right, few.labels) == 1.0 and accuracy(wrong, few.labels) == 0.0
    assert accuracy(right, flipped(few).labels) == 0.0
    (swapped,) = predict(own.best_PD[None], [few], classifier, words.flip(0), 99)  # the verbalizer's order
    assert accuracy(swapped, few.labels) == 0.0
    assert torch.allclose(swapped, right.flip(1), atol=1e-5)


def test_the_best_prompt_is_the_first_with_the_best_dev_accuracy(learnt, classifier, words):
    few, start, (found, _) = learnt
    seen = {row["step"]: row["dev_accuracy"] for row in found.trace if "dev_accuracy" in row}
    assert list(seen) == list(range(4, 60, 5))
    assert found.best_dev_accuracy == max(seen.values())
    assert found.best_step == next(step for step, value in seen.items() if value == max(seen.values()))
    assert found.last_dev_accuracy == seen[59]
    for prompt, value in ((found.best_PD, found.best_dev_accuracy), (found.last_PD, found.last_dev_accuracy)):
        assert accuracy(predict(prompt[None], [few], classifier, words, 99)[0], few.labels) == value
    assert not torch.equal(found.best_PD, found.last_PD) and not torch.equal(found.last_PD, start)


def test_the_last_step_is_always_evaluated(classifier, words, pairs, settings):
    odd, heard = settings.model_copy(update={"steps": 5, "eval_every": 3}), []
    (found,) = tune_prompts(stack(1).float(), conditions(pairs, ["real"]), classifier, words, odd, progress=False,
                            on_dev=heard.append)  # fmt: skip
    assert [row["step"] for row in found.trace if "dev_accuracy" in row] == [2, 4]
    (first,), (last,) = heard  # each time, the dev rows' logits of the one condition
    assert torch.equal(last, predict(found.last_PD[None], [pairs[2]], classifier, words, odd.eval_batch_size)[0])
    assert first.shape == last.shape and not torch.equal(first, last)


def test_predictions_do_not_depend_on_the_batch(classifier64, words, pairs):
    real, syn, dev = pairs
    rows, prompts_GPD = [real, dev.take([0, 3, 5]), syn], stack(3)
    whole = predict(prompts_GPD, rows, classifier64, words, 999)
    assert [len(x) for x in whole] == [32, 3, 32]
    for size in (1, 7):
        for a, b in zip(whole, predict(prompts_GPD, rows, classifier64, words, size), strict=True):
            assert (a - b).abs().max() < 1e-6  # float32 outputs of float64 sums
    for g in range(3):
        (alone,) = predict(prompts_GPD[g : g + 1], [rows[g]], classifier64, words, 999)
        assert (alone - whole[g]).abs().max() < 1e-6
    order = torch.randperm(32, generator=samplers.seeded(1)).tolist()
    (mixed,) = predict(prompts_GPD[:1], [real.take(order)], classifier64, words, 5)
    assert (mixed - whole[0][order]).abs().max() < 1e-6


def test_prediction_without_a_prompt(classifier, words, pairs):
    (found,) = predict(None, [pairs[2]], classifier, words, 5)
    ids, kept = prompts.padded(pairs[2].ids, 0)
    assert torch.allclose(found, classifier.label_word_logits(ids, kept, words), atol=1e-5)


# ---- what stops a condition, or the run

@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_prompt_that_is_not_finite_stops_at_once(classifier, words, pairs, settings, bad, monkeypatch):
    """Every strategy has its error; nothing is left to do, so the loop ends."""
    start, calls = stack(10).float(), counted(monkeypatch, "both_gradients")
    start[:, 2, 3] = bad
    found = tune_prompts(start, conditions(pairs), classifier, words, settings, progress=False)
    assert len(calls) == 1
    for strategy, one, before in zip(STRATEGIES, found, start, strict=True):
        assert one.error == (f"strategy {strategy}, seed 13, step 0: expected finite losses and gradients, found NaN or "
                             "infinity; lower prompt_tuning.lr")  # fmt: skip
        assert one.trace == [] and one.best_step == -1 and torch.equal(one.best_PD.nan_to_num(), before.nan_to_num())


def counted(monkeypatch, name: str, change=lambda call, found: found) -> list:
    """The positional arguments of every call of a function of `tuning`; change(number of the call, result) is returned."""
    calls, original = [], getattr(tuning, name)

    def function(*args):
        calls.append(args)
        return change(len(calls) - 1, original(*args))

    monkeypatch.setattr(tuning, name, function)
    return calls


BAD = 6  # the condition that diverges: paired


@pytest.mark.parametrize("what, value", [(0, math.inf), (1, math.nan), (1, math.inf)], ids=["loss", "nan", "infinity"])
def test_a_condition_that_diverges_stops_alone(classifier64, words, pairs, settings, monkeypatch, what, value):
    """At step 4 of 6, after the evaluation of step 2: the others end as in a run without it."""
    every, starts = conditions(pairs), stack(10)
    others = [g for g in range(10) if g != BAD]
    expected = tune_prompts(starts[others], [every[g] for g in others], classifier64, words, settings, progress=False)
    short = settings.model_copy(update={"steps": 4})
    (until,) = tune_prompts(starts[BAD : BAD + 1], every[BAD : BAD + 1], classifier64, words, short, progress=False)

    def poisoned(call, found):
        if call == 4:
            found[what][BAD, 0] = value
        return found

    calls = counted(monkeypatch, "both_gradients", poisoned)
    found = tune_prompts(starts, every, classifier64, words, settings, progress=False)
    assert [pairs[BAD] == (None, None) for _, pairs, *_ in calls] == [False] * 5 + [True]
    stopped = found.pop(BAD)
    assert stopped.error.startswith("strategy paired, seed 13, step 4: expected finite losses and gradients")
    assert [row["step"] for row in stopped.trace] == [0, 1, 2, 3] and stopped.best_step == 2
    assert (stopped.last_PD - until.last_PD).abs().max() < 1e-7
    assert stopped.best_PD.isfinite().all() and not torch.equal(stopped.best_PD, starts[BAD])
    for one, other in zip(found, expected, strict=True):
        assert one.error is None and one.best_step == other.best_step
        assert (one.last_PD - other.last_PD).abs().max() < 1e-7
        for a, b in zip(one.trace, other.trace, strict=True):
            assert a == pytest.approx(b, rel=1e-6, nan_ok=True)


def test_logits_that_are_not_finite_are_never_selected(classifier, words, pairs, settings, monkeypatch):
    often = settings.model_copy(update={"eval_every": 2})

    def poisoned(call, found):
        return [found[0].clone().index_fill_(0, torch.tensor([5]), math.nan), found[1]] if call == 1 else found

    counted(monkeypatch, "predict", poisoned)
    stopped, other = tune_prompts(stack(2).float(), conditions(pairs, ["real", "paired"]), classifier, words, often,
                                  progress=False)  # fmt: skip
    assert stopped.error.startswith("strategy real, seed 13, step 3: expected finite logits of the dev rows, found NaN")
    assert stopped.best_step == 1 and [row["step"] for row in stopped.trace if "dev_accuracy" in row] == [1]
    assert other.error is None and len(other.trace) == 6


NO_MEMORY = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), MemoryError(),
             RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried"),
             RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4000000000000 bytes.")]  # fmt: skip


def raising(error):
    def function(*args):
        raise error

    return function


@pytest.mark.parametrize("error", NO_MEMORY, ids=["cuda", "python", "linux", "windows"])
def test_too_little_memory_says_what_to_do(classifier, words, pairs, settings, generator_run, monkeypatch, error):
    monkeypatch.setattr(tuning, "both_gradients", raising(error))
    monkeypatch.setattr(tuning.bilevel, "algorithm_1_step", raising(error))
    with pytest.raises(MemoryError, match="prompt_tuning.stack: expected memory for 10 at once.*set it to 5") as found:
        tune_prompts(stack(10).float(), conditions(pairs), classifier, words, settings, progress=False)
    assert found.value.__cause__ is error
    layout, options, jobs, *_ = generator_run  # the first stack: mle of both seeds
    with pytest.raises(MemoryError, match="generator_tuning.stack: expected memory for 2 at once.*set it to 1"):
        tuning.tune_generators(layout, jobs, options, progress=False)


def test_other_errors_pass_as_they_are(classifier, words, pairs, settings, monkeypatch):
    error = RuntimeError("expected all tensors on the same device")
    monkeypatch.setattr(tuning, "both_gradients", raising(error))
    with pytest.raises(RuntimeError) as found:
        tune_prompts(stack(1).float(), conditions(pairs, ["real"]), classifier, words, settings, progress=False)
    assert found.value is error


def test_clip_each_by_pencil():
    # norms 5 and 0.5: the first is scaled by 1/5, the second stays; each by its own norm
    grad = torch.tensor([[[3.0], [4.0]], [[0.3], [0.4]], [[0.0], [0.0]]])
    same = grad
    tuning.clip_each(grad, 1.0)
    assert same is grad
    assert torch.allclose(grad, torch.tensor([[[0.6], [0.8]], [[0.3], [0.4]], [[0.0], [0.0]]]), atol=1e-6)


def test_schedules_by_pencil(settings):
    # cosine over 4 steps: 1, (1 + cos 45 deg) / 2 = 0.8536, 0.5, 0.1464 times the rate
    for schedule, expected in (("cosine", [1, 0.8536, 0.5, 0.1464]), ("constant", [1, 1, 1, 1])):
        prompt = torch.zeros(2, 3, requires_grad=True)
        options = settings.model_copy(update={"schedule": schedule, "steps": 4, "lr": 0.3})
        optimiser, scheduler = tuning.optimiser_of([prompt], options)
        rates = []
        for _ in range(4):
            rates.append(optimiser.param_groups[0]["lr"] / 0.3)
            prompt.grad = torch.ones_like(prompt)
            optimiser.step()
            scheduler.step()
        assert rates == pytest.approx(expected, abs=1e-4)


# ---- Algorithm 1 over whole runs

@pytest.fixture(scope="module")
def generator_run(smoke, mrpc, generator, split):
    settings = smoke.generator_tuning.model_copy(update={"steps": 12, "lr": 0.02})
    train = split[0]
    rows = [(generator.ids(a), generator.ids(b)) for a, b in zip(train.sentence1, train.sentence2, strict=True)]
    labels = [mrpc.number(label) for label in train.label]
    jobs = [GeneratorJob(kind, seed, rows, labels) for seed in (13, 21) for kind in ("mle", "fewgen", "dawgen")]
    layout = prompts.PromptLayout(mrpc, generator, settings)
    before = generator.weights_digest()
    tuned = tuning.tune_generators(layout, jobs, settings, progress=False)
    return layout, settings, jobs, tuned, before


def test_generators_are_returned_in_order_and_all_differ(generator_run):
    layout, _, jobs, tuned, _ = generator_run
    assert [one.net is None for one in tuned] == [job.kind == "mle" for job in jobs]
    for one in tuned:
        assert one.q_CSD.shape == layout.initial().shape and [row["step"] for row in one.trace] == list(range(12))
        assert not torch.equal(one.q_CSD, layout.initial())
    for one, other in itertools.combinations(tuned, 2):
        assert not torch.equal(one.q_CSD, other.q_CSD)


def test_the_trace_says_what_was_lost(generator_run):
    _, _, jobs, tuned, _ = generator_run
    for job, one in zip(jobs, tuned, strict=True):
        for row in one.trace:
            assert row["loss"] == pytest.approx(row["lm_loss"] + row["alignment"], rel=1e-6)
            assert (row["alignment"] != 0) == (job.kind == "dawgen")
            assert math.isnan(row["discrimination"]) == (job.kind == "mle")
            assert 0 < row["largest_weight"] < 1


def test_kinds_of_one_seed_see_the_same_rows(generator_run):
    _, _, jobs, tuned, _ = generator_run
    by_kind = {job.kind: one.trace[0] for job, one in zip(jobs, tuned, strict=True) if job.seed == 13}
    assert by_kind["fewgen"]["lm_loss"] == pytest.approx(by_kind["dawgen"]["lm_loss"], rel=1e-2)  # one step of W apart


def test_the_generator_stays_frozen_and_unused_slots_stay_zero(generator_run):
    layout, _, _, tuned, before = generator_run
    assert layout.generator.weights_digest() == before
    start = layout.initial()
    unused = (start == 0).all(-1)
    assert all((one.q_CSD[unused] == 0).all() for one in tuned)


def test_generator_stacks_equal_one_at_a_time(generator_run):
    layout, settings, jobs, tuned, _ = generator_run
    short = settings.model_copy(update={"steps": 3, "stack": 1})
    alone = tuning.tune_generators(layout, jobs, short, progress=False)
    together = tuning.tune_generators(layout, jobs, short.model_copy(update={"stack": 4}), progress=False)
    for one, other in zip(alone, together, strict=True):
        for a, b in zip(one.trace, other.trace, strict=True):
            assert a == pytest.approx(b, rel=1e-3, nan_ok=True)
        assert (one.q_CSD - other.q_CSD).abs().max() < 0.1 * settings.lr


@pytest.mark.parametrize("prompt", ["soft", "prefix"])
@pytest.mark.parametrize("kind", ["mle", "fewgen", "dawgen", "fewgen_original"])
def test_a_generator_learns_its_few_rows(mrpc, generator, smoke, kind, prompt):
    settings = smoke.generator_tuning.model_copy(update={"steps": 40, "lr": 0.1, "eos": "learned", "prompt": prompt})
    layout = prompts.PromptLayout(mrpc, generator, settings)
    rows = [(generator.ids("Alden said"), generator.ids(text)) for text in ("it will close", "a rival", "in Oslo", "Oslo")]
    job = GeneratorJob(kind, 13, rows, [0, 0, 1, 1])
    (one,) = tuning.tune_generators(layout, [job], settings, progress=False)
    first, last = one.trace[0], one.trace[-1]
    assert last["loss"] < first["loss"] - 0.05
    if kind == "mle":
        assert last["loss"] < 0.8 * first["loss"]
    else:  # ln 2 at the start: the two prompts do not tell the labels apart yet
        assert first["discrimination"] == pytest.approx(math.log(2), abs=0.1 if kind == "fewgen_original" else 0.01)
        assert last["discrimination"] < 0.6


def test_a_generator_that_diverges_stops(generator_run, monkeypatch):
    layout, settings, jobs, _, _ = generator_run
    broken = layout.initial()
    broken[0, 0, 0] = float("nan")
    monkeypatch.setattr(layout, "initial", lambda: broken)
    for job in jobs[:3]:
        with pytest.raises(DivergedError, match=f"generator {job.kind}, seed 13, step 0.*lower generator_tuning.lr"):
            tuning.tune_generators(layout, [job], settings, progress=False)


def test_label_words_are_the_loss_of_the_prompt(classifier64, words, pairs):
    """L_ce compares the label words only: other words of the vocabulary do not enter."""
    rows = pairs[0].take([0, 31])
    ids, kept = prompts.padded(rows.ids, 0)
    prompt = stack(1)
    logits = classifier64.label_word_logits(ids, kept, words, prompt.expand(2, -1, -1))
    expected = losses.label_word_loss(logits, torch.tensor(rows.labels)).mean().item()
    loss_12, _ = tuning.both_gradients(prompt, [(rows, None)], classifier64, words)
    assert loss_12[0, 0].item() == pytest.approx(expected, rel=1e-12)


# ---------------------------------------------------------------- every setting reaches what it sets

class Steps:
    """Remembers what an optimiser is made with and what each of its steps is given."""

    def __init__(self, monkeypatch, where, name: str):
        real, self.made, self.lrs, self.norms = getattr(where, name), [], [], []

        class Watched(real):
            def __init__(watched, given, **options):
                super().__init__(given, **options)
                self.made.append(options)

            def step(watched, *args):
                self.lrs.append(watched.param_groups[0]["lr"])
                grads = [p.grad for group in watched.param_groups for p in group["params"]]
                self.norms.append([None if g is None else g.norm().item() for g in grads])
                return super().step(*args)

        monkeypatch.setattr(where, name, Watched)


def test_generator_settings_reach_the_optimisers(generator_run, monkeypatch):
    layout, settings, jobs, *_ = generator_run
    chosen = settings.model_copy(update={"steps": 4, "weight_decay": 0.03, "clip_norm": 0.01, "net_lr": 0.007,
                                         "net_weight_decay": 0.002})  # fmt: skip
    prompt, net = Steps(monkeypatch, torch.optim, "AdamW"), Steps(monkeypatch, torch.optim, "Adam")
    tuning.tune_generators(layout, [j for j in jobs if j.kind == "dawgen"][:1], chosen, progress=False)
    assert prompt.made == [{"lr": chosen.lr, "weight_decay": 0.03}]
    assert prompt.lrs == pytest.approx([chosen.lr * (1 - step / 4) for step in range(4)])  # linear decay
    assert [norms[0] for norms in prompt.norms] == pytest.approx([0.01] * 4, rel=1e-3)  # clipped
    assert net.made == [{"lr": 0.007, "weight_decay": 0.002}] and net.lrs == [0.007] * 4


def test_fewgen_original_has_its_own_batches_and_stack(generator_run, monkeypatch):
    layout, settings, jobs, *_ = generator_run
    seen, real = [], tuning.bilevel.algorithm_1_step

    def step(layout, q, terms, optimisers, batch):
        seen.append(([term.kind for term in terms], len(batch.own.label_B) // batch.n_prompts, batch.own.label_B.tolist()))
        return real(layout, q, terms, optimisers, batch)

    monkeypatch.setattr(tuning.bilevel, "algorithm_1_step", step)
    mixed = [GeneratorJob(kind, 13, jobs[0].rows, jobs[0].labels) for kind in ("dawgen", "fewgen_original", "fewgen")]
    tuning.tune_generators(layout, mixed, settings.model_copy(update={"steps": 6}), progress=False)
    assert {(tuple(kinds), n) for kinds, n, _ in seen} == {(("dawgen", "fewgen"), 4), (("fewgen_original",), 2)}
    drawn = [labels for kinds, _, labels in seen if kinds == ["fewgen_original"]]
    assert any(a == b for a, b in drawn)  # unbalanced: both rows of one class, sometimes


def test_terms_of_two_families_are_refused_in_one_stack(generator_run):
    layout, settings, jobs, *_ = generator_run
    terms = [tuning.bilevel.new_loss(layout, kind, 13, settings)[0] for kind in ("fewgen", "fewgen_original")]
    batch = tuning.bilevel.Batch.of(layout, [jobs[0].rows[:2]] * 2, [[0, 1]] * 2)
    q_GCSD = torch.stack([layout.initial()] * 2).requires_grad_()
    with pytest.raises(ValueError, match="expected terms of one family"):
        tuning.bilevel.algorithm_1_step(layout, q_GCSD, terms, [], batch)


def test_a_generator_whose_last_gradient_is_not_finite_stops(generator_run, monkeypatch):
    layout, settings, jobs, *_ = generator_run
    real, calls = tuning.bilevel.algorithm_1_step, []

    def step(layout, q, *args):
        found = real(layout, q, *args)
        calls.append(1)
        if len(calls) == 3:
            q.grad[0, 0, 0, 0] = math.inf
        return found

    monkeypatch.setattr(tuning.bilevel, "algorithm_1_step", step)
    with pytest.raises(DivergedError, match="seed 13, step 2: expected a finite loss and gradient"):
        tuning.tune_generators(layout, jobs[:1], settings.model_copy(update={"steps": 3}), progress=False)


@pytest.mark.parametrize("name", ["adafactor", "adamw"])
def test_prompt_settings_reach_the_optimiser(classifier, words, pairs, settings, monkeypatch, name):
    chosen = settings.model_copy(update={"optimiser": name, "schedule": "cosine", "steps": 4, "lr": 0.2,
                                         "weight_decay": 0.04, "clip_norm": 0.01})  # fmt: skip
    where, cls = (optimization, "Adafactor") if name == "adafactor" else (torch.optim, "AdamW")
    seen = Steps(monkeypatch, where, cls)
    chosen_two = conditions(pairs, ["paired", "paired_surgery"])
    tune_prompts(stack(2).float(), chosen_two, classifier, words, chosen, progress=False)
    expected = {"lr": 0.2, "weight_decay": 0.04}
    if name == "adafactor":
        expected |= {"relative_step": False, "scale_parameter": False, "warmup_init": False}
    assert seen.made == [expected]
    assert seen.lrs == pytest.approx([0.1 * (1 + math.cos(math.pi * step / 4)) for step in range(4)])
    assert [norm for norms in seen.norms for norm in norms] == pytest.approx([0.01] * 8, rel=1e-3)


def test_prediction_keeps_no_graph_and_pads_little(classifier, words, pairs, monkeypatch):
    shapes, real = [], type(classifier).label_word_logits

    def watched(self, ids_BT, kept_BT, *args):
        assert torch.is_inference_mode_enabled()
        shapes.append((ids_BT.shape[1], kept_BT.sum(1).tolist()))
        return real(self, ids_BT, kept_BT, *args)

    monkeypatch.setattr(type(classifier), "label_word_logits", watched)
    predict(None, [pairs[2]], classifier, words, 5)
    widths = [n for _, kept in shapes for n in kept]
    assert widths == sorted(widths) and all(width == max(kept) for width, kept in shapes)


def test_too_little_memory_for_one_prompt_or_for_evaluation_names_what_else_to_lower(
    classifier, words, pairs, settings, generator_run, monkeypatch
):
    layout, options, jobs, *_ = generator_run
    monkeypatch.setattr(tuning.bilevel, "algorithm_1_step", raising(MemoryError()))
    with pytest.raises(MemoryError, match="memory for 1 at once, found too little; lower discrimination_rows"):
        tuning.tune_generators(layout, jobs[:1], options, progress=False)
    monkeypatch.setattr(type(classifier), "label_word_logits", raising(MemoryError()))
    with pytest.raises(MemoryError, match="prompt_tuning.eval_batch_size: expected memory for 8 at once.*set it to 4"):
        predict(None, [pairs[2]], classifier, words, 8)
