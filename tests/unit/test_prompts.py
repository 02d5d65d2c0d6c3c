"""Where the slots stand, what classifier inputs never lose, and prompts that PEFT loads."""

import copy
import json

import pandas as pd
import pytest
import torch
import transformers
from peft import PeftConfig, PeftModel, get_peft_model
from safetensors.torch import save_file

from dawgen_core import backbones, bilevel, prompts
from dawgen_core.artifacts import ArtifactError
from dawgen_core.audit.inputs import generator_input
from dawgen_core.data import adapters, encoding

PREFIX = {"not_equivalent": "Sentence 1 is different from Sentence 2. Sentence 1:", "equivalent": "Sentence 1:"}


@pytest.fixture(scope="module")
def uneven(mrpc):
    return mrpc.model_copy(update={"generator": mrpc.generator.model_copy(update={"prefix": PREFIX})})


@pytest.fixture(scope="module", params=["token", "learned"])
def layout(request, uneven, generator, smoke):
    settings = smoke.generator_tuning.model_copy(update={"eos": request.param, "max_tokens": 40, "max_first_tokens": 6})
    return prompts.PromptLayout(uneven, generator, settings)


# ---- the generator's input

def test_slots_stand_around_the_first_sentence(layout, generator):
    n, first, second = generator.n_vocab, [5, 6, 7], [8, 9]
    sizes = [len(generator.ids(PREFIX[label])) for label in layout.task.labels]
    assert sizes[0] > sizes[1] and len(layout.infix_ids) == 2
    reading = layout.read([(first, second)] * 2, [0, 1])
    end_token = generator.tokenizer.eos_token_id
    for label, size in enumerate(sizes):
        end = n + size + 2 if layout.learned_eos else end_token
        row = [*layout.code_ids, *range(n, n + size), *first, n + size, n + size + 1, *second, end]
        assert reading.ids_BT[label][reading.kept_BT[label]].tolist() == row
        assert layout.opening(label, first) == row[:-3]
        scored = reading.at_BL[label][reading.scored_BL[label]]
        assert reading.ids_BT[label][scored].tolist() == [*second, end]
    assert layout.n_slots == sizes[0] + 2 + layout.learned_eos
    assert reading.kept_BT.sum(1).tolist() == [len(layout.code_ids) + size + 8 for size in sizes]
    assert reading.prompt_B.tolist() == [0, 0] and reading.label_B.tolist() == [0, 1]


def test_q_starts_from_the_words(layout, generator):
    q_CSD = layout.initial()
    table = generator.embedding.weight
    assert q_CSD.shape == (2, layout.n_slots, generator.width) and q_CSD.dtype == torch.float32
    ids = generator.ids(PREFIX["equivalent"]) + generator.ids("Sentence 2:")
    assert torch.equal(q_CSD[1, : len(ids)], table[ids])
    used = len(ids) + layout.learned_eos
    assert (q_CSD[1, used:] == 0).all() and len(q_CSD[1, used:]) > 0
    assert (q_CSD[0].abs().sum(-1) > 0).all()


def test_embedding_takes_words_from_the_table_and_slots_from_q(layout, generator):
    random = torch.Generator().manual_seed(0)
    q_GCSD = torch.randn(3, 2, layout.n_slots, generator.width, generator=random).requires_grad_()
    n = generator.n_vocab
    ids_BT, label_B, prompt_B = torch.tensor([[7, n, n + 1], [n + 1, 0, 8]]), torch.tensor([1, 0]), torch.tensor([2, 0])
    inputs = layout.embed(q_GCSD, ids_BT, label_B, prompt_B)
    table = generator.embedding.weight
    assert torch.equal(inputs[0], torch.stack([table[7], q_GCSD[2, 1, 0], q_GCSD[2, 1, 1]]))
    assert torch.equal(inputs[1], torch.stack([q_GCSD[0, 0, 1], table[0], table[8]]))
    (grad,) = torch.autograd.grad(inputs.sum(), q_GCSD)
    touched = {(2, 1, 0), (2, 1, 1), (0, 0, 1)}
    assert {tuple(i) for i in grad.abs().sum(-1).nonzero().tolist()} == touched


