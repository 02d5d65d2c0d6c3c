"""Filters and counts on scripted continuations; decoding against recomputation without a cache."""

import copy

import pytest
import torch

from dawgen_core import backbones, generation, prompts
from dawgen_core.data.profiles import load_task
from dawgen_core.generation import Continuation, CorpusError, generate
from dawgen_core.samplers import seeded
from dawgen_core.tasks import Decode


def said(text: str, ended: bool = True, n_tokens: int = 2) -> Continuation:
    return Continuation(text, ended, n_tokens, -1.5)


class Script:
    """Continuations from a list per class, in order; remembers who was asked for what."""

    def __init__(self, *by_class):
        self.by_class = [iter(lines) for lines in by_class]
        self.asked: list[tuple[int, list[str]]] = []

    def __call__(self, firsts, label):
        self.asked.append((label, list(firsts)))
        return [next(self.by_class[label]) for _ in firsts]


def forever(text):
    while True:
        yield said(text)


def firsts(n: int) -> tuple[list[str], list[str]]:
    return [f"corpus.txt#{10 * i}" for i in range(n)], [f"First {i}" for i in range(n)]


@pytest.fixture(scope="module")
def settings(smoke):
    options = {"per_class": 3, "batch_size": 2, "on_length": "reject", "max_attempts_per_row": 4.0}
    return smoke.generation.model_copy(update=options)


BAD = [said("x", ended=False), said(""), said("   "), said("\nx"), said("x\ny"), said("\n")]
WHY = ["no_end", "empty", "empty", "starts_with_newline", "contains_forbidden", "starts_with_newline"]


@pytest.mark.parametrize("one, why", list(zip(BAD, WHY, strict=True)))
def test_reject_reasons(mrpc, one, why):
    assert generation.reject_reason(mrpc, one, on_length="reject") == why


def test_what_is_taken(mrpc):
    assert generation.reject_reason(mrpc, said(" fine ?"), on_length="reject") is None
    assert generation.reject_reason(mrpc, said("fine", ended=False), on_length="close") is None
    assert generation.reject_reason(mrpc, said("", ended=False), on_length="close") == "empty"
    assert generation.reject_reason(load_task("qnli"), said("fine ?"), on_length="reject") == "contains_forbidden"
    assert set(WHY) == set(generation.REASONS)


def test_rows_and_counts_of_a_script(mrpc, settings):
    zero = [*BAD, said("a"), said(" first 7 "), said("c")]
    script = Script(zero + [said("never taken")] * 9, forever("same"))
    out = generate(mrpc, script, firsts(12), settings, progress=False)
    rows = out.rows[out.rows.label == "not_equivalent"]
    # attempts 0 to 5 are refused for six reasons, 6 to 8 are taken; the chunk's last row (attempt 9) is not counted
    assert rows.row_id.tolist() == [f"not_equivalent#{i}" for i in range(3)]
    assert rows.sentence1.tolist() == ["First 6", "First 7", "First 8"]
    assert rows.sentence2.tolist() == ["a", "first 7", "c"]
    assert rows.source_row.tolist() == ["corpus.txt#60", "corpus.txt#70", "corpus.txt#80"]
    assert (rows.log_prob == -1.5).all() and (rows.n_tokens == 2).all() and not rows.closed.any()
    assert out.counts["not_equivalent"] == {
        "attempts": 9, "accepted": 3, "closed": 0, "copies": 1,
        "no_end": 1, "empty": 2, "starts_with_newline": 2, "contains_forbidden": 1,
    }  # fmt: skip
    assert out.counts["equivalent"]["attempts"] == out.counts["equivalent"]["accepted"] == 3
    assert out.rows.label.value_counts().to_dict() == {"not_equivalent": 3, "equivalent": 3}
    assert out.rows.row_id.is_unique


