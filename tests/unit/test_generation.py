"""Decoding side by side against recomputation of each sentence alone, without a cache."""

import copy

import pytest
import torch

from dawgen_core import backbones, generation, prompts, samplers
from dawgen_core.data import pretrained
from dawgen_core.generation import Continuation
from dawgen_core.params import Backbone
from dawgen_core.samplers import DECODING, seeded
from dawgen_core.tasks import Decode

FIRSTS = ["Alden said on Monday that it will close", "Borealis", "Cadmus will buy a rival in Lagos .", "it",
          "lake from shipping cat Wikipedia",  # words that the model likes to say
          "Alden", "Monday in Lagos", "The rival said that it will close on Monday"]
SHAPE = {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 256, "initializer_range": 0.15}


def spread(frozen: backbones.Generator, end: float) -> backbones.Generator:
    """A float64 copy with larger weights and its own output rows, so that it does not just repeat itself; it can end."""
    model, random = copy.deepcopy(frozen.model).double(), torch.Generator().manual_seed(1)
    n_vocab, width = frozen.embedding.weight.shape
    model.lm_head = torch.nn.Linear(width, n_vocab, dtype=torch.float64).requires_grad_(False)
    model.lm_head.weight.normal_(generator=random)
    model.lm_head.bias.zero_()[frozen.tokenizer.eos_token_id] = end  # some sentences end, some do not
    for name, parameter in model.base_model.named_parameters():
        if name.startswith("h.") and parameter.dim() > 1:
            parameter.normal_(std=0.3, generator=random)
    return backbones.Generator(model, frozen.tokenizer, "spread")


@pytest.fixture(scope="module")
def ctrl(generator):
    return spread(generator, 10.0)


@pytest.fixture(scope="module")
def gpt2(smoke, texts):
    backbone = Backbone(model="tiny:gpt2", architecture="gpt2", shape=SHAPE, n_words=400)
    return spread(pretrained.load_generator(backbone, smoke.compute, texts), 2.0)


@pytest.fixture(scope="module", params=["ctrl", "gpt2"])
def model(request):
    return request.getfixturevalue(request.param)


def made(task, generator, smoke, *, eos="token", prompt="soft", mode="given_first", max_tokens=96, **rules):
    decoding = {label: Decode(**rules) for label in task.labels} if rules else task.decoding
    texts = task.generator.model_copy(update={"mode": mode})
    settings = smoke.generator_tuning.model_copy(update={"eos": eos, "max_tokens": max_tokens, "prompt": prompt})
    layout = prompts.PromptLayout(task.model_copy(update={"decoding": decoding, "generator": texts}), generator, settings)
    noise = torch.randn(layout.initial().shape, dtype=torch.float64, generator=seeded(3))
    return layout, (layout.initial().double() + 0.3 * noise)[None]


def settings_of(smoke, **changed):
    return smoke.generation.model_copy(update=changed)


def spoken(layout, q_1CSD, settings, label, firsts=FIRSTS, seed=1, attempts=None):
    return generation.decode(layout, q_1CSD, settings, seed, label, attempts or range(len(firsts)), firsts)


def last_state(layout, q_1CSD, label: int, ids: list[int]) -> torch.Tensor:
    """The last state of one whole row, read anew: no cache of earlier steps, no padding, no batch."""
    generator, n = layout.generator, layout.generator.n_vocab
    if layout.code_states is None:
        table = generator.embedding.weight
        vectors = torch.stack([q_1CSD[0, label, i - n] if i >= n else table[i] for i in ids])
        return generator.model.base_model(inputs_embeds=vectors[None].clone()).last_hidden_state[0, -1]
    ids_1T, zero = torch.tensor([ids]), torch.zeros(1, dtype=torch.long)
    return layout.states(q_1CSD, ids_1T, ids_1T >= 0, zero + label, zero)[0][0, -1]


