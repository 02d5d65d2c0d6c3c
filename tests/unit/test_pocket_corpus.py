"""What the pocket models read: seeded, within their vocabulary, and nothing that the study asks about."""

import json
from itertools import islice, product

import pytest
import torch
from pocket_texts import NAMING, naming_words, restored, words_of_tasks_only

from dawgen_core import samplers
from dawgen_core.pocket import corpus, pretraining
from dawgen_core.pocket.chance import Dice
from dawgen_core.pocket.lexicon import lexicon
from dawgen_core.pocket.pairs import SPLITS, place_of
from dawgen_core.pocket.twins import free_domains


def dice(seed: int = 0) -> Dice:
    return Dice(samplers.seeded(seed))


@pytest.fixture(scope="module")
def blocks():
    """Two blocks of each stream."""
    numbers = (0, 7)
    return ([pair for b in numbers for pair in corpus.classifier_block(b, 12)],
            [text for b in numbers for text in corpus.generator_block(b)])  # fmt: skip


def test_a_block_is_its_seed():
    assert list(islice(corpus.classifier_block(3, 12), 50)) == list(islice(corpus.classifier_block(3, 12), 50))
    assert list(islice(corpus.generator_block(3), 50)) != list(islice(corpus.generator_block(4), 50))


def test_every_word_is_one_token(blocks):
    tokens = pretraining.tokenizer()
    texts = [" ".join(pair) for stream in blocks for pair in stream]
    for word in {word for text in texts for word in text.split()}:
        assert len(tokens(word, add_special_tokens=False)["input_ids"]) == 1, word
    spelt = tokens("zyx", add_special_tokens=False)["input_ids"]
    assert len(spelt) > 1 and tokens.unk_token_id not in spelt


def test_templates_of_the_study_are_in_the_vocabulary():
    tokens = pretraining.tokenizer()
    for word in "hypothesis: premise: answer: equivalent? and are yes no neutral <extra_id_0> therefore however".split():
        assert len(tokens(word, add_special_tokens=False)["input_ids"]) == 1, word


def test_no_sentence_of_a_task_s_domain_belongs_to_a_test_split():
    one = dice()
    for domain in corpus.tested_domains():
        for _ in range(150):
            meaning, _, _ = corpus.draw_sentence(one, domain)
            assert place_of(meaning) not in SPLITS["test"]


def test_words_of_tasks_only():
    words, book = words_of_tasks_only(), lexicon()
    assert len(words) > 200
    for domain, slot in product(book.domains, ("object", "place")):
        forms = [form for name in book.domains[domain][slot] for form in book.concepts[slot][name].forms]
        n_own = sum(bool(words & set(form.split())) for form in forms)
        assert n_own == 0 if domain in free_domains() else n_own >= 3, (domain, slot)


@pytest.mark.parametrize("kind", corpus.SISTERS)
def test_pairs_with_a_relation_are_of_the_free_domains(kind):
    one = dice(1)
    for _ in range(150):
        first, second, _, domain = corpus._pair(kind, one)
        assert domain in free_domains() and not words_of_tasks_only() & set(f"{first} {second}".split()), (first, second)


NAMING_KINDS = [(corpus.CLASSIFIER_TEXTS, kind) for kind in NAMING["classifier"]]
NAMING_KINDS += [(corpus.GENERATOR_TEXTS, kind) for kind in NAMING["generator"]]


@pytest.mark.parametrize(("table", "kind"), NAMING_KINDS, ids=lambda value: value if isinstance(value, str) else "")
def test_relations_are_named_in_the_free_domains_only(table, kind):
    """A text that says how two sentences lie to each other has no word that only task domains have."""
    one = dice(2)
    for _ in range(300):
        text = " ".join(table[kind](one))
        assert not words_of_tasks_only() & set(text.split()), text


def test_other_texts_speak_of_task_domains_and_name_no_relation():
    one = dice(3)
    for table in (corpus.CLASSIFIER_TEXTS, corpus.GENERATOR_TEXTS):
        for kind in set(table) - {kind for kinds in NAMING.values() for kind in kinds}:
            drawn = [table[kind](one) for _ in range(300)]
            words = [set(" ".join(text).split()) for text in drawn]
            assert sum(bool(found & words_of_tasks_only()) for found in words) > 30, kind
            assert not any(found & naming_words() for found in words), kind
    assert {"therefore", "however", "furthermore", "answered?", "true?", "hypothesis:"} <= naming_words()


