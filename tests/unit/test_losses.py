"""Every loss against a slow twin in plain Python loops, gradcheck, and numbers by pencil."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from dawgen_core import losses

B, L, C, D = 4, 3, 5, 7
LABELS = torch.tensor([0, 3, 0, 3])
SCORED = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]]).bool()
JUNK = [float("nan"), float("inf"), -float("inf"), 1e300]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def weights() -> torch.Tensor:
    raw = drawn(B, L, seed=1).exp() * SCORED
    return raw / raw.sum()


def near(found: torch.Tensor, expected: float) -> None:
    assert found.item() == pytest.approx(expected, abs=1e-12, rel=1e-12)


# ---- the twins

def lm_twin(nll, scored):
    return sum(sum(x for x, s in zip(row, kept, strict=True) if s)
               for row, kept in zip(nll, scored, strict=True)) / len(nll)  # fmt: skip


def weighted_twin(nll, weight, labels, over):
    total = sum(w * x for ws, xs in zip(weight, nll, strict=True) for w, x in zip(ws, xs, strict=True))
    return total if over == "batch" else total / len(set(labels))


def discrimination_twin(score, labels, scored, form):
    terms = []
    for row, label, kept in zip(score, labels, scored, strict=True):
        for token, s in zip(row, kept, strict=True):
            if s:
                ratio = math.exp(token[label]) / sum(math.exp(x) for x in token)
                terms.append(ratio if form == "ratio" else math.log(ratio))
    return -sum(terms) / len(terms)


def pooled_twin(hidden, weight):
    return [[sum(w * h[d] for w, h in zip(ws, hs, strict=True)) / sum(ws) for d in range(len(hs[0]))]
            for hs, ws in zip(hidden, weight, strict=True)]  # fmt: skip


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def alignment_twin(own, labels, reading, under, margin):
    terms = []
    for i in range(len(own)):
        for j in range(len(own)):
            if i == j or labels[i] != labels[j]:
                continue
            if reading == "class_triplet":
                negatives = [own[k] for k in range(len(own)) if labels[k] != labels[i]]
            else:
                negatives = [under[j][c] for c in range(len(under[j])) if c != labels[j]]
            terms += [max(0.0, margin - cosine(own[i], own[j]) + cosine(own[i], n)) for n in negatives]
    return sum(terms) / len(terms)


def label_word_twin(logits, labels, smoothing):
    out = []
    for row, label in zip(logits, labels, strict=True):
        log_total = math.log(sum(math.exp(x) for x in row))
        target = [smoothing / len(row) + (1 - smoothing) * (c == label) for c in range(len(row))]
        out.append(-sum(t * (x - log_total) for t, x in zip(target, row, strict=True)))
    return out


# ---- E1

def test_e1_equals_its_twin():
    nll = drawn(B, L).abs()
    near(losses.lm_loss(nll, SCORED), lm_twin(nll.tolist(), SCORED.tolist()))
    assert gradcheck(lambda x: losses.lm_loss(x, SCORED), drawn(B, L).requires_grad_())


def test_e1_by_pencil():
    # rows (1 + 2) and (3): the sums 3 and 3, their mean 3; a mean per token would give 2
    assert losses.lm_loss(torch.tensor([[1.0, 2.0], [3.0, 9.0]]), torch.tensor([[1, 1], [1, 0]]).bool()) == 3


@pytest.mark.parametrize("junk", JUNK)
def test_e1_ignores_unscored_places(junk):
    nll = drawn(B, L).requires_grad_()
    filled = nll.detach().masked_fill(~SCORED, junk).requires_grad_()
    assert losses.lm_loss(filled, SCORED) == losses.lm_loss(nll, SCORED)
    (grad,) = torch.autograd.grad(losses.lm_loss(filled, SCORED), filled)
    assert torch.equal(grad, SCORED.double() / B)


# ---- E2

@pytest.mark.parametrize("over", losses.WEIGHTED_OVER)
def test_e2_equals_its_twin(over):
    nll, weight = drawn(B, L), weights()
    twin = weighted_twin(nll.tolist(), weight.tolist(), LABELS.tolist(), over)
    near(losses.weighted_lm_loss(nll, weight, LABELS, over=over), twin)
    inputs = (nll.requires_grad_(), (weight + 0.1).requires_grad_())
    assert gradcheck(lambda x, w: losses.weighted_lm_loss(x, w, LABELS, over=over), inputs)


def test_e2_by_pencil():
    # 0.5 * 2 + 0.25 * 4 + 0.25 * 8 = 1 + 1 + 2 = 4 over the batch
    label, nll = torch.tensor([0, 1]), torch.tensor([[2.0, 4.0], [8.0, 0.0]])
    assert losses.weighted_lm_loss(nll, torch.tensor([[0.5, 0.25], [0.25, 0.0]]), label) == 4
    # per label: (0.5 * 2 + 0.5 * 4 = 3) and (1 * 8 = 8), their mean 5.5
    assert losses.weighted_lm_loss(nll, torch.tensor([[0.5, 0.5], [1.0, 0.0]]), label, over="per_label") == 5.5


@pytest.mark.parametrize("junk", JUNK)
def test_e2_ignores_places_of_weight_zero(junk):
    nll, weight = drawn(B, L), weights().requires_grad_()
    filled = nll.masked_fill(~SCORED, junk).requires_grad_()
    loss = losses.weighted_lm_loss(filled, weight, LABELS)
    assert loss == losses.weighted_lm_loss(nll, weight, LABELS)
    assert all(g.isfinite().all() for g in torch.autograd.grad(loss, (filled, weight)))


def test_e2_options_differ_when_two_labels_are_present():
    values = [losses.weighted_lm_loss(drawn(B, L), weights(), LABELS, over=over) for over in losses.WEIGHTED_OVER]
    near(values[0], 2 * values[1].item())
    assert values[0] != values[1]


# ---- E4

@pytest.mark.parametrize("form", losses.DISCRIMINATION_FORMS)
def test_e4_equals_its_twin(form):
    score = drawn(B, L, C)
    twin = discrimination_twin(score.tolist(), LABELS.tolist(), SCORED.tolist(), form)
    near(losses.discrimination_loss(score, LABELS, SCORED, form=form), twin)
    assert gradcheck(lambda x: losses.discrimination_loss(x, LABELS, SCORED, form=form), score.requires_grad_())


def test_e4_by_pencil():
    # one token, scores ln 3 and ln 1 under two labels: ratio 3 / (3 + 1) = 0.75, its log -ln(4 / 3) = -0.28768
    score, label, scored = torch.tensor([[[math.log(3), 0.0]]]), torch.tensor([0]), torch.tensor([[True]])
    assert losses.discrimination_loss(score, label, scored, form="ratio").item() == pytest.approx(-0.75)
    assert losses.discrimination_loss(score, label, scored).item() == pytest.approx(0.2876821)
    # the same prompts for all labels: every ratio is 1 / C
    assert losses.discrimination_loss(torch.zeros(1, 1, C), label, scored).item() == pytest.approx(math.log(C))


def test_e4_is_a_mean_over_tokens_not_over_rows():
    # own ratios 0.75 | 0.5, 0.5: tokens give (0.75 + 0.5 + 0.5) / 3 = 0.58333, rows would give 0.625
    score = torch.zeros(2, 2, 2)
    score[0, 0, 0] = math.log(3)
    scored = torch.tensor([[True, False], [True, True]])
    loss = losses.discrimination_loss(score, torch.tensor([0, 1]), scored, form="ratio")
    assert loss.item() == pytest.approx(-7 / 12)


@pytest.mark.parametrize("form", losses.DISCRIMINATION_FORMS)
@pytest.mark.parametrize("junk", JUNK)
def test_e4_ignores_unscored_places(form, junk):
    score = drawn(B, L, C)
    filled = score.masked_fill(~SCORED[..., None], junk)
    args = (LABELS, SCORED)
    assert losses.discrimination_loss(filled, *args, form=form) == losses.discrimination_loss(score, *args, form=form)


def test_e4_ratio_differs_from_its_log():
    # raw_logit is the same formula over other scores: test_bilevel tells it from log_ratio
    score = drawn(B, L, C)
    loss = {form: losses.discrimination_loss(score, LABELS, SCORED, form=form) for form in losses.DISCRIMINATION_FORMS}
    assert loss["ratio"] != loss["log_ratio"]
    assert (loss["ratio"] < 0) and (loss["log_ratio"] > 0)


# ---- E5

def test_pooling_equals_its_twin():
    hidden, weight = drawn(B, L, D), weights()
    twin = torch.tensor(pooled_twin(hidden.tolist(), weight.tolist()), dtype=torch.float64)
    assert (losses.pooled_states(hidden, weight) - twin).abs().max() < 1e-12
    assert gradcheck(losses.pooled_states, (hidden.requires_grad_(), (weight + 0.1).requires_grad_()))


def test_pooling_by_pencil():
    # weights 1 and 3 normalised to 1/4 and 3/4: (1/4) (4, 0) + (3/4) (0, 8) = (1, 6); a third, unweighted token is nothing
    hidden = torch.tensor([[[4.0, 0.0], [0.0, 8.0], [99.0, -99.0]]])
    assert losses.pooled_states(hidden, torch.tensor([[1.0, 3.0, 0.0]])).tolist() == [[1.0, 6.0]]


def test_pooling_ignores_the_scale_of_a_row_and_finite_junk():
    hidden, weight = drawn(B, L, D), weights()
    scaled = weight * torch.tensor([1e-6, 1.0, 7.0, 1e6], dtype=torch.float64)[:, None]
    junk = hidden.masked_fill(~SCORED[..., None], 1e100)
    assert (losses.pooled_states(junk, scaled) - losses.pooled_states(hidden, weight)).abs().max() < 1e-12


@pytest.mark.parametrize("reading", losses.ALIGNMENT_READINGS)
@pytest.mark.parametrize("margin", [0.0, 0.3, 1.0])
def test_e5_equals_its_twin(reading, margin):
    own, under = drawn(B, D), drawn(B, C, D, seed=2)
    twin = alignment_twin(own.tolist(), LABELS.tolist(), reading, under.tolist(), margin)

    def loss(o, u):
        return losses.alignment_loss(o, LABELS, reading=reading, under_all_BCD=u, margin=margin)

    near(loss(own, under), twin)
    assert gradcheck(loss, (own.requires_grad_(), under.requires_grad_()))


def test_e5_class_triplet_by_pencil():
    # rows a = (2, 0), b = (0, 3) of class 0, c = (-5, 0) of class 1; lengths do not count
    # (a, b, c): max(0, 1 - 0 + (-1)) = 0;  (b, a, c): max(0, 1 - 0 + 0) = 1;  c has no partner: mean 0.5
    own = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-5.0, 0.0]])
    assert losses.alignment_loss(own, torch.tensor([0, 0, 1])).item() == pytest.approx(0.5)


def test_e5_prompt_contrast_by_pencil():
    # rows a = (2, 0), b = (0, 3) of class 0; under the other prompt a reads (0, -2), b reads (1, 1)
    # (a, b): 1 - 0 + cos((2, 0), (1, 1)) = 1 + 0.70711;  (b, a): 1 - 0 + cos((0, 3), (0, -2)) = 0: mean 0.853553
    own = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    under = torch.stack([own, torch.tensor([[0.0, -2.0], [1.0, 1.0]])], dim=1)
    loss = losses.alignment_loss(own, torch.tensor([0, 0]), reading="prompt_contrast", under_all_BCD=under)
    assert loss.item() == pytest.approx(0.8535534)


def test_e5_never_reads_a_row_under_its_own_prompt_twice():
    own, under = drawn(B, D), drawn(B, C, D, seed=2)
    junk = under.clone()
    junk[torch.arange(B), LABELS] = 1e6
    args = {"reading": "prompt_contrast"}
    near(losses.alignment_loss(own, LABELS, under_all_BCD=junk, **args),
         losses.alignment_loss(own, LABELS, under_all_BCD=under, **args).item())  # fmt: skip


def test_e5_readings_and_margins_differ():
    own, under = drawn(B, D), drawn(B, C, D, seed=2)
    values = {losses.alignment_loss(own, LABELS, reading=r, under_all_BCD=under, margin=m).item()
              for r in losses.ALIGNMENT_READINGS for m in (0.0, 1.0)}  # fmt: skip
    assert len(values) == 4


def test_e5_needs_a_positive_a_negative_and_every_prompt():
    with pytest.raises(ValueError, match="two or more rows per class"):
        losses.alignment_loss(drawn(3, D), torch.tensor([0, 1, 2]))  # no positive
    with pytest.raises(ValueError, match="negative"):
        losses.alignment_loss(drawn(3, D), torch.tensor([1, 1, 1]))  # no negative
    with pytest.raises(ValueError, match="under_all_BCD"):
        losses.alignment_loss(drawn(B, D), LABELS, reading="prompt_contrast")


# ---- E6 and the label words

def test_e6_by_pencil():
    # 2 + 1 * 0.5 = 2.5 is DawGen; scale 0 is FewGen
    weighted, alignment = torch.tensor(2.0), torch.tensor(0.5)
    assert losses.dawgen_loss(weighted, alignment) == 2.5
    assert losses.dawgen_loss(weighted, 0.0) == 2  # FewGen
    inputs = (drawn(1)[0].requires_grad_(), drawn(1, seed=1)[0].requires_grad_())
    assert gradcheck(lambda w, a: losses.dawgen_loss(w, a), inputs)


@pytest.mark.parametrize("smoothing", [0.0, 0.15])
def test_label_word_loss_equals_its_twin(smoothing):
    logits = drawn(B, C)
    twin = torch.tensor(label_word_twin(logits.tolist(), LABELS.tolist(), smoothing), dtype=torch.float64)
    found = losses.label_word_loss(logits, LABELS, label_smoothing=smoothing)
    assert found.shape == (B,) and (found - twin).abs().max() < 1e-12
    assert gradcheck(lambda x: losses.label_word_loss(x, LABELS, label_smoothing=smoothing), logits.requires_grad_())


def test_label_word_loss_smooths_every_row_by_its_own_share():
    """torch's cross-entropy knows one share for all rows: row by row it is the reference."""
    logits, share = drawn(5, C), torch.tensor([0.0, 0.15, 0.5, 0.9, 1.0], dtype=torch.float64)
    label = torch.tensor([0, C - 1, 1, 2, 1])
    found = losses.label_word_loss(logits, label, label_smoothing=share)
    for row, s in enumerate(share.tolist()):
        expected = F.cross_entropy(logits[row], label[row], label_smoothing=s).item()
        near(found[row], expected)
    assert torch.equal(found[:1], losses.label_word_loss(logits[:1], label[:1]))