def test_long_rows_lose_words_but_never_their_end(layout):
    first, second = list(range(5, 25)), list(range(30, 90))
    reading = layout.read([(first, second)] * 2, [0, 1])
    n_scored = reading.scored_BL.sum(1).tolist()
    assert n_scored[0] == n_scored[1]  # every label reads the same tokens
    assert reading.kept_BT.sum(1).max() == 40
    for label in (0, 1):
        tokens = reading.ids_BT[label][reading.at_BL[label][reading.scored_BL[label]]].tolist()
        assert tokens == [*second[: n_scored[0] - 1], layout.eos_ids[label]]
        assert layout.opening(label, first)[-3:-2] == [first[5]]  # six tokens of the first sentence


def test_room_is_that_of_the_longest_prefix_whoever_has_it(mrpc, generator, smoke):
    """Label 0 with the short prefix, soft and of keys and values: both labels read the same tokens within max_tokens."""
    prefix = {"not_equivalent": PREFIX["equivalent"], "equivalent": PREFIX["not_equivalent"]}
    task = mrpc.model_copy(update={"generator": mrpc.generator.model_copy(update={"prefix": prefix})})
    n_long = len(generator.ids(prefix["equivalent"]))
    for kind in ("soft", "prefix"):
        settings = smoke.generator_tuning.model_copy(update={"prompt": kind, "max_tokens": 40, "max_first_tokens": 6})
        layout = prompts.PromptLayout(task, generator, settings)
        assert layout.room([5, 6, 7]) == 40 - 1 - n_long - 3 - 2  # control code, prefix, sentence 1, infix
        assert layout.read([([5, 6, 7], list(range(30, 90)))] * 2, [0, 1]).scored_BL.sum(1).tolist() == [34 - n_long] * 2


def test_a_learned_end_starts_from_the_full_stop(layout, generator):
    if layout.learned_eos:
        q_CSD, stop = layout.initial(), generator.embedding.weight[generator.ids(".")[-1]]
        ends = [end - generator.n_vocab for end in layout.eos_ids]
        assert all(torch.equal(q_CSD[label, end], stop) for label, end in enumerate(ends))


def test_no_room_for_the_second_sentence_is_an_error(uneven, generator, smoke):
    settings = smoke.generator_tuning.model_copy(update={"max_tokens": 18, "max_first_tokens": 6})
    tight = prompts.PromptLayout(uneven, generator, settings)
    with pytest.raises(ValueError, match="raise max_tokens or lower max_first_tokens"):
        tight.read([(list(range(5, 15)), [5])], [0])


def test_a_tokenizer_without_an_end_needs_a_learned_one(uneven, generator, smoke):
    silent = copy.copy(generator)
    silent.tokenizer = copy.deepcopy(generator.tokenizer)
    silent.tokenizer.eos_token = None
    with pytest.raises(ValueError, match="learned"):
        prompts.PromptLayout(uneven, silent, smoke.generator_tuning.model_copy(update={"eos": "token"}))
    prompts.PromptLayout(uneven, silent, smoke.generator_tuning.model_copy(update={"eos": "learned"}))


def test_describe_lists_the_very_input(layout, generator):
    for label in (0, 1):
        table = generator_input(layout, label, "Alden said", "The company")
        reading = layout.read([(generator.ids("Alden said"), generator.ids("The company"))], [label])
        ids = reading.ids_BT[0].tolist()
        assert len(table) == len(ids)
        is_slot = table["what"].str.contains("trainable slot").tolist()
        assert is_slot == [i >= generator.n_vocab for i in ids]
        assert table["what"].str.startswith("scored").sum() == reading.scored_BL.sum()
        words = [i for i, slot in zip(ids, is_slot, strict=True) if not slot]
        pieces = [p for p, slot in zip(table["piece"], is_slot, strict=True) if not slot]
        assert generator.tokenizer.convert_ids_to_tokens(words) == pieces


