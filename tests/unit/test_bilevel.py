"""Algorithm 1: the meta-gradient by one forward-mode pass against second-order autograd written row by row."""

import copy
from itertools import product

import pytest
import torch
import transformers
from torch.nn.attention import SDPBackend, sdpa_kernel

from dawgen_core import backbones, bilevel, prompts
from dawgen_core.data import pretrained
from dawgen_core.params import Backbone
from dawgen_core.samplers import seeded
from dawgen_core.weighting import WeightNet

FORMS, READINGS, INPUTS = ("log_ratio", "ratio", "raw_logit"), ("class_triplet", "prompt_contrast"), ("hidden", "loss")


@pytest.fixture(scope="module")
def generators(smoke, texts):
    """A CTRL and a GPT-2 of width 8 in float64, with weights large enough that the labels' prompts matter."""
    shape = {"n_embd": 8, "n_head": 2, "n_layer": 2, "dff": 12, "n_positions": 96}
    small = Backbone(model="tiny:ctrl", architecture="ctrl", shape=shape, n_words=4)
    ctrl = pretrained.load_generator(small, smoke.compute, texts[:1])
    config = transformers.GPT2Config(vocab_size=ctrl.n_vocab, n_embd=8, n_head=2, n_layer=2, n_positions=96,
                                     attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)  # fmt: skip
    gpt2 = backbones.Generator(transformers.GPT2LMHeadModel(config), ctrl.tokenizer, "gpt2")
    random = torch.Generator().manual_seed(0)
    for generator in (ctrl, gpt2):
        generator.model.double()
        with torch.no_grad():
            for parameter in generator.model.parameters():
                parameter.add_(torch.randn(parameter.shape, dtype=torch.float64, generator=random) * 0.25)
    return {"ctrl": ctrl, "gpt2": gpt2}


def uneven(task):
    """The task with short prefixes of unequal length."""
    prefix = {label: " ".join(["Sentence 1 is different from Sentence 2."] * 2).split()[: 2 + 2 * i]
              for i, label in enumerate(task.labels)}  # fmt: skip
    texts = task.generator.model_copy(update={"prefix": {k: " ".join(v) for k, v in prefix.items()}})
    return task.model_copy(update={"generator": texts})


class Setting:
    """A layout, a random Q [C, S, D], two rows per class, and a seeded weight net, all in float64."""

    def __init__(self, task, generator, settings, *, seed=0, **options):
        self.settings = settings.model_copy(update={"virtual_lr": 0.3, "net_lr": 0.05, **options})
        self.layout = prompts.PromptLayout(uneven(task), generator, self.settings)
        random = seeded(7, seed)
        noise = torch.randn(self.layout.initial().shape, dtype=torch.float64, generator=random)
        self.q_CSD = self.layout.initial().double() + 0.7 * noise
        self.labels = [c for c in range(len(task.labels)) for _ in range(2)]
        words = torch.randint(4, 40, (len(self.labels), 5), generator=random).tolist()
        self.rows = [(row[: 1 + i % 2], row[2 : 3 + i % 3]) for i, row in enumerate(words)]
        self.net = WeightNet(generator.width, reads=self.settings.net_reads, d_hidden=9, generator=random).double()
        if self.settings.net_reads == "loss":  # kinks where the losses lie, or else the whole net is a straight line
            with torch.no_grad():
                places = torch.linspace(*((-0.9, -0.1) if self.settings.discrimination == "ratio" else (0.1, 2)), 9)
                self.net.inner.bias.copy_(-self.net.inner.weight[:, 0] * places)

    def term(self, kind):
        net = None if kind == "mle" else copy.deepcopy(self.net)
        return bilevel.PromptLoss(kind, self.settings, net)

    def optimiser(self, term):
        return torch.optim.Adam(term.net.parameters(), lr=self.settings.net_lr)


def step(cases, kinds):
    """The package's step (a), (b), (c) on a stack: the terms with W's gradient, Q's gradient, what it reports."""
    first = cases[0]
    terms = [case.term(kind) for case, kind in zip(cases, kinds, strict=True)]
    q_GCSD = torch.stack([case.q_CSD for case in cases]).requires_grad_()
    optimisers = [case.optimiser(term) for case, term in zip(cases, terms, strict=True) if term.net]
    batch = bilevel.Batch.of(first.layout, [case.rows for case in cases], [case.labels for case in cases])
    found = bilevel.algorithm_1_step(first.layout, q_GCSD, terms, optimisers, batch)
    return terms, q_GCSD.grad, found