def test_label_word_loss_by_pencil():
    # logits ln 3 and 0: Pr = 3/4, loss ln(4/3) = 0.28768; smoothed by 0.2: 0.9 ln(4/3) + 0.1 ln 4 = 0.39754
    logits, label = torch.tensor([[math.log(3), 0.0]]), torch.tensor([0])
    assert losses.label_word_loss(logits, label).item() == pytest.approx(0.2876821)
    assert losses.label_word_loss(logits, label, label_smoothing=0.2).item() == pytest.approx(0.3975433)


@pytest.mark.parametrize("call", [
    lambda: losses.weighted_lm_loss(drawn(B, L), weights(), LABELS, over="row"),
    lambda: losses.discrimination_loss(drawn(B, L, C), LABELS, SCORED, form="log"),
    lambda: losses.alignment_loss(drawn(B, D), LABELS, reading="triplet"),
])  # fmt: skip
def test_unknown_names_are_refused(call):
    with pytest.raises(ValueError, match="expected one of"):
        call()


def test_nothing_is_modified():
    nll, weight, score, own, under = drawn(B, L), weights(), drawn(B, L, C), drawn(B, D), drawn(B, C, D)
    before = [t.clone() for t in (nll, weight, score, own, under)]
    losses.lm_loss(nll, SCORED)
    losses.weighted_lm_loss(nll, weight, LABELS)
    losses.discrimination_loss(score, LABELS, SCORED)
    losses.alignment_loss(own, LABELS, reading="prompt_contrast", under_all_BCD=under)
    losses.pooled_states(drawn(B, L, D), weight)
    assert all(torch.equal(a, b) for a, b in zip(before, (nll, weight, score, own, under), strict=True))


