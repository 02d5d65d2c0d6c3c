"""The frozen models: what they say equals transformers' own forward pass; what cannot be had is refused."""

import copy
import json

import pytest
import torch
import transformers
from safetensors.torch import load_file

from dawgen_core import backbones, prompts
from dawgen_core.app.preflight import on_meta
from dawgen_core.backbones import BackboneError
from dawgen_core.data import pretrained
from dawgen_core.params import Backbone, ParamsError

SENTENCES = ["Alden said on Monday", "it will close two offices in Lagos <extra_id_0>", "no"]


def batch(classifier):
    return prompts.padded([classifier.ids(text) for text in SENTENCES], 0)


# ---- the classifier

@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("n_prompt", [0, 4])
def test_label_word_logits_equal_the_models_own(classifier, scaled, n_prompt):
    """`scaled`: the original T5 scales its decoder outputs, T5 v1.1 does not."""
    model = copy.deepcopy(classifier.model)
    model.config.scale_decoder_outputs = scaled
    own = backbones.Classifier(model, classifier.tokenizer, "own")
    ids, kept = batch(own)
    prompt = torch.randn(3, n_prompt, own.width, generator=torch.Generator().manual_seed(0)) if n_prompt else None
    words = torch.tensor([backbones.word_id(own.tokenizer, w, own.name) for w in ("yes", "no", "neutral")])
    found = own.label_word_logits(ids, kept, words, prompt)
    inputs, mask = own.embedding(ids), kept.long()
    if n_prompt:
        inputs, mask = torch.cat([prompt, inputs], 1), torch.cat([torch.ones(3, n_prompt).long(), mask], 1)
    start = torch.tensor([[0, own.tokenizer.convert_tokens_to_ids("<extra_id_0>")]] * 3)
    expected = model(inputs_embeds=inputs, attention_mask=mask, decoder_input_ids=start).logits[:, -1, words]
    assert found.shape == (3, 3) and torch.allclose(found, expected, rtol=1e-5, atol=1e-6)
    if not n_prompt:
        plain = model(input_ids=ids, attention_mask=mask, decoder_input_ids=start).logits[:, -1, words]
        assert torch.allclose(found, plain, rtol=1e-5, atol=1e-6)


def test_padding_does_not_matter_to_the_classifier(classifier64):
    ids, kept = batch(classifier64)
    words = torch.tensor([5, 9])
    whole = classifier64.label_word_logits(ids, kept, words)
    junk = classifier64.label_word_logits(torch.cat([ids.masked_fill(~kept, 7), torch.full((3, 2), 8)], 1),
                                          torch.cat([kept, torch.zeros(3, 2, dtype=torch.bool)], 1), words)  # fmt: skip
    assert (whole - junk).abs().max() < 1e-12
    for b, text in enumerate(SENTENCES):
        row = torch.tensor([classifier64.ids(text)])
        alone = classifier64.label_word_logits(row, torch.ones_like(row).bool(), words)
        assert (alone[0] - whole[b]).abs().max() < 1e-12


def test_logits_follow_the_order_of_the_words(classifier):
    ids, kept = batch(classifier)
    words = torch.tensor([5, 9, 3])
    found = classifier.label_word_logits(ids, kept, words)
    assert torch.allclose(found[:, [2, 0, 1]], classifier.label_word_logits(ids, kept, words[[2, 0, 1]]), atol=1e-6)
    assert not torch.allclose(found[:, 0], found[:, 1])


def test_logits_are_wide_and_gradients_reach_the_prompt_only(classifier):
    half = backbones.Classifier(copy.deepcopy(classifier.model).bfloat16(), classifier.tokenizer, "half")
    ids, kept = batch(half)
    prompt = torch.zeros(3, 2, half.width, requires_grad=True)
    logits = half.label_word_logits(ids, kept, torch.tensor([5, 9]), prompt)
    assert logits.dtype == torch.float32
    logits.sum().backward()
    assert prompt.grad.norm() > 0 and all(p.grad is None for p in half.model.parameters())


def test_a_label_word_is_exactly_one_known_token(classifier):
    found = backbones.word_id(classifier.tokenizer, "yes", classifier.name)
    assert classifier.tokenizer.convert_ids_to_tokens(found) == "▁yes"
    for word in ("yes no", "zzxzz", "", "☃"):
        with pytest.raises(BackboneError, match="one token.*choose another word"):
            backbones.word_id(classifier.tokenizer, word, classifier.name)