# ---- the reference: one row at a time, no padding, plain autograd

def past(layout, q_CSD, c):
    """Keys and values of control code and prefix of prompt c in a cache, place by place, and how many places."""
    model, words, cache = layout.generator.model.base_model, layout.state_ids[c], transformers.DynamicCache()
    n_code, n_places = len(layout.code_ids), max(map(len, layout.state_ids))
    frozen = model(input_ids=torch.tensor([layout.code_ids]), use_cache=True).past_key_values
    n_heads, width = frozen.layers[0].keys.shape[1], frozen.layers[0].keys.shape[3]
    for i, layer in enumerate(frozen.layers):
        sides = []
        for s, code in enumerate((layer.keys, layer.values)):
            rows = [q_CSD[c, layout.n_slots + (2 * i + s) * n_places + place] for place in range(len(words))]
            sides.append(torch.cat([code, torch.stack([r.view(n_heads, width) for r in rows], 1)[None]], dim=2))
        cache.update(*sides, i)
    return cache, n_code + len(words)


def read(layout, q_CSD, row, c):
    """(log-probabilities, raw logits, hidden states) of the scored tokens under prompt c."""
    generator, n = layout.generator, layout.generator.n_vocab
    opening = layout.opening(c, row[0])
    ids = opening + row[1] + [layout.eos_ids[c]]
    table = generator.model.get_input_embeddings().weight
    vectors = torch.stack([q_CSD[c, i - n] if i >= n else table[i] for i in ids])
    before, n_before = past(layout, q_CSD, c) if layout.settings.prompt == "prefix" else (None, 0)
    places = torch.arange(n_before, n_before + len(ids))[None]
    hidden = generator.model.base_model(
        inputs_embeds=vectors[None].clone(), past_key_values=before, position_ids=places, use_cache=before is not None
    ).last_hidden_state[0]
    logits = generator.model.get_output_embeddings()(hidden)
    if layout.learned_eos:
        logits = torch.cat([logits, hidden @ q_CSD[c, layout.eos_ids[c] - n][:, None]], dim=1)
    at = [*range(len(opening), len(ids))]
    if layout.both:  # sentence 1 and its end, which stand before the infix
        at = [*range(len(opening) - len(layout.infix_ids) - len(row[0]) - 1, len(opening) - len(layout.infix_ids)), *at]
    raw = torch.stack([logits[t - 1, min(ids[t], n)] for t in at])
    return raw - torch.stack([logits[t - 1].logsumexp(0) for t in at]), raw, hidden[at]


def total_loss(case, q_CSD, net, kind):
    """E1, E2 or E6 by loops over rows and triples."""
    settings, labels, n = case.settings, case.labels, len(case.rows)
    own = [read(case.layout, q_CSD, row, c) for row, c in zip(case.rows, labels, strict=True)]
    if kind == "mle":
        return -sum(log_prob.sum() for log_prob, _, _ in own) / n
    source = [h for _, _, h in own] if net.reads == "hidden" else [x[:, None] for x in disc_tokens(case, q_CSD)]
    score = [(torch.relu(x.detach() @ net.inner.weight.T + net.inner.bias) @ net.outer.weight[0] + net.outer.bias).exp()
             for x in source]  # fmt: skip
    whole = sum(s.sum() for s in score)
    of_label = [sum(s.sum() for s, y in zip(score, labels, strict=True) if y == labels[i]) for i in range(n)]
    per_label = settings.weights_over == "per_label"
    weight = [s / (of_label[i] if per_label else whole) for i, s in enumerate(score)]
    loss = -sum((w * log_prob).sum() for w, (log_prob, _, _) in zip(weight, own, strict=True))
    loss = loss / len(set(labels)) if per_label else loss
    if kind == "fewgen":
        return loss

    def pooled(i, hidden):
        return (weight[i][:, None] * hidden).sum(0) / weight[i].sum()

    def cosine(a, b):
        return a @ b / (a @ a).sqrt() / (b @ b).sqrt()

    z = [pooled(i, own[i][2]) for i in range(n)]
    hinges = []
    for i, j in product(range(n), range(n)):
        if i == j or labels[i] != labels[j]:
            continue
        if settings.alignment == "class_triplet":
            negatives = [z[k] for k in range(n) if labels[k] != labels[i]]
        else:
            others = [c for c in range(len(case.layout.task.labels)) if c != labels[j]]
            negatives = [pooled(j, read(case.layout, q_CSD, case.rows[j], c)[2]) for c in others]
        hinges += [(settings.margin - cosine(z[i], z[j]) + cosine(z[i], negative)).clamp(min=0) for negative in negatives]
    return loss + sum(hinges) / len(hinges)


