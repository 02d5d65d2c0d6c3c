"""Every line of the bench runs, and what it calls plain is the same method."""

import statistics
from functools import partial

import pytest
import torch

from dawgen_core import bilevel, losses, prompts, samplers, tuning
from dawgen_core.app import bench, growth, measuring

CPU = torch.device("cpu")


CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("part", bench.PARTS)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, CUDA])])
def test_the_bench_runs_and_names_what_it_compares(device, part):
    """On CUDA every step, the generation and both loops run on small shapes in bfloat16."""
    table = bench.bench(part, torch.device(device), quick=True)
    named = {"methods": {"what", "size", "method"}, "audit": {"what", "size", "seconds"}, "start": {"of", "seconds"},
             "growth": {"grows with", "exponent"}, "stages": {"what", "core seconds"},
             "rows": {"size", "peak memory (MiB)"}}  # fmt: skip
    named = named.get(part, {"what", "size", "ours", "against"})
    assert named <= set(table.columns) and not table.isna().any().any()
    numbers, signed = table.select_dtypes("number"), ["growth since the size before", "exponent"]
    assert (numbers.drop(columns=signed, errors="ignore") >= 0).all().all() and numbers.shape[1] >= 2
    assert "random" in bench.CAPTION and "{hardware}" in bench.CAPTION
    assert "threads" in measuring.hardware(CPU)


def test_plain_second_order_autograd_takes_the_same_step():
    """The bench's other side is no straw man: same meta-gradient, same gradient of Q, in float64."""
    lm = bench.generator_of({"n_embd": 8, "n_layer": 2, "n_head": 2, "dff": 12, "n_positions": 64}, 300, CPU, torch.float64)
    settings = bench.load_profile("smoke").generator_tuning.model_copy(update={"virtual_lr": 0.3})
    layout = prompts.PromptLayout(bench.load_task("mrpc"), lm, settings)
    words = torch.randint(4, 100, (4, 9), generator=samplers.seeded(0)).tolist()
    batch = bilevel.Batch.of(layout, [[(row[:4], row[4:]) for row in words]], [[0, 0, 1, 1]])
    found = []
    plain = [partial(bench.plain_step, reuse=reuse) for reuse in (True, False)]
    for way in (bilevel.algorithm_1_step, *plain):
        term, optimisers = bilevel.new_loss(layout, "dawgen", 13, settings)
        term.net.double()
        q = layout.initial().double()[None].requires_grad_()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(losses, "vocabulary_logsumexp", bench.whole_logits)
            with bench.sdpa_kernel(bench.SDPBackend.MATH):
                way(layout, q, [term], optimisers, batch)
        found.append([q.grad, *(p.grad for p in list(term.net.parameters())[:3])])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert a.norm() > 0 and (a - b).norm() <= 1e-6 * a.norm()


def test_one_at_a_time_ends_where_many_at_once_end(classifier64, smoke):
    ids = torch.randint(4, 40, (8, 6), generator=samplers.seeded(0)).tolist()
    rows = prompts.EncodedPairs(ids, [0, 1] * 4, 0)
    settings = smoke.prompt_tuning.model_copy(update={"steps": 3, "eval_every": 3})
    conditions = [tuning.Condition("paired_surgery", g, rows, rows, rows) for g in range(2)]
    start = torch.randn(2, 3, classifier64.width, dtype=torch.float64, generator=samplers.seeded(1))
    given = (start, conditions, classifier64, torch.tensor([5, 6]), settings)
    ends, made = [], tuning.predict
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "predict", lambda p, *a: ends.append(p[0]) or made(p, *a))
        bench.one_at_a_time(*given)
    for end, one in zip(ends, tuning.tune_prompts(*given, progress=False), strict=True):
        assert (end - one.last_PD).norm() <= 1e-9 * end.norm()


def test_peak_memory_by_pencil():
    # three tensors of 1 MiB held at once, then one more after two are gone: the peak is 3 MiB
    def way():
        held = [torch.ones(2**18) for _ in range(3)]
        del held[:2]
        held.append(torch.ones(2**18))

    assert measuring.peak_mib(way, CPU) == pytest.approx(3, abs=0.1)


def test_an_exponent_by_pencil():
    assert growth.exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2)  # a doubled size costs four times as much
    assert growth.exponent([5, 50], [7, 7]) == pytest.approx(0)


def test_ratio_is_the_median_of_rounds():
    assert measuring.ratio({"a": [1.0, 9.0, 4.0], "b": [2.0, 3.0, 4.0]}, "a", "b") == statistics.median([0.5, 3.0, 1.0])