def test_span_corruption_can_be_undone():
    """The spans behind their marks, put back in place of the marks, give the text."""
    for seed in range(200):
        source, target = corpus.spans(dice(seed))
        one = dice(seed)
        assert restored(source, target) == " . ".join(corpus.draw_sentence(one)[2] for _ in range(1 + one.below(2)))
        assert 1 <= target.count("<extra_id_") == source.count("<extra_id_") <= 4


def test_batches_hold_a_whole_block(monkeypatch):
    monkeypatch.setattr(corpus, "BLOCK", 150)
    tokens = pretraining.tokenizer()

    def encode(text):
        return tokens(text, add_special_tokens=False)["input_ids"]

    for kind in ("t5", "ctrl"):
        found = list(pretraining.batches({"kind": kind, "batch": 32}, encode, 2, 4))
        assert sorted(len(batch["input_ids"]) for batch in found) == [22, 32, 32, 32, 32]  # 150 texts
        for batch in found:
            assert (batch["labels"] != -100).any(1).all() and batch["attention_mask"].any(1).all()


class Stopped(Exception):
    """The current fails."""


@pytest.mark.parametrize("name", ["pocket-t5", "pocket-ctrl"])
def test_an_interrupted_training_ends_where_an_undisturbed_one_ends(name, tmp_path, monkeypatch):
    """Blocks of two steps, a save every three: the stop after step 3 is in the middle of a block."""
    plan, real = pretraining.MODELS[name], pretraining._save
    small = {"d_model": 16, "d_kv": 8, "num_heads": 2, "d_ff": 16, "num_layers": 1, "num_decoder_layers": 1}
    small = small if plan["kind"] == "t5" else {"n_embd": 16, "n_layer": 1, "n_head": 2, "dff": 16}
    plan = plan | {"steps": 6, "batch": 32, "shape": plan["shape"] | small}
    monkeypatch.setitem(pretraining.MODELS, name, plan)
    monkeypatch.setattr(corpus, "BLOCK", 64)
    monkeypatch.setattr(pretraining, "SAVE_EVERY", 3)

    def failing(*given):
        real(*given)
        raise Stopped

    pretraining.pretrain(name, tmp_path / "whole", 1)
    with monkeypatch.context() as power:
        power.setattr(pretraining, "_save", failing)
        with pytest.raises(Stopped):
            pretraining.pretrain(name, tmp_path / "resumed", 1)
    progress = json.loads((tmp_path / "resumed" / "state" / "progress.json").read_text(encoding="utf-8"))
    assert progress["step"] == 3 and not (tmp_path / "resumed" / "model.safetensors").exists()
    pretraining.pretrain(name, tmp_path / "resumed", 1)
    whole, resumed = (pretraining.load_file(tmp_path / folder / "model.safetensors") for folder in ("whole", "resumed"))
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[k], resumed[k]) for k in whole)
    start = pretraining.untrained(name).state_dict()
    assert any(not torch.equal(whole[k], start[k]) for k in whole)


def test_the_instructed_model_begins_where_the_other_one_ended(tmp_path, monkeypatch):
    """At a rate of next to nothing it stays there."""
    small = {"d_model": 16, "d_kv": 8, "num_heads": 2, "d_ff": 16, "num_layers": 1, "num_decoder_layers": 1}
    monkeypatch.setattr(corpus, "BLOCK", 64)
    weights = {}
    for name in ("pocket-t5", "pocket-flan-t5"):
        plan = pretraining.MODELS[name]
        monkeypatch.setitem(pretraining.MODELS, name, plan | {"steps": 2, "shape": plan["shape"] | small})
        monkeypatch.setattr(pretraining, "WARM_UP", 1 if name == "pocket-t5" else 10**9)
        pretraining.pretrain(name, tmp_path / name, 1)
        weights[name] = pretraining.load_file(tmp_path / name / "model.safetensors")
    start = pretraining.untrained("pocket-flan-t5").state_dict()
    assert all(torch.allclose(one, weights["pocket-t5"][key], atol=1e-5) for key, one in weights["pocket-flan-t5"].items())
    assert any(not torch.allclose(one, start[key], atol=1e-3) for key, one in weights["pocket-flan-t5"].items())


def test_an_instructed_model_begins_as_one_that_is_there(tmp_path):
    with pytest.raises(SystemExit, match="pocket-flan-t5: expected pocket-t5, which it begins as, in .*, found none"):
        pretraining.pretrain("pocket-flan-t5", tmp_path / "pocket-flan-t5", 1)