def test_counts_always_add_up(mrpc, settings):
    script = Script(BAD + [said("a"), said("a", ended=False)] * 9, forever("b"))
    for count in generate(mrpc, script, firsts(12), settings, progress=False).counts.values():
        assert count["attempts"] == count["accepted"] + sum(count[reason] for reason in generation.REASONS)


def test_closed_rows_are_taken_and_counted_on_request_only(mrpc, settings):
    lines = [said("a", ended=False), said("b")] * 9
    refused = generate(mrpc, Script(lines, forever("x")), firsts(12), settings, progress=False)
    closing = settings.model_copy(update={"on_length": "close"})
    taken = generate(mrpc, Script(lines, forever("x")), firsts(12), closing, progress=False)
    assert refused.counts["not_equivalent"]["no_end"] == 3 and refused.counts["not_equivalent"]["closed"] == 0
    assert taken.counts["not_equivalent"]["no_end"] == 0 and taken.counts["not_equivalent"]["closed"] == 2
    assert taken.rows.closed.tolist() == [True, False, True] + [False] * 3


@pytest.mark.parametrize("batch_size", [1, 2, 5, 99])
def test_each_first_sentence_serves_a_label_once_whatever_the_batch(mrpc, settings, batch_size):
    lines = [said("x", ended=False), said("ok")] * 30
    wide = settings.model_copy(update={"batch_size": batch_size})
    script = Script(list(lines), list(lines))
    out = generate(mrpc, script, firsts(12), wide, progress=False)
    for label, name in enumerate(mrpc.labels):
        asked = [text for who, texts in script.asked if who == label for text in texts]
        assert len(set(asked)) == len(asked)
        rows = out.rows[out.rows.label == name]
        assert rows.sentence1.is_unique and rows.sentence1.tolist() == ["First 1", "First 3", "First 5"]
    assert max(len(texts) for _, texts in script.asked) <= batch_size


def test_a_dry_corpus_is_an_error_that_says_why(mrpc, settings):
    lines = [said("x", ended=False)] * 3 + [said("ok")] * 2
    with pytest.raises(CorpusError, match=r"not_equivalent: expected 3 rows from 5 first sentences.*found 2.*'no_end': 3"):
        generate(mrpc, Script(lines, []), firsts(5), settings, progress=False)


def test_attempts_are_limited(mrpc, settings):
    script = Script([said("")] * 99, [])
    with pytest.raises(CorpusError, match="at most 12 attempts"):  # 3 rows * 4 attempts
        generate(mrpc, script, firsts(99), settings, progress=False)
    assert sum(len(texts) for _, texts in script.asked) == 12


# ---- decoding

FIRSTS = ["Alden said on Monday that it will close", "Borealis", "Cadmus will buy a rival in Lagos .", "it",
          "lake from shipping cat Wikipedia"]  # the last: words that the model likes to say


@pytest.fixture(scope="module")
def spread_generator(generator64):
    """A copy of the tiny generator with larger weights and its own output rows, so that it does not just repeat itself."""
    spread = backbones.Generator(copy.deepcopy(generator64.model), generator64.tokenizer, "spread")
    random, model = torch.Generator().manual_seed(1), spread.model
    model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight), requires_grad=False)
    with torch.no_grad():
        model.lm_head.weight.normal_(generator=random)
        model.lm_head.bias[spread.tokenizer.eos_token_id] = 10.0  # some sentences end, some do not
        for name, parameter in model.transformer.named_parameters():
            if name.startswith("h.") and parameter.dim() > 1:
                parameter.normal_(std=0.3, generator=random)
    return spread


def made(task, generator, smoke, *, eos="token", max_tokens=96, **rules):
    decoding = {label: Decode(**rules) for label in task.labels} if rules else task.decoding
    settings = smoke.generator_tuning.model_copy(update={"eos": eos, "max_tokens": max_tokens})
    layout = prompts.PromptLayout(task.model_copy(update={"decoding": decoding}), generator, settings)
    noise = torch.randn(layout.initial().shape, dtype=torch.float64, generator=seeded(3))
    return layout, (layout.initial().double() + 0.3 * noise)[None]