def disc_loss(case, q_CSD):
    """E4 by loops over rows and tokens."""
    return torch.cat(disc_tokens(case, q_CSD)).mean()


def disc_tokens(case, q_CSD):
    """E4 of every token, row by row."""
    terms = []
    for row, label in zip(case.rows, case.labels, strict=True):
        under = [read(case.layout, q_CSD, row, c) for c in range(len(case.layout.task.labels))]
        score = torch.stack([raw if case.settings.discrimination == "raw_logit" else log_prob for log_prob, raw, _ in under])
        ratio = score[label].exp() / score.exp().sum(0)
        terms.append(-(ratio if case.settings.discrimination == "ratio" else ratio.log()))
    return terms


def second_order(case, kind):
    """(L_disc at the virtual point, its gradient with respect to W) through the virtual step's own graph."""
    q_CSD, net = case.q_CSD.clone().requires_grad_(), copy.deepcopy(case.net)
    with sdpa_kernel(SDPBackend.MATH):
        (grad,) = torch.autograd.grad(total_loss(case, q_CSD, net, kind), q_CSD, create_graph=True)
        loss = disc_loss(case, q_CSD - case.settings.virtual_lr * grad)
        return loss, torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)


def check_step(case, kind):
    """Steps (b) and (c) of the package against the reference, to 1e-8 of their length."""
    (term,), q_grad, (found,) = step([case], [kind])
    disc, meta = second_order(case, kind)
    assert found["discrimination"] == pytest.approx(disc.item(), rel=1e-10)
    size = torch.cat([expected.flatten() for expected in meta]).norm()
    for name, parameter, expected in zip(("w1", "b1", "w2", "b2"), term.net.parameters(), meta, strict=True):
        if name == "b2":  # the softmax ignores a shift
            assert parameter.grad.abs() <= 1e-12 * size
        else:
            assert expected.norm() > 1e-5 * size > 1e-12, name
            assert (parameter.grad - expected).norm() <= 1e-8 * expected.norm(), name
    check_prompt_step(case, term.net, q_grad[0], found["loss"], kind)


def check_prompt_step(case, new_net, q_grad, reported, kind):
    q_CSD = case.q_CSD.clone().requires_grad_()
    loss = total_loss(case, q_CSD, new_net, kind)
    (expected,) = torch.autograd.grad(loss, q_CSD)
    assert reported == pytest.approx(loss.item(), rel=1e-10)
    assert (q_grad - expected).norm() <= 1e-8 * expected.norm()


GRID = [("fewgen", reads, form, "class_triplet") for reads, form in product(INPUTS, FORMS)]
GRID += [("dawgen", *rest) for rest in product(INPUTS, FORMS, READINGS)]


@pytest.mark.parametrize("prompt", ["soft", "prefix"])
@pytest.mark.parametrize("name", ["ctrl", "gpt2"])
@pytest.mark.parametrize("kind, reads, form, alignment", GRID)
def test_meta_gradient_equals_second_order_autograd(generators, smoke, mrpc, name, prompt, kind, reads, form, alignment):
    check_step(Setting(mrpc, generators[name], smoke.generator_tuning, net_reads=reads, discrimination=form,
                       alignment=alignment, prompt=prompt), kind)  # fmt: skip


@pytest.mark.parametrize("options", [
    {"weights_over": "per_label"}, {"eos": "learned"}, {"margin": 0.0}, {"margin": 0.0, "alignment": "prompt_contrast"},
    {"eos": "learned", "prompt": "prefix"}, {"discrimination_rows": 1},
    {"discrimination_rows": 4, "eos": "learned", "prompt": "prefix", "discrimination": "raw_logit"},
], ids=str)  # fmt: skip
def test_meta_gradient_with_three_classes_and_other_options(generators, smoke, sick, options):
    check_step(Setting(sick, generators["ctrl"], smoke.generator_tuning, **options), "dawgen")


def both(task):
    """The task with sentence 1 generated, and so scored, too."""
    return task.model_copy(update={"generator": task.generator.model_copy(update={"mode": "both"})})