def test_a_field_of_one_long_word_keeps_its_beginning(mrpc, classifier):
    (ids,) = encode(mrpc, classifier, frame("x" * 200, "a b", "equivalent"), max_tokens=30).ids
    assert len(ids) <= 30 and ids.count(classifier.ids("x" * 4)[-1]) >= 3
    (ids,) = encode(mrpc, classifier, frame("see <extra_id_0> here", "a b", "equivalent")).ids
    assert ids.count(classifier.decoder_ids[1]) == 1  # [MASK] alone is a sentinel


# ---- prompts of keys and values

def of_kind(task, generator, smoke, **options):
    mode = options.pop("mode", "given_first")
    task = task.model_copy(update={"generator": task.generator.model_copy(update={"mode": mode})})
    return prompts.PromptLayout(task, generator, smoke.generator_tuning.model_copy(update=options))


@pytest.fixture(scope="module")
def llama(generator, smoke):
    """Grouped heads: keys and values are narrower than the model (1 head of 6), or wider (2 heads of 24 in width 32)."""
    def made(n_heads, width):
        config = transformers.LlamaConfig(vocab_size=generator.n_vocab, hidden_size=32, intermediate_size=32, head_dim=width,
                                          num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=n_heads,
                                          initializer_range=0.2)  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return backbones.Generator(transformers.LlamaForCausalLM(config).double(), generator.tokenizer, "llama")
    return {"narrow": made(1, 6), "wide": made(2, 24)}


@pytest.mark.parametrize("mode", ["given_first", "both"])
@pytest.mark.parametrize("name", ["ctrl", "narrow", "wide"])
def test_an_untrained_prefix_says_what_its_words_say(uneven, generator64, llama, smoke, name, mode):
    """Keys and values of the text are the text: the same states as with the words in the input, for each label at once."""
    model = generator64 if name == "ctrl" else llama[name]
    soft, prefix = (of_kind(uneven, model, smoke, prompt=kind, mode=mode) for kind in ("soft", "prefix"))
    rows, labels = [([5, 6, 7], [8, 9, 10]), ([11], [12, 5])], [1, 0]
    found = []
    for layout in (soft, prefix):
        seen = bilevel.read_tokens(layout, layout.initial().double()[None], layout.read(rows, labels))
        assert seen.nll_BL.shape[1] == (4 if mode == "given_first" else 8)
        found.append(seen)
    assert (found[0].nll_BL - found[1].nll_BL).abs().max() < 1e-5  # Q starts in float32
    for a, b, reading in zip(found[0].hidden_BLD, found[1].hidden_BLD, soft.read(rows, labels).scored_BL, strict=True):
        assert (a[reading] - b[reading]).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["ctrl", "narrow", "wide"])
def test_gradients_reach_the_used_rows_of_a_prefix_only(uneven, generator64, llama, smoke, name):
    model = generator64 if name == "ctrl" else llama[name]
    layout = of_kind(uneven, model, smoke, prompt="prefix", eos="learned")
    q_GCSD = layout.initial().double()[None].requires_grad_()
    seen = bilevel.read_tokens(layout, q_GCSD, layout.read([([5, 6], [8, 9])] * 2, [0, 1]))
    (grad,) = torch.autograd.grad((seen.nll_BL.sum() + seen.hidden_BLD.square().sum()), q_GCSD)
    n_layers = model.model.config.num_hidden_layers
    wide = 2 if name == "wide" else 1  # 2 heads of 24 do not fit into one row of width 32
    places = [len(ids) for ids in layout.state_ids]
    assert q_GCSD.shape[2] == layout.n_slots + 2 * n_layers * max(places) * wide
    touched = grad[0, :, layout.n_slots :].reshape(2, n_layers, 2, max(places), -1).abs().sum(-1) > 0
    for label, n in enumerate(places):
        assert touched[label, :, :, :n].all() and not touched[label, :, :, n:].any()
        assert (grad[0, label, : len(layout.infix_ids) + 1] != 0).any(-1).all()