@torch.no_grad()
def recomputed(layout, q_1CSD, first: str, label: int, settings) -> Continuation:
    """Greedy decoding by reading the whole row again at every step: no cache, no padding, no batch."""
    generator, n = layout.generator, layout.generator.n_vocab
    first_ids = generator.ids(first)[: layout.settings.max_first_tokens]
    opening, new = layout.opening(label, first_ids), []
    penalty = layout.task.decoding[layout.task.labels[label]].repetition_penalty
    end, table = n if layout.learned_eos else layout.eos_ids[label], generator.embedding.weight
    limit, total = min(settings.max_new_tokens, generator.model.config.n_positions - len(opening) - 1), 0.0
    while True:
        vectors = torch.stack([q_1CSD[0, label, i - n] if i >= n else table[i] for i in opening + new])
        hidden = generator.model.base_model(inputs_embeds=vectors[None].clone()).last_hidden_state[0, -1]
        logits = generator.model.get_output_embeddings()(hidden)
        if layout.learned_eos:
            logits = torch.cat([logits, (hidden @ q_1CSD[0, label, layout.eos_ids[label] - n])[None]])
        score = [x / penalty if x > 0 else x * penalty for x in logits.tolist()]
        seen = {*first_ids, *new}
        best = max(range(len(score)), key=lambda i: score[i] if i in seen else logits[i].item())
        if best == end or len(new) < limit:
            total += logits.log_softmax(0)[best].item()
        if best == end or len(new) == limit:
            text = generator.tokenizer.decode(new, skip_special_tokens=True)
            return Continuation(text, best == end, len(new) + (best == end), total)
        new.append(best)


def assert_same(found: Continuation, expected: Continuation):
    assert (found.text, found.ended, found.n_tokens) == (expected.text, expected.ended, expected.n_tokens)
    assert found.log_prob == pytest.approx(expected.log_prob, abs=1e-9)


@pytest.mark.parametrize("eos", ["token", "learned"])
@pytest.mark.parametrize("penalty", [1.0, 1.5])
def test_decoding_with_a_cache_equals_recomputation(spread_generator, smoke, mrpc, eos, penalty):
    layout, q_1CSD = made(mrpc, spread_generator, smoke, eos=eos, repetition_penalty=penalty)
    texts = set()
    for label in (0, 1):
        found = generation.decode(layout, q_1CSD, FIRSTS, label, smoke.generation, seeded(1))
        for first, one in zip(FIRSTS, found, strict=True):
            assert_same(one, recomputed(layout, q_1CSD, first, label, smoke.generation))
            texts.add(one.text)
    assert len(texts) > 5  # the model does not say the same everywhere


def test_the_repetition_penalty_matters_and_belongs_to_the_label(spread_generator, smoke, mrpc):
    plain, q_1CSD = made(mrpc, spread_generator, smoke, repetition_penalty=1.0)
    own, _ = made(mrpc, spread_generator, smoke)  # 1.5 for not_equivalent, 1.0 for equivalent
    found = {label: [[c.text for c in generation.decode(layout, q_1CSD, FIRSTS, label, smoke.generation, seeded(1))]
                     for layout in (plain, own)] for label in (0, 1)}  # fmt: skip
    assert found[1][0] == found[1][1] and found[0][0] != found[0][1]


@pytest.mark.parametrize("eos", ["token", "learned"])
def test_greedy_decoding_does_not_depend_on_the_batch(spread_generator, smoke, mrpc, eos):
    layout, q_1CSD = made(mrpc, spread_generator, smoke, eos=eos)
    whole = generation.decode(layout, q_1CSD, FIRSTS, 0, smoke.generation, seeded(1))
    for first, expected in zip(FIRSTS, whole, strict=True):
        assert_same(generation.decode(layout, q_1CSD, [first], 0, smoke.generation, seeded(2))[0], expected)