@pytest.mark.parametrize("options", [{}, {"prompt": "prefix"}, {"eos": "learned"}], ids=str)
def test_meta_gradient_when_both_sentences_are_scored(generators, smoke, mrpc, options):
    check_step(Setting(both(mrpc), generators["gpt2"], smoke.generator_tuning, **options), "dawgen")


def test_fewgen_original_reads_losses_and_raw_logits_whatever_the_profile_says(generators, smoke, mrpc):
    settings = smoke.generator_tuning.model_copy(update={"net_reads": "hidden", "discrimination": "ratio"})
    layout = prompts.PromptLayout(mrpc, generators["ctrl"], settings)
    term, _ = bilevel.new_loss(layout, "fewgen_original", 0, settings)
    assert (term.settings.net_reads, term.settings.discrimination, term.net.reads) == ("loss", "raw_logit", "loss")
    term, _ = bilevel.new_loss(layout, "fewgen", 0, settings)
    assert term.settings is settings and term.net.reads == "hidden"


@pytest.mark.parametrize("eos", ["token", "learned"])
def test_mle_has_no_net_and_the_plain_gradient(generators, smoke, sick, eos):
    case = Setting(sick, generators["ctrl"], smoke.generator_tuning, eos=eos)
    (term,), q_grad, (found,) = step([case], ["mle"])
    assert term.net is None and found["discrimination"] != found["discrimination"]
    check_prompt_step(case, None, q_grad[0], found["loss"], "mle")


def test_every_option_is_another_method(generators, smoke, mrpc):
    """Two names, two meta-gradients: by kind, by the net's input, by the form of E4, by the reading of E5."""
    seen = set()
    for kind, reads, form, alignment in GRID:
        case = Setting(mrpc, generators["ctrl"], smoke.generator_tuning, net_reads=reads, discrimination=form,
                       alignment=alignment)  # fmt: skip
        (term,), _, _ = step([case], [kind])
        seen.add(round(term.net.outer.weight.grad.norm().item(), 15))
    assert len(seen) == len(GRID)


@pytest.mark.parametrize("prompt", ["soft", "prefix"])
@pytest.mark.parametrize("form", FORMS)
def test_a_few_rows_at_a_time_is_all_at_once(generators, smoke, sick, prompt, form):
    """Same values, same gradient: memory alone differs. Twelve rows of two prompts, in parts of 5, 5 and 2."""
    found = []
    for n in (12, 5):
        case = Setting(sick, generators["gpt2"], smoke.generator_tuning, prompt=prompt, discrimination_rows=n,
                       discrimination=form)  # fmt: skip
        other = [(first, second[:1]) for first, second in case.rows]
        batch = bilevel.Batch.of(case.layout, [case.rows, other], [case.labels] * 2)
        virtual = torch.stack([case.q_CSD, case.q_CSD * 0.9]).requires_grad_()
        found.append(bilevel.discrimination_gradient(case.layout, virtual, batch, case.settings))
    for whole, parts in zip(*found, strict=True):
        assert (whole - parts).norm() <= 1e-12 * whole.norm()


@pytest.mark.parametrize("alignment", READINGS)
def test_a_stack_of_two_equals_two_stacks_of_one(generators, smoke, mrpc, alignment):
    cases = [Setting(mrpc, generators["ctrl"], smoke.generator_tuning, seed=seed, alignment=alignment) for seed in (0, 1)]
    kinds = ["dawgen", "fewgen"]
    terms, grads, found = step(cases, kinds)
    for g, (case, kind) in enumerate(zip(cases, kinds, strict=True)):
        (alone,), grad, (row,) = step([case], [kind])
        assert (grads[g] - grad[0]).norm() <= 1e-10 * grad.norm()
        for a, b in zip(terms[g].net.parameters(), alone.net.parameters(), strict=True):
            assert (a.grad - b.grad).norm() <= 1e-9 * b.grad.norm() + 1e-15
            assert (a - b).norm() <= 1e-6 * b.norm() + 1e-12  # Adam divides by the gradient's own size
        assert found[g] == pytest.approx(row, rel=1e-8)