def test_the_control_code_of_a_prefix_is_frozen(uneven, generator64, smoke):
    layout = of_kind(uneven, generator64, smoke, prompt="prefix")
    assert not layout.code_states.requires_grad and layout.code_states.shape[2] == len(layout.code_ids) == 1
    before = layout.code_states.clone()
    wild = torch.randn(1, *layout.initial().shape, dtype=torch.float64)
    cache = transformers.DynamicCache()
    layout.states(wild, torch.tensor([[5, 6]]), torch.ones(1, 2).bool(), torch.tensor([1]), torch.tensor([0]), cache)
    for i, layer in enumerate(cache.layers):
        assert torch.equal(layer.keys[0, :, 0], before[i, 0, 0]) and torch.equal(layer.values[0, :, 0], before[i, 1, 0])
    n = len(layout.state_ids[1])  # the shorter label's places, then nothing, then the two words
    assert cache.layers[0].keys.shape[2] == layout.n_past + 2 and n + 1 < layout.n_past


def test_a_model_with_unequal_layers_has_no_prefix(uneven, generator, smoke, monkeypatch):
    states = generator.__class__.states

    def shorter(self, inputs, kept, cache=None):
        out = states(self, inputs, kept, cache)
        if cache is not None:
            cache.layers[-1].keys = cache.layers[-1].keys[..., :-1]
        return out

    monkeypatch.setattr(generator.__class__, "states", shorter)
    with pytest.raises(backbones.BackboneError, match="expected `soft`"):
        of_kind(uneven, generator, smoke, prompt="prefix")


def test_both_sentences_are_scored_and_closed(uneven, generator, smoke):
    layout = of_kind(uneven, generator, smoke, mode="both", eos="learned")
    n, size = generator.n_vocab, len(layout.prefix_ids[1])
    reading = layout.read([([5, 6], [8])], [1])
    end = n + size + 2
    row = [*layout.code_ids, *range(n, n + size), 5, 6, end, n + size, n + size + 1, 8, end]
    assert reading.ids_BT[0].tolist() == row
    assert [row[i] for i in reading.at_BL[0].tolist()] == [5, 6, end, 8, end]
    assert layout.opening(1, None) == row[: 1 + size]


@pytest.mark.parametrize("prompt", ["soft", "prefix"])
@pytest.mark.parametrize("mode", ["given_first", "both"])
@pytest.mark.parametrize("eos", ["token", "learned"])
def test_describe_covers_every_kind_of_prompt(uneven, generator, smoke, prompt, mode, eos):
    layout = of_kind(uneven, generator, smoke, prompt=prompt, mode=mode, eos=eos)
    table = generator_input(layout, 0, "Alden said", "The company")
    reading = layout.read([(generator.ids("Alden said"), generator.ids("The company"))], [0])
    assert len(table) == len(reading.ids_BT[0]) + (1 + len(layout.state_ids[0]) if prompt == "prefix" else 0)
    assert table["what"].str.startswith("scored").sum() == reading.scored_BL.sum()
    tail = table["what"].str.contains("trainable slot").tolist()[-len(reading.ids_BT[0]) :]
    assert tail == (reading.ids_BT[0] >= generator.n_vocab).tolist()
    assert table["part"].drop_duplicates().tolist()[:2] == ["control code", "prefix"]


def test_padded():
    ids, kept = prompts.padded([[5, 6, 7], [8]], -1)
    assert ids.tolist() == [[5, 6, 7], [8, -1, -1]] and kept.tolist() == [[True] * 3, [True, False, False]]


# ---- the classifier's input

def frame(first: str, second: str, label: str) -> pd.DataFrame:
    return pd.DataFrame({"sentence1": [first], "sentence2": [second], "label": [label]})


def encode(task, classifier, rows, **options):
    return encoding.encode_pairs(task, classifier, rows, **{"max_tokens": 40, **options})


@pytest.fixture(params=["mrpc", "sick"])
def task(request):
    return request.getfixturevalue(request.param)


