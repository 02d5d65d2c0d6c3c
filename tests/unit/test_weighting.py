"""E3: the weight net, and the softmax that turns its scores into token weights."""

import itertools
import math

import pytest
import torch
from torch.autograd import gradcheck

from dawgen_core.samplers import seeded
from dawgen_core.weighting import INPUTS, WeightNet, token_weights

B, L, D = 4, 3, 7
LABELS = torch.tensor([0, 3, 0, 3])
SCORED = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]]).bool()
OVER = ("batch", "per_label", "row")


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def weights_twin(score, scored, labels, over):
    out = [[0.0] * L for _ in range(B)]
    name = {"batch": lambda b: 0, "per_label": lambda b: labels[b], "row": lambda b: b}[over]
    for group in {name(b) for b in range(B)}:
        places = [(b, j) for b in range(B) for j in range(L) if scored[b][j] and name(b) == group]
        total = sum(math.exp(score[b][j]) for b, j in places)
        for b, j in places:
            out[b][j] = math.exp(score[b][j]) / total
    return out


@pytest.mark.parametrize("over", OVER)
def test_weights_equal_their_twin(over):
    score = drawn(B, L)
    twin = torch.tensor(weights_twin(score.tolist(), SCORED.tolist(), LABELS.tolist(), over), dtype=torch.float64)
    assert (token_weights(score, SCORED, LABELS, over=over) - twin).abs().max() < 1e-12
    assert gradcheck(lambda x: token_weights(x, SCORED, LABELS, over=over), score.requires_grad_())


def test_weights_by_pencil():
    # scores ln 1, ln 3 | ln 4, unscored: over the batch 1/8, 3/8, 4/8; per label 1/4, 3/4 | 1
    score = torch.tensor([[1.0, 3.0], [4.0, 9.0]]).log()
    scored, label = torch.tensor([[1, 1], [1, 0]]).bool(), torch.tensor([2, 0])
    assert torch.allclose(token_weights(score, scored, label), torch.tensor([[0.125, 0.375], [0.5, 0.0]]))
    assert torch.allclose(token_weights(score, scored, label, over="per_label"), torch.tensor([[0.25, 0.75], [1.0, 0.0]]))


@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize("junk", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_unscored_places_weigh_nothing_whatever_they_hold(over, junk):
    score = drawn(B, L)
    filled = score.masked_fill(~SCORED, junk).requires_grad_()
    weight = token_weights(filled, SCORED, LABELS, over=over)
    assert torch.equal(weight, token_weights(score, SCORED, LABELS, over=over))
    assert (weight[~SCORED] == 0).all() and (weight[SCORED] > 0).all()
    (grad,) = torch.autograd.grad((weight * drawn(B, L, seed=1)).sum(), filled)
    assert grad.isfinite().all() and (grad[~SCORED] == 0).all()


@pytest.mark.parametrize("over, total", [("batch", 1.0), ("per_label", 2.0)])
def test_weights_sum_to_one_per_group_and_ignore_a_shift(over, total):
    weight = token_weights(drawn(B, L), SCORED, LABELS, over=over)
    assert weight.sum().item() == pytest.approx(total, abs=1e-12)
    shifted = token_weights(drawn(B, L) + 5.0, SCORED, LABELS, over=over)
    assert (weight - shifted).abs().max() < 1e-12


def test_the_normalisations_differ():
    found = [token_weights(drawn(B, L), SCORED, LABELS, over=over) for over in OVER]
    assert not any(torch.allclose(a, b) for a, b in itertools.combinations(found, 2))


def test_a_row_keeps_its_own_weights_when_another_outscores_it_by_far():
    """120 nats apart, in float32: over the batch the first row's weights are 0, within the row they are not."""
    score = torch.tensor([[0.0, 1.0], [120.0, 121.0]])
    given = score, torch.ones(2, 2, dtype=torch.bool), torch.tensor([0, 1])
    assert token_weights(*given, over="batch")[0].tolist() == [0.0, 0.0]
    assert torch.allclose(token_weights(*given, over="row"), torch.tensor([[1.0, 1.0], [1.0, 1.0]]) * score[:1].softmax(-1))


@pytest.mark.parametrize("reads", INPUTS)
def test_the_net_equals_plain_loops(reads):
    net = WeightNet(D, reads=reads, generator=seeded(1)).double()
    hidden, nll = drawn(B, L, D), drawn(B, L, seed=1).abs()
    found = net(hidden, nll)
    w1, b1 = net.inner.weight.tolist(), net.inner.bias.tolist()
    w2, b2 = net.outer.weight[0].tolist(), net.outer.bias.item()
    assert len(w1) == 100 and len(w1[0]) == (D if reads == "hidden" else 1)
    for b in range(B):
        for j in range(L):
            x = hidden[b, j].tolist() if reads == "hidden" else [nll[b, j].item()]
            inner = [max(0.0, sum(w * v for w, v in zip(ws, x, strict=True)) + c) for ws, c in zip(w1, b1, strict=True)]
            twin = sum(w * h for w, h in zip(w2, inner, strict=True)) + b2
            assert found[b, j].item() == pytest.approx(twin, abs=1e-12)


def test_the_net_reads_only_what_it_is_named_after():
    hidden, nll, other = drawn(B, L, D), drawn(B, L), drawn(B, L, D, seed=3)
    by_hidden, by_loss = (WeightNet(D, reads=reads, generator=seeded(1)).double() for reads in INPUTS)
    assert torch.equal(by_hidden(hidden, nll), by_hidden(hidden, nll + 1))
    assert torch.equal(by_loss(hidden, nll), by_loss(other, nll))
    assert not torch.equal(by_hidden(hidden, nll), by_hidden(other, nll))
    assert not torch.equal(by_loss(hidden, nll), by_loss(hidden, nll + 1))


def test_the_net_is_drawn_from_its_generator_alone():
    torch.manual_seed(0)
    first = WeightNet(D, generator=seeded(5))
    torch.manual_seed(1)
    again, other = WeightNet(D, generator=seeded(5)), WeightNet(D, generator=seeded(6))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.inner.weight, other.inner.weight)
    assert first.inner.weight.abs().max() <= D**-0.5 and first.outer.weight.abs().max() <= 0.1


@pytest.mark.parametrize("reads", INPUTS)
def test_no_gradient_reaches_the_prompt_through_the_net(reads):
    net = WeightNet(D, reads=reads, generator=seeded(1)).double()
    inputs = (drawn(B, L, D).requires_grad_(), drawn(B, L).requires_grad_())
    assert torch.autograd.grad(net(*inputs).sum(), inputs, allow_unused=True) == (None, None)


@pytest.mark.parametrize("over", OVER)
def test_the_last_bias_has_gradient_zero(over):
    net = WeightNet(D, generator=seeded(1)).double()
    weight = token_weights(net(drawn(B, L, D), drawn(B, L)), SCORED, LABELS, over=over)
    (weight * drawn(B, L, seed=2)).sum().backward()
    assert net.outer.bias.grad.abs().item() < 1e-15 < net.outer.weight.grad.abs().max().item()


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="reads: expected one of"):
        WeightNet(D, reads="logit", generator=seeded(1))
    with pytest.raises(ValueError, match="over: expected"):
        token_weights(drawn(B, L), SCORED, LABELS, over="word")