# ---- log-probabilities without all logits

@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("n_at_once", [1, 30, 10**6])
def test_vocabulary_logsumexp_value_and_derivatives(bias, n_at_once):
    """Chunks of one row, of several, and all at once: value, reverse and forward mode equal the plain expression."""
    N, V = 7, 11
    weight, b = drawn(V, D, seed=2), drawn(V, seed=3) if bias else None
    states, move, slope = drawn(N, D).requires_grad_(), drawn(N, D, seed=4), drawn(N, seed=5)

    def ours(h):
        return losses.vocabulary_logsumexp(h, weight, b, n_at_once=n_at_once)

    def plain(h):
        return torch.nn.functional.linear(h, weight, b).logsumexp(-1)

    assert torch.allclose(ours(states), plain(states), atol=1e-14)
    with torch.no_grad():
        assert torch.allclose(ours(states), plain(states), atol=1e-14)
    found, expected = (torch.autograd.grad(f(states), states, slope)[0] for f in (ours, plain))
    assert torch.allclose(found, expected, atol=1e-14)
    found, expected = (torch.func.jvp(f, (states.detach(),), (move,))[1] for f in (ours, plain))
    assert torch.allclose(found, expected, atol=1e-14)
    assert gradcheck(ours, (states,), check_forward_ad=True)