@pytest.mark.parametrize("n", [1, 4])
def test_no_more_than_max_new_tokens(spread_generator, smoke, mrpc, n):
    layout, q_1CSD = made(mrpc, spread_generator, smoke)
    silent = q_1CSD.clone()
    few = smoke.generation.model_copy(update={"max_new_tokens": n})
    for one in generation.decode(layout, silent, FIRSTS, 0, few, seeded(1)):
        assert one.n_tokens - one.ended <= n
        assert one.ended or one.n_tokens == n


def test_the_models_positions_limit_the_whole_row(spread_generator, smoke, mrpc, monkeypatch):
    opening = len(made(mrpc, spread_generator, smoke)[0].opening(0, spread_generator.ids(FIRSTS[0])))
    layout, q_1CSD = made(mrpc, spread_generator, smoke, repetition_penalty=1.5)
    monkeypatch.setattr(spread_generator.model.config, "n_positions", opening + 4)
    found = generation.decode(layout, q_1CSD, FIRSTS, 0, smoke.generation, seeded(1))
    assert found[0].n_tokens - found[0].ended <= 3
    for first, one in zip(FIRSTS, found, strict=True):
        assert_same(one, recomputed(layout, q_1CSD, first, 0, smoke.generation))


def test_a_learned_end_ends_the_sentence(spread_generator, smoke, mrpc):
    layout, q_1CSD = made(mrpc, spread_generator, smoke, eos="learned", repetition_penalty=1.0)
    slot = layout.eos_ids[1] - spread_generator.n_vocab
    with torch.no_grad():
        reading = layout.read([(spread_generator.ids(FIRSTS[0]), [])], [1])
        inputs = layout.embed(q_1CSD, reading.ids_BT[:, :-1], reading.label_B, reading.prompt_B)
        last = spread_generator.states(inputs, reading.kept_BT[:, :-1])[0, -1]
    for sign, ended in ((50.0, True), (-50.0, False)):  # the end's row along, then against, the state before it
        q_1CSD[0, 1, slot] = sign * last
        one = generation.decode(layout, q_1CSD, FIRSTS[:1], 1, smoke.generation, seeded(1))[0]
        assert (one.ended and one.text == "" and one.n_tokens == 1) == ended
        if ended:
            assert one.log_prob == pytest.approx(0.0, abs=1e-6)


def test_sampling_follows_its_generator(spread_generator, smoke, mrpc):
    layout, q_1CSD = made(mrpc, spread_generator, smoke, temperature=1.0, top_k=20)
    runs = [generation.decode(layout, q_1CSD, FIRSTS, 0, smoke.generation, seeded(s)) for s in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_continuations_feed_generate(spread_generator, smoke, mrpc, monkeypatch):
    layout, q_1CSD = made(mrpc, spread_generator, smoke, repetition_penalty=1.5)
    closing = smoke.generation.model_copy(update={"per_class": 2, "batch_size": 3})
    monkeypatch.setattr(generation, "reject_reason", lambda *_, **__: None)
    source = generation.continuations(layout, q_1CSD[0], closing, seeded(1))
    out = generate(mrpc, source, (list("abcde"), FIRSTS), closing, progress=False)
    assert out.rows.label.tolist() == ["not_equivalent"] * 2 + ["equivalent"] * 2
    for label, start in ((0, 0), (1, 2)):
        expected = generation.decode(layout, q_1CSD, FIRSTS[:3], label, closing, seeded(1))
        assert out.rows.sentence2.tolist()[start : start + 2] == [c.text.strip() for c in expected][:2]


def test_decoding_leaves_model_and_prompt_alone(spread_generator, smoke, mrpc):
    layout, q_1CSD = made(mrpc, spread_generator, smoke)
    before, digest = q_1CSD.clone(), spread_generator.weights_digest()
    generation.decode(layout, q_1CSD, FIRSTS, 0, smoke.generation, seeded(1))
    assert torch.equal(before, q_1CSD) and spread_generator.weights_digest() == digest