def test_alphabetic_words(classifier):
    ids = classifier.alphabetic_words(9)
    tokens = classifier.tokenizer.convert_ids_to_tokens(ids)
    assert ids == sorted(set(ids)) and all(t[0] == "▁" and t[1:].isalpha() for t in tokens)
    with pytest.raises(BackboneError, match="lower prompt_tokens"):
        classifier.alphabetic_words(10**6)


# ---- the generator

def test_generator_states_and_logits_equal_the_models_own(generator):
    rows = [generator.ids(text) for text in SENTENCES]
    ids, kept = prompts.padded(rows, 0)
    inputs = generator.embedding(ids)
    before = inputs.clone()
    logits = generator.logits(generator.states(inputs, kept))
    assert torch.equal(inputs, before)  # CTRL scales its inputs in place: they were cloned
    for b, row in enumerate(rows):
        expected = generator.model(input_ids=torch.tensor([row])).logits[0]
        assert torch.allclose(logits[b, : len(row)], expected, rtol=1e-4, atol=1e-5)


def test_left_padding_does_not_matter_to_the_generator(generator64):
    row = generator64.ids(SENTENCES[1])
    alone = generator64.states(generator64.embedding(torch.tensor([row])), torch.ones(1, len(row)).bool())
    ids = torch.tensor([[9, 9, 9, *row]])
    padded = generator64.states(generator64.embedding(ids), torch.tensor([[False] * 3 + [True] * len(row)]))
    assert (padded[:, 3:] - alone).abs().max() < 1e-12


# ---- frozen, digested, seeded