def test_vocabulary_logsumexp_by_pencil():
    # logits 0 and ln 3: log(1 + 3) = ln 4; the softmax is (1/4, 3/4), the mean row 1/4 * (0, 1) + 3/4 * (ln 3, 0)
    h, weight = (torch.tensor(rows, dtype=torch.float64) for rows in ([[1.0, 0.0]], [[0.0, 1.0], [math.log(3), 0.0]]))
    total = losses.vocabulary_logsumexp(h.requires_grad_(), weight, None)
    near(total, math.log(4))
    (grad,) = torch.autograd.grad(total.sum(), h)
    assert grad[0].tolist() == pytest.approx([0.75 * math.log(3), 0.25], abs=1e-7)


def test_vocabulary_logsumexp_refuses_a_second_derivative():
    """Its derivative is a number made on the way: a graph through it would be wrong without a word."""
    h = drawn(2, D).requires_grad_()
    (grad,) = torch.autograd.grad(losses.vocabulary_logsumexp(h, drawn(5, D), None).sum(), h, create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(grad.sum(), h)


def test_vocabulary_logsumexp_in_half_precision_is_wide():
    h, weight = drawn(3, D).bfloat16(), drawn(50, D, seed=1).bfloat16()
    total = losses.vocabulary_logsumexp(h.requires_grad_(), weight, None)
    (grad,) = torch.autograd.grad(total.sum(), h)
    assert total.dtype == torch.float32 and grad.dtype == torch.bfloat16
    assert torch.allclose(total, (h.float() @ weight.float().T).logsumexp(-1), atol=0.05)