@torch.no_grad()
def recomputed(layout, q_1CSD, settings, label: int, first: str | None, seed=1, attempt=0) -> Continuation:
    """Decoding by reading the whole row again at every step."""
    generator, n, limits = layout.generator, layout.generator.n_vocab, layout.settings
    first_ids = None if first is None else generator.ids(first)[: limits.max_first_tokens]
    opening, new = layout.opening(label, first_ids), []
    rule = layout.task.decoding[layout.task.labels[label]].model_dump()
    penalty, end = rule.pop("repetition_penalty"), n if layout.learned_eos else layout.eos_ids[label]
    most = settings.max_new_tokens if first is not None else min(settings.max_new_tokens, limits.max_first_tokens)
    limit, total = min(most, generator.positions - layout.n_past - len(opening) - 1), 0.0
    draws = torch.rand(settings.max_new_tokens + 1, dtype=torch.float64,
                       generator=seeded(seed, DECODING, label, int(first is not None), attempt))  # fmt: skip
    while True:
        hidden = last_state(layout, q_1CSD, label, opening + new)
        logits = generator.model.get_output_embeddings()(hidden)
        if layout.learned_eos:
            logits = torch.cat([logits, (hidden @ q_1CSD[0, label, layout.eos_ids[label] - n])[None]])
        seen = {*(first_ids or []), *new}
        score = [(x / penalty if x > 0 else x * penalty) if i in seen else x for i, x in enumerate(logits.tolist())]
        scores_1V = torch.tensor([score], dtype=torch.float64)
        best = samplers.choose_token(scores_1V, draws[len(new)][None], **rule).item()
        if best == end or len(new) < limit:
            total += logits.log_softmax(0)[best].item()
        if best == end or len(new) == limit:
            text = generator.tokenizer.decode(new, skip_special_tokens=True)
            return Continuation(text, best == end, len(new) + (best == end), total)
        new.append(best)


def assert_same(found: Continuation, expected: Continuation):
    assert (found.text, found.ended, found.n_tokens) == (expected.text, expected.ended, expected.n_tokens)
    assert found.log_prob == pytest.approx(expected.log_prob, abs=1e-9)


SAMPLED = {"temperature": 0.9, "top_k": 40, "top_p": 0.95, "repetition_penalty": 1.2}


@pytest.mark.parametrize("prompt", ["soft", "prefix"])
@pytest.mark.parametrize("eos", ["token", "learned"])
@pytest.mark.parametrize("rule", [{"repetition_penalty": 1.0}, {"repetition_penalty": 1.5}, SAMPLED],
                         ids=["greedy", "penalty", "sampled"])  # fmt: skip
def test_side_by_side_equals_recomputation_alone(model, smoke, mrpc, prompt, eos, rule):
    """Lanes are refilled (8 sentences, 3 lanes) and of unequal openings; every sentence is as if written alone."""
    layout, q_1CSD = made(mrpc, model, smoke, eos=eos, prompt=prompt, **rule)
    settings, texts = settings_of(smoke, batch_size=3), set()
    for label in (0, 1):
        found = spoken(layout, q_1CSD, settings, label)
        for attempt, (first, one) in enumerate(zip(FIRSTS, found, strict=True)):
            assert_same(one, recomputed(layout, q_1CSD, settings, label, first, attempt=attempt))
            texts.add(one.text)
    assert len(texts) > 5  # the model does not say the same everywhere


@pytest.mark.parametrize("prompt", ["soft", "prefix"])
@pytest.mark.parametrize("eos", ["token", "learned"])
def test_a_generated_first_sentence_and_its_second(model, smoke, mrpc, prompt, eos):
    layout, q_1CSD = made(mrpc, model, smoke, eos=eos, prompt=prompt, mode="both", temperature=4.0, top_p=0.95)
    settings = settings_of(smoke, batch_size=3)
    own = generation.decode(layout, q_1CSD, settings, 1, 0, range(5), None)
    assert len({one.text for one in own}) > 3
    for attempt, one in enumerate(own):
        assert_same(one, recomputed(layout, q_1CSD, settings, 0, None, attempt=attempt))
    firsts = [one.text.strip() for one in own]
    for attempt, one in enumerate(spoken(layout, q_1CSD, settings, 0, firsts)):
        assert_same(one, recomputed(layout, q_1CSD, settings, 0, firsts[attempt], attempt=attempt))