def padded_reading(reading: prompts.Reading, extra: int) -> prompts.Reading:
    """The same rows with `extra` more columns of padding that point at arbitrary words and places."""
    n = len(reading.ids_BT)
    more = torch.full((n, extra), 9)
    return prompts.Reading(
        torch.cat([reading.ids_BT, more], 1).masked_fill(~torch.cat([reading.kept_BT, more < 0], 1), 11),
        torch.cat([reading.kept_BT, more < 0], 1), torch.cat([reading.at_BL, more], 1),
        torch.cat([reading.scored_BL, more < 0], 1), reading.label_B, reading.prompt_B,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["ctrl", "gpt2"])
def test_padding_does_not_matter(generators, smoke, mrpc, name):
    case = Setting(mrpc, generators[name], smoke.generator_tuning)
    batch = bilevel.Batch.of(case.layout, [case.rows], [case.labels])
    longer = bilevel.Batch(padded_reading(batch.own, 4), padded_reading(batch.under, 4), 1)
    q_1CSD = case.q_CSD[None]
    plain, wide = (bilevel.read_tokens(case.layout, q_1CSD, b.own) for b in (batch, longer))
    scored_BL, n = batch.own.scored_BL, batch.own.scored_BL.shape[1]
    for a, b in ((plain.nll_BL, wide.nll_BL), (plain.logit_BL, wide.logit_BL), (plain.hidden_BLD, wide.hidden_BLD)):
        assert (a[scored_BL] - b[:, :n][scored_BL]).abs().max() < 1e-12
    results = []
    for one in (batch, longer):
        term, q_GCSD = case.term("dawgen"), q_1CSD.clone().requires_grad_()
        bilevel.algorithm_1_step(case.layout, q_GCSD, [term], [case.optimiser(term)], one)
        results.append([q_GCSD.grad, *(p.grad for p in term.net.parameters())])
    assert all((a - b).norm() <= 1e-9 * a.norm() + 1e-15 for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("mode", ["given_first", "both"])
@pytest.mark.parametrize("prompt", ["soft", "prefix"])
@pytest.mark.parametrize("eos", ["token", "learned"])
def test_tokens_are_read_as_one_row_at_a_time(generators, smoke, mrpc, eos, prompt, mode):
    task = both(mrpc) if mode == "both" else mrpc
    case = Setting(task, generators["gpt2"], smoke.generator_tuning, eos=eos, prompt=prompt)
    seen = bilevel.read_tokens(case.layout, case.q_CSD[None], case.layout.read(case.rows, case.labels))
    for b, (row, label) in enumerate(zip(case.rows, case.labels, strict=True)):
        log_prob, raw, hidden = read(case.layout, case.q_CSD, row, label)
        n = len(row[1]) + 1 + (len(row[0]) + 1 if mode == "both" else 0)
        assert len(raw) == n == case.layout.read([row], [label]).scored_BL.sum()
        assert torch.allclose(seen.nll_BL[b, :n], -log_prob, atol=1e-12)
        assert torch.allclose(seen.logit_BL[b, :n], raw, atol=1e-12)
        assert torch.allclose(seen.hidden_BLD[b, :n], hidden, atol=1e-12)


def test_virtual_step_by_pencil():
    # L = sum of squares at Q = (1, -2): gradient (2, -4), Q - 0.25 * gradient = (0.5, -1)
    q = torch.tensor([1.0, -2.0], requires_grad=True)
    loss = (q * q).sum()
    virtual = bilevel.virtual_step(q, loss, lr=0.25)
    assert virtual.tolist() == [0.5, -1.0] and virtual.is_leaf and virtual.requires_grad
    assert q.tolist() == [1.0, -2.0] and q.grad is None
    assert torch.autograd.grad(loss, q)[0].tolist() == [2.0, -4.0]  # the graph is still there for step (c)


def test_derivative_along_by_pencil():
    # f = (x y, x^2) at (3, 5) along (1, 2): y * 1 + x * 2 = 11, 2 x * 1 = 6
    at, direction = torch.tensor([3.0, 5.0]), torch.tensor([1.0, 2.0])
    found = bilevel.derivative_along(lambda v: (v[0] * v[1], v[0] ** 2), at, direction)
    assert [d.item() for d in found] == [11.0, 6.0]


def test_the_generator_stays_frozen(generators, smoke, mrpc):
    case = Setting(mrpc, generators["ctrl"], smoke.generator_tuning)
    before = case.layout.generator.weights_digest()
    step([case], ["dawgen"])
    assert case.layout.generator.weights_digest() == before
    assert all(p.grad is None for p in case.layout.generator.model.parameters())