def test_short_rows_are_the_template_filled_in(mrpc, sick, classifier):
    pair = ("Alden said on Monday", "it will close")
    row = encode(mrpc, classifier, frame(*pair, "equivalent"))
    assert row.ids == [classifier.ids("Alden said on Monday and it will close are equivalent? <extra_id_0>")]
    assert row.labels == [1] and row.n_shortened == 0
    row = encode(sick, classifier, frame(*pair, "contradiction"))
    text = "hypothesis: it will close premise: Alden said on Monday answer: <extra_id_0>"
    assert row.ids == [classifier.ids(text)] and row.labels == [2]


LONG = " ".join(["company", "Alden", "x"] * 1700)  # 5,100 words


@pytest.mark.parametrize("first, second", [(LONG, "it said"), ("it said", LONG), (LONG, LONG)])
def test_mask_is_never_lost_when_the_longer_field_is_shortened(task, classifier, first, second):
    (row,), found = (encoded := encode(task, classifier, frame(first, second, task.labels[0]))).ids, encoded.n_shortened
    mask = classifier.ids("<extra_id_0>")[-1]
    assert len(row) <= 40 and row.count(mask) == 1 and found == 1
    template = task.classifier.template.replace("[MASK]", "<extra_id_0>")
    for part in template.replace("{first}", "|").replace("{second}", "|").split("|"):
        assert all(i in row for i in classifier.ids(part))
    if "it said" in (first, second):  # the shorter field stays whole
        said = classifier.ids("it said")
        assert any(row[i : i + len(said)] == said for i in range(len(row)))


def test_no_more_words_are_taken_than_needed(task, classifier):
    row = encode(task, classifier, frame("company " * 50, "company " * 50, task.labels[0])).ids[0]
    word = classifier.ids("company")
    assert len(word) == 1 and len(row) == 40
    places = [i for i, t in enumerate(row) if t == word[0]]
    in_first = next(k for k, i in enumerate(places, start=1) if row[i + 1] != word[0])
    assert abs(in_first - (len(places) - in_first)) <= 1  # both fields end equally long


def test_mask_is_lost_when_the_tail_is_cut(task, classifier):
    encoded = encode(task, classifier, frame(LONG, LONG, task.labels[0]), shorten="tail")
    assert classifier.ids("<extra_id_0>")[-1] not in encoded.ids[0]
    assert len(encoded.ids[0]) == 40 and encoded.n_shortened == 1


def test_rows_that_fit_are_the_same_either_way(task, classifier):
    rows = frame("it said", "it will close", task.labels[0])
    assert encode(task, classifier, rows) == encode(task, classifier, rows, shorten="tail")


@pytest.mark.parametrize("odd", ["{first}", "{second}", "{", "}{", "{0} {second} {first}", "{first!r:>9}", "%s [MASK]"])
def test_braces_in_a_field_are_text(task, classifier, odd):
    """A field that looks like a slot is left alone, in either place."""
    template = task.classifier.template.replace("[MASK]", "<extra_id_0>")
    for first, second in ((odd, "it said"), ("it said", odd)):
        pieces = {"{first}": first, "{second}": second}
        text = "".join(pieces.get(part, part) for part in template.replace("{", "|{").replace("}", "}|").split("|"))
        assert encode(task, classifier, frame(first, second, task.labels[0])).ids == [classifier.ids(text)]


def test_encoding_refuses_what_it_cannot_do(task, classifier):
    rows = frame("it said", "it will close", task.labels[0])
    with pytest.raises(ValueError, match="room for the template"):
        encode(task, classifier, rows, max_tokens=3)
    with pytest.raises(ValueError, match="shorten: expected longer_field or tail"):
        encode(task, classifier, rows, shorten="head")


def test_take():
    rows = prompts.EncodedPairs([[1], [2, 2], [3]], [0, 1, 0], 2)
    assert rows.take([2, 1, 1]) == prompts.EncodedPairs([[3], [2, 2], [2, 2]], [0, 1, 1], 0)


# ---- prompts on disk