def test_a_first_sentence_is_no_longer_than_its_second_reads(ctrl, smoke, mrpc):
    layout, q_1CSD = made(mrpc, ctrl, smoke, mode="both", eos="learned", **SAMPLED)
    layout.settings = layout.settings.model_copy(update={"max_first_tokens": 4})
    own = generation.decode(layout, q_1CSD, settings_of(smoke, batch_size=3), 1, 0, range(9), None)
    assert max(one.n_tokens - one.ended for one in own) == 4 < smoke.generation.max_new_tokens


def test_the_repetition_penalty_matters_and_belongs_to_the_label(ctrl, smoke, mrpc):
    plain, q_1CSD = made(mrpc, ctrl, smoke, repetition_penalty=1.0)
    own, _ = made(mrpc, ctrl, smoke)  # 1.5 for not_equivalent, 1.0 for equivalent
    found = {label: [[c.text for c in spoken(layout, q_1CSD, smoke.generation, label)] for layout in (plain, own)]
             for label in (0, 1)}  # fmt: skip
    assert found[1][0] == found[1][1] and found[0][0] != found[0][1]


@pytest.mark.parametrize("refill", [1e-9, 0.5, 1.0])
@pytest.mark.parametrize("rule", [{"repetition_penalty": 1.2}, SAMPLED], ids=["greedy", "sampled"])
def test_no_sentence_depends_on_batch_neighbours_or_refilling(ctrl, smoke, mrpc, monkeypatch, refill, rule):
    layout, q_1CSD = made(mrpc, ctrl, smoke, **rule)
    whole = spoken(layout, q_1CSD, smoke.generation, 0)
    monkeypatch.setattr(generation, "REFILL", refill)
    for size in (1, 2, 5, 99):
        for found, expected in zip(spoken(layout, q_1CSD, settings_of(smoke, batch_size=size), 0), whole, strict=True):
            assert_same(found, expected)
    some = [6, 1, 4]
    for found, i in zip(spoken(layout, q_1CSD, smoke.generation, 0, [FIRSTS[i] for i in some], attempts=some), some,
                        strict=True):  # fmt: skip
        assert_same(found, whole[i])


def watched(model, monkeypatch) -> list[tuple[int, torch.Tensor]]:
    """What the model is asked from now on: new places of each row, and the mask of all."""
    read, states = [], model.states

    def record(inputs_BTD, kept_BT, cache=None):
        read.append((inputs_BTD.shape[1], kept_BT))
        return states(inputs_BTD, kept_BT, cache)

    monkeypatch.setattr(model, "states", record)
    return read


def test_lanes_are_refilled_and_columns_that_nobody_keeps_are_dropped(ctrl, smoke, mrpc, monkeypatch):
    layout, q_1CSD = made(mrpc, ctrl, smoke, prompt="prefix", **SAMPLED)
    read = watched(ctrl, monkeypatch)
    firsts, settings = FIRSTS * 6, settings_of(smoke, batch_size=4)
    found = spoken(layout, q_1CSD, settings, 0, firsts)
    openings = [layout.n_past + len(layout.opening(0, ctrl.ids(first))) for first in firsts]
    steps = [kept_BT for n_new, kept_BT in read if n_new == 1]
    assert max(len(kept_BT) for _, kept_BT in read) == 4
    assert max(kept_BT.shape[1] for kept_BT in steps) <= max(openings) + settings.max_new_tokens + 1
    n_tokens = sum(one.n_tokens for one in found)
    assert n_tokens / 4 <= len(steps) < 1.3 * n_tokens / 4  # hardly a lane idles


@pytest.mark.parametrize("n", [1, 4])
def test_no_more_than_max_new_tokens(ctrl, smoke, mrpc, n):
    layout, q_1CSD = made(mrpc, ctrl, smoke)
    for one in spoken(layout, q_1CSD, settings_of(smoke, max_new_tokens=n), 0):
        assert one.n_tokens - one.ended <= n
        assert one.ended or one.n_tokens == n