SHAPES = {
    "ctrl": {"n_embd": 8, "n_head": 2, "n_layer": 2, "dff": 12, "n_positions": 32, "initializer_range": 0.2},
    "gpt2": {"n_embd": 8, "n_head": 2, "n_layer": 2, "n_positions": 32, "initializer_range": 0.2},
    "gpt_neox": {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 12},
    "opt": {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2, "ffn_dim": 12, "word_embed_proj_dim": 8},
    "llama": {"hidden_size": 8, "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 2,
              "intermediate_size": 12},
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("prompt", ["soft", "prefix"])
def test_any_causal_lm_generates(smoke, mrpc, texts, name, prompt):
    """Built by its model type alone; left padding and a cache change nothing."""
    spec = Backbone(model=f"tiny:{name}", architecture=name, shape=SHAPES[name], n_words=9)
    lm = pretrained.load_generator(spec, smoke.compute, texts[:1])
    lm.model.double()
    layout = prompts.PromptLayout(mrpc, lm, smoke.generator_tuning.model_copy(update={"prompt": prompt}))
    q_GCSD = layout.initial().double()[None]
    ids = layout.opening(0, [5, 6]) + [7, 8]
    label, whose = torch.tensor([0]), torch.tensor([0])
    whole, _ = layout.states(q_GCSD, torch.tensor([ids]), torch.ones(1, len(ids)).bool(), label, whose)
    kept, cache = torch.tensor([[False] * 3 + [True] * (len(ids) - 1)]), transformers.DynamicCache()
    left, kept = layout.states(q_GCSD, torch.tensor([[9, 9, 9, *ids[:-1]]]), kept, label, whose, cache)
    assert (left[0, 3:] - whole[0, :-1]).abs().max() < 1e-9
    last = lm.states(lm.embedding(torch.tensor([ids[-1:]])), torch.cat([kept, torch.ones(1, 1).bool()], 1), cache)
    assert (last[0, -1] - whole[0, -1]).abs().max() < 1e-9


def test_a_row_s_logit_in_half_precision_is_the_matrix_product_s():
    """Products rounded one by one would give probabilities above 1; rounded once, the target's logit is the head's."""
    random = torch.Generator().manual_seed(0)
    states, weight = (torch.randn(n, 1280, generator=random).bfloat16() for n in (64, 50))
    usual = torch.nn.functional.linear(states, weight)
    found = torch.stack([backbones.dot(states, row.expand(64, -1)) for row in weight], dim=1)
    step = usual.float().abs().clamp(min=1) * 2**-7  # one place of bfloat16
    assert found.dtype == torch.bfloat16 and ((found - usual).abs() <= step).all()
    assert ((found - usual).abs() > 0).float().mean() < 0.05


def test_a_causal_lm_that_depends_on_padding_is_refused(generator):
    """BLOOM takes no positions and does not stand padding on the left in transformers 5."""
    config = transformers.BloomConfig(vocab_size=generator.n_vocab, hidden_size=8, n_head=2, n_layer=2)
    with pytest.raises(BackboneError, match="padded or not, found others .bloom"):
        backbones.Generator(transformers.BloomForCausalLM(config).double(), generator.tokenizer, "bloom")


def test_a_causal_lm_whose_logits_are_not_its_heads_is_refused(generator):
    config = transformers.Gemma2Config(vocab_size=generator.n_vocab, hidden_size=8, intermediate_size=12, head_dim=4,
                                       num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
                                       final_logit_softcapping=0.05, pad_token_id=0)  # fmt: skip
    with pytest.raises(BackboneError, match="expected a causal LM whose logits are a linear head.*gemma2"):
        backbones.Generator(transformers.Gemma2ForCausalLM(config), generator.tokenizer, "capped")


def test_an_unknown_architecture_is_refused(smoke, texts):
    spec = Backbone(model="tiny:nothing", architecture="nothing", shape={"n_embd": 8}, n_words=9)
    with pytest.raises(BackboneError, match="expected a model type that transformers knows"):
        pretrained.load_generator(spec, smoke.compute, texts[:1])


@pytest.mark.parametrize("name", ["classifier", "generator"])
def test_frozen(request, name):
    frozen = request.getfixturevalue(name)
    assert not frozen.model.training and not any(p.requires_grad for p in frozen.model.parameters())
    assert frozen.n_vocab == len(frozen.tokenizer) and frozen.width == 32


def test_the_digest_sees_one_bit_and_nothing_else(classifier):
    other = backbones.Classifier(copy.deepcopy(classifier.model), classifier.tokenizer, "other")
    assert other.weights_digest() == classifier.weights_digest()
    with torch.no_grad():
        weight = other.model.encoder.block[0].layer[0].SelfAttention.q.weight
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
    assert other.weights_digest() != classifier.weights_digest()


def test_tiny_models_are_the_same_every_time_and_leave_the_global_seed_alone(smoke, texts, classifier, generator):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    again = pretrained.load_classifier(smoke.classifier, smoke.compute, texts)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert again.weights_digest() == classifier.weights_digest()
    assert pretrained.load_generator(smoke.generator, smoke.compute, texts).weights_digest() == generator.weights_digest()
    with pytest.raises(ParamsError, match="found none"):
        pretrained.load_classifier(smoke.classifier, smoke.compute, [])


def test_the_meta_model_has_the_shapes_of_the_real_one(smoke, generator):
    shape = smoke.generator.shape | {"vocab_size": generator.n_vocab}
    meta = on_meta(smoke.generator.model_copy(update={"shape": shape}))
    assert all(p.device.type == "meta" for p in meta.parameters())
    assert {n: p.shape for n, p in meta.named_parameters()} == {n: p.shape for n, p in generator.model.named_parameters()}


# ---- folders

def saved(frozen, folder, backbone) -> Backbone:
    frozen.model.save_pretrained(folder)
    frozen.tokenizer.save_pretrained(folder)
    return backbone.model_copy(update={"model": str(folder), "n_words": None})


@pytest.mark.parametrize("name", ["classifier", "generator"])
def test_a_saved_folder_loads_as_the_same_model(request, smoke, tmp_path, name):
    frozen = request.getfixturevalue(name)
    local = saved(frozen, tmp_path, getattr(smoke, name))
    again = getattr(pretrained, f"load_{name}")(local, smoke.compute)
    assert again.weights_digest() == frozen.weights_digest() and again.name == str(tmp_path)
    assert all(again.ids(text) == frozen.ids(text) for text in SENTENCES)
    assert not again.model.training and not any(p.requires_grad for p in again.model.parameters())


@pytest.mark.parametrize("style", ["transformers 5", "hub", "one .bin file"])
def test_an_untied_lm_head_survives_loading(classifier, smoke, tmp_path, style):
    """T5 v1.1's output rows are its own parameter; transformers 5 ties a T5 by default, which would lose them."""
    model = copy.deepcopy(classifier.model)
    random = torch.Generator().manual_seed(3)
    head = torch.randn(model.lm_head.weight.shape, generator=random)
    model.lm_head.weight = torch.nn.Parameter(head.clone())
    local = saved(backbones.Classifier(model, classifier.tokenizer, "untied"), tmp_path, smoke.classifier)
    assert {"lm_head.weight", "shared.weight"} <= set(load_file(tmp_path / "model.safetensors"))
    if style != "transformers 5":  # as google/t5-large-lm-adapt says it
        config = json.loads((tmp_path / "config.json").read_text())
        del config["scale_decoder_outputs"]
        (tmp_path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    if style == "one .bin file":
        (tmp_path / "model.safetensors").unlink()
        torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    again = pretrained.load_classifier(local, smoke.compute)
    assert torch.equal(again.model.lm_head.weight, head)
    assert torch.equal(again.model.shared.weight, classifier.model.shared.weight)
    assert torch.equal(again.model.encoder.embed_tokens.weight, again.model.decoder.embed_tokens.weight)
    assert not again.model.config.scale_decoder_outputs
    ids, kept = batch(classifier)
    words = torch.tensor([5, 9])
    found, tied = (c.label_word_logits(ids, kept, words) for c in (again, classifier))
    start = torch.tensor([again.decoder_ids] * 3)
    expected = again.model(input_ids=ids, attention_mask=kept.long(), decoder_input_ids=start).logits[:, -1, words]
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5) and (found - tied).abs().max() > 0.1


def test_a_missing_model_is_refused(smoke, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in (tmp_path / "nowhere", tmp_path / "empty", "./nowhere", "~/nowhere-at-all"):
        local = smoke.classifier.model_copy(update={"model": str(name), "n_words": None})
        with pytest.raises(BackboneError, match="expected a folder with weights, config.json and a tokenizer"):
            pretrained.load_classifier(local, smoke.compute)
    remote = smoke.classifier.model_copy(update={"model": "nobody/no-such-model", "n_words": None})
    with pytest.raises(BackboneError, match="on the hub, in its cache or in a folder"):
        pretrained.load_classifier(remote, smoke.compute)


def test_a_folder_without_weights_is_refused(classifier, smoke, tmp_path):
    local = saved(classifier, tmp_path, smoke.classifier)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(BackboneError, match="expected whole weights"):
        pretrained.load_classifier(local, smoke.compute)


def test_another_shape_or_architecture_is_refused(classifier, generator, smoke, tmp_path):
    local = saved(classifier, tmp_path, smoke.classifier)
    other = local.model_copy(update={"shape": {**local.shape, "d_model": 64}})
    with pytest.raises(BackboneError, match="shape.d_model: expected 64, found 32"):
        pretrained.load_classifier(other, smoke.compute)
    unknown = local.model_copy(update={"shape": {**local.shape, "n_embd": 3}})
    with pytest.raises(BackboneError, match="shape.n_embd: expected 3, found None"):
        pretrained.load_classifier(unknown, smoke.compute)
    with pytest.raises(BackboneError, match="expected architecture ctrl, found t5"):
        pretrained.load_generator(local.model_copy(update={"architecture": "ctrl"}), smoke.compute)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_folder_loads_in_the_asked_dtype(classifier, smoke, tmp_path, dtype):
    local = saved(classifier, tmp_path, smoke.classifier)
    compute = smoke.compute.model_copy(update={"dtype": dtype})
    model = pretrained.load_classifier(local, compute).model
    assert {p.dtype for p in model.parameters()} == {getattr(torch, dtype)}


def test_device_and_dtype(smoke, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    compute = smoke.compute.model_copy(update={"device": "cuda"})
    with pytest.raises(BackboneError, match="expected a CUDA device, found none"):
        backbones.device_of(compute)
    auto = smoke.compute.model_copy(update={"device": "auto", "dtype": "auto"})
    assert backbones.device_of(auto).type == "cpu" and backbones.dtype_of(auto) == torch.float32
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert backbones.device_of(auto).type == "cuda" and backbones.dtype_of(auto) == torch.bfloat16
    assert backbones.device_of(smoke.compute).type == "cpu"


def test_t5_v1_1_does_not_scale_its_outputs(smoke):
    config = pretrained.config_of(smoke.classifier)
    assert isinstance(config, transformers.T5Config) and not config.scale_decoder_outputs and config.dropout_rate == 0