def test_the_initial_prompt_is_made_of_words(classifier):
    prompt = prompts.initial_prompt(classifier, 6)
    ids = classifier.alphabetic_words(6)
    assert torch.equal(prompt, classifier.embedding.weight[ids]) and not prompt.requires_grad
    assert all(t[0] == "▁" and t[1:].isalpha() for t in classifier.tokenizer.convert_ids_to_tokens(ids))
    prompt += 1  # a copy: the table stays
    assert not torch.equal(prompt, classifier.embedding.weight[ids])


def test_peft_loads_a_saved_prompt_and_says_the_same(tmp_path, task, classifier):
    prompt = torch.randn(11, classifier.width, generator=torch.Generator().manual_seed(0))
    adapters.save_prompt(tmp_path / "p", prompt, classifier)
    assert torch.equal(adapters.load_prompt(tmp_path / "p"), prompt)
    rows = pd.concat([frame("it said", LONG, task.labels[0]), frame("Alden will close", "x", task.labels[1])])
    ids, kept = prompts.padded(encode(task, classifier, rows).ids, 0)
    verbalizer = task.classifier.verbalizer.values()
    words = torch.tensor([backbones.word_id(classifier.tokenizer, w, classifier.name) for w in verbalizer])
    ours = classifier.label_word_logits(ids, kept, words, prompt.expand(2, -1, -1))
    model = PeftModel.from_pretrained(copy.deepcopy(classifier.model), tmp_path / "p").eval()
    start = torch.tensor([classifier.decoder_ids] * 2)
    with torch.no_grad():
        theirs = model(input_ids=ids, attention_mask=kept.long(), decoder_input_ids=start).logits[:, -1, words]
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert torch.equal(ours.argmax(-1), theirs.argmax(-1))
    without = classifier.label_word_logits(ids, kept, words)
    assert (ours - without).abs().max() > 1e-3


def test_a_saved_prompt_has_p_times_d_numbers_at_the_encoder_only(tmp_path, classifier):
    adapters.save_prompt(tmp_path, torch.zeros(11, classifier.width), classifier)
    loaded = PeftModel.from_pretrained(copy.deepcopy(classifier.model), tmp_path)
    assert sum(p.numel() for p in loaded.prompt_encoder.parameters()) == 11 * classifier.width
    fresh = PeftConfig.from_pretrained(tmp_path, inference_mode=False)
    model = get_peft_model(copy.deepcopy(classifier.model), fresh)  # as one would train it with PEFT
    assert model.get_nb_trainable_parameters()[0] == 11 * classifier.width
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["num_transformer_submodules"] == 1 and config["peft_type"] == "PROMPT_TUNING"


def test_saving_twice_gives_the_same_bytes(tmp_path, classifier):
    for name in ("a", "b"):
        adapters.save_prompt(tmp_path / name, torch.ones(3, classifier.width), classifier)
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == ["adapter_config.json", "adapter_model.safetensors"]
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


@pytest.mark.parametrize("tensors", [{"other": torch.zeros(2, 3)}, {"prompt_embeddings": torch.zeros(3)},
                                     {"prompt_embeddings": torch.zeros(2, 3), "more": torch.zeros(1)}])  # fmt: skip
def test_junk_is_not_a_prompt(tmp_path, tensors):
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ArtifactError, match="expected one tensor prompt_embeddings"):
        adapters.load_prompt(tmp_path)


def test_a_missing_or_cut_file_is_not_a_prompt(tmp_path, classifier):
    with pytest.raises(ArtifactError, match="found none"):
        adapters.load_prompt(tmp_path)
    adapters.save_prompt(tmp_path, torch.ones(3, classifier.width), classifier)
    file = tmp_path / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(ArtifactError, match="whole safetensors"):
        adapters.load_prompt(tmp_path)


def test_a_control_code_is_one_of_the_models(generator, smoke, mrpc, monkeypatch):
    monkeypatch.setattr(generator.tokenizer, "control_codes", {"Links": 1, "Books": 2}, raising=False)
    with pytest.raises(ValueError, match="control_code: expected one of Links, Books, found 'Wikipedia'"):
        prompts.PromptLayout(mrpc, generator, smoke.generator_tuning)