@pytest.mark.parametrize("prompt", ["soft", "prefix"])
def test_the_models_positions_limit_the_whole_row(ctrl, smoke, mrpc, monkeypatch, prompt):
    layout, q_1CSD = made(mrpc, ctrl, smoke, prompt=prompt, repetition_penalty=1.5)
    opening = layout.n_past + max(len(layout.opening(0, ctrl.ids(first))) for first in FIRSTS)
    monkeypatch.setattr(ctrl, "positions", opening + 4)
    monkeypatch.setattr(generation, "REFILL", 1.0)  # lanes idle long, and go no further than their sentence
    read = watched(ctrl, monkeypatch)
    found = spoken(layout, q_1CSD, smoke.generation, 0)
    assert max(int(kept_BT.sum(1).max()) for _, kept_BT in read) == opening + 3
    longest = max(range(len(FIRSTS)), key=lambda i: len(ctrl.ids(FIRSTS[i])))
    assert found[longest].n_tokens - found[longest].ended <= 3
    for first, one in zip(FIRSTS, found, strict=True):
        assert_same(one, recomputed(layout, q_1CSD, smoke.generation, 0, first))
    monkeypatch.setattr(ctrl, "positions", opening + 1)
    with pytest.raises(ValueError, match=f"max_first_tokens: expected room for a sentence in {opening + 1} positions"):
        spoken(layout, q_1CSD, smoke.generation, 0)


def test_a_learned_end_ends_the_sentence(ctrl, smoke, mrpc):
    layout, q_1CSD = made(mrpc, ctrl, smoke, eos="learned", repetition_penalty=1.0)
    slot = layout.eos_ids[1] - ctrl.n_vocab
    with torch.no_grad():
        last = last_state(layout, q_1CSD, 1, layout.opening(1, ctrl.ids(FIRSTS[0])))
    for sign, ended in ((50.0, True), (-50.0, False)):  # the end's row along, then against, the state before it
        q_1CSD[0, 1, slot] = sign * last
        one = spoken(layout, q_1CSD, smoke.generation, 1, FIRSTS[:1])[0]
        assert (one.ended and one.text == "" and one.n_tokens == 1) == ended
        if ended:
            assert one.log_prob == pytest.approx(0.0, abs=1e-6)


def test_sampling_follows_seed_label_attempt_and_sentence(ctrl, smoke, mrpc):
    layout, q_1CSD = made(mrpc, ctrl, smoke, mode="both", temperature=4.0, top_k=20)
    q_1CSD[:, 1] = q_1CSD[:, 0]

    def one(seed=1, label=0, attempts=(3,), firsts=("it",)):
        return generation.decode(layout, q_1CSD, smoke.generation, seed, label, attempts, firsts)[0].text

    others = [one(seed=2), one(attempts=(4,)), one(label=1)]
    assert one() == one() and len({one(), *others}) == 4
    draws = {seeded(1, DECODING, 0, sentence, 3).initial_seed() for sentence in (0, 1)}
    assert len(draws) == 2


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(),
                                   RuntimeError("DefaultCPUAllocator: can't allocate memory")])  # fmt: skip
def test_too_little_memory_names_what_to_lower(ctrl, smoke, mrpc, monkeypatch, error):
    layout, q_1CSD = made(mrpc, ctrl, smoke)

    def fails(*_):
        raise error

    monkeypatch.setattr(ctrl, "logits", fails)
    with pytest.raises(MemoryError, match="generation.batch_size: expected memory for .* at once.*set it to"):
        spoken(layout, q_1CSD, smoke.generation, 0)
    error = RuntimeError("something else")
    with pytest.raises(RuntimeError, match="something else"):
        spoken(layout, q_1CSD, smoke.generation, 0)


def test_continuations_is_decode_with_its_prompt(ctrl, smoke, mrpc):
    layout, q_1CSD = made(mrpc, ctrl, smoke, **SAMPLED)
    ask = generation.continuations(layout, q_1CSD[0], smoke.generation, 5)
    assert ask(1, range(2, 4), FIRSTS[:2]) == spoken(layout, q_1CSD, smoke.generation, 1, FIRSTS[:2], 5, [2, 3])
    assert ask(1, [], []) == []


def test_decoding_leaves_model_and_prompt_alone(ctrl, smoke, mrpc):
    layout, q_1CSD = made(mrpc, ctrl, smoke)
    before, digest = q_1CSD.clone(), ctrl.weights_digest()
    spoken(layout, q_1CSD, smoke.generation, 0)
    assert torch.equal(before, q_1CSD) and ctrl.weights_digest() == digest
