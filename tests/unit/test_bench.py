"""Every line of the bench runs, and what it calls plain is the same method."""

import statistics
from functools import partial

import pytest
import torch

from dawgen_core import bilevel, losses, prompts, samplers, tuning
from dawgen_core.bench import growth, measuring, profiled, roofline, shapes, sides, tables
from dawgen_core.data.profiles import load_profile, load_task

CPU = torch.device("cpu")


CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("part", tables.PARTS)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, CUDA])])
def test_the_bench_runs_and_names_what_it_compares(device, part):
    """On CUDA every step, the generation and both loops run on small shapes in bfloat16."""
    table = tables.bench(part, torch.device(device), quick=True)
    named = {"methods": {"what", "size", "method"}, "audit": {"what", "size", "seconds"}, "start": {"of", "seconds"},
             "growth": {"grows with", "exponent"}, "stages": {"what", "core seconds"},
             "rows": {"size", "peak memory (MiB)"}, "roofline": {"what", "size", "nearer roof"}}  # fmt: skip
    named = named.get(part, {"what", "size", "ours", "against"})
    assert named <= set(table.columns) and not table.isna().any().any()
    numbers, signed = table.select_dtypes("number"), ["growth since the size before", "exponent"]
    assert (numbers.drop(columns=signed, errors="ignore") >= 0).all().all() and numbers.shape[1] >= 2
    assert "random" in tables.CAPTION and "{hardware}" in tables.CAPTION
    assert "threads" in measuring.hardware(CPU)


def test_plain_second_order_autograd_takes_the_same_step():
    """The bench's other side is no straw man: same meta-gradient, same gradient of Q, in float64."""
    lm = shapes.generator_of({"n_embd": 8, "n_layer": 2, "n_head": 2, "dff": 12, "n_positions": 64}, 300, CPU, torch.float64)
    settings = load_profile("smoke").generator_tuning.model_copy(update={"virtual_lr": 0.3})
    layout = prompts.PromptLayout(load_task("mrpc"), lm, settings)
    words = torch.randint(4, 100, (4, 9), generator=samplers.seeded(0)).tolist()
    batch = bilevel.Batch.of(layout, [[(row[:4], row[4:]) for row in words]], [[0, 0, 1, 1]])
    found = []
    plain = [partial(sides.plain_step, reuse=reuse) for reuse in (True, False)]
    for way in (bilevel.algorithm_1_step, *plain):
        term, optimisers = bilevel.new_loss(layout, "dawgen", 13, settings)
        term.net.double()
        q = layout.initial().double()[None].requires_grad_()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(losses, "vocabulary_logsumexp", sides.whole_logits)
            with sides.sdpa_kernel(sides.SDPBackend.MATH):
                way(layout, q, [term], optimisers, batch)
        found.append([q.grad, *(p.grad for p in list(term.net.parameters())[:3])])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert a.norm() > 0 and (a - b).norm() <= 1e-6 * a.norm()


def test_flops_and_bytes_by_pencil():
    """Two layers of 4 x 6 and 6 x 4, three rows: 2 * 3 * (24 + 24) FLOPs forward; 48 weights of four bytes, read once."""
    model = torch.nn.Module()
    model.blocks = torch.nn.ModuleList([torch.nn.Linear(4, 6, bias=False), torch.nn.Linear(6, 4, bias=False)])
    rows = torch.ones(3, 4, requires_grad=True)

    def read() -> torch.Tensor:
        return model.blocks[1](model.blocks[0](1 * rows))

    once = roofline.Work("read", "", lambda: read().detach(), model, backward=False)
    assert roofline.counted(once) == (288, 192)
    assert roofline.counted(once._replace(way=lambda: [read() for _ in range(5)], cache=8.0)) == (5 * 288, 5 * 192 + 8)
    flops, size = roofline.counted(once._replace(way=lambda: torch.autograd.grad(read().sum(), rows), backward=True))
    assert (flops, size) == (2 * 288, 2 * 192)  # for the rows' gradient alone: the weights are frozen


def test_samples_of_a_run_by_pencil():
    kernel = "process 1:snakemake;process 2:python -m ipykernel_launcher;<module> (/tmp/ipykernel_2/3.py:1);"
    lines = [f"{kernel}tune (dawgen_core/tuning.py:7);_engine_run_backward (torch/autograd/graph.py:9) 60",
             f"{kernel}tune (dawgen_core/tuning.py:8);Linear.forward (torch/nn/modules/linear.py:9) 20",
             f"{kernel}<module> (sklearn/__init__.py:1);_load (<frozen importlib._bootstrap>:4) 10",
             "process 1:snakemake;solve (snakemake/dag.py:3) 10",
             f"{kernel}EpollSelector.select (selectors.py:468) 500"]  # fmt: skip
    table, n = profiled.shares(lines)
    assert n == 100 and table.to_dict("list") == {
        "where": ["tuning.tune", "imports", "Snakemake, papermill"], "share": [80, 10, 10], "gradients": [60, 0, 0],
        "layers forward": [20, 0, 0], "the rest": [0, 10, 10]}  # fmt: skip


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
        sides.one_at_a_time(*given)
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
