"""What the pocket models read: seeded, within their vocabulary, and nothing that the study asks about."""

from itertools import islice

import pytest
import torch

from dawgen_core import samplers
from dawgen_core.pocket import corpus, pretraining
from dawgen_core.pocket.chance import Dice
from dawgen_core.pocket.lexicon import lexicon
from dawgen_core.pocket.pairs import SPLITS, draw, place_of
from dawgen_core.pocket.twins import free_domains, twins


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
    texts = [" ".join(pair) for pair in blocks[0]] + blocks[1]
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


def test_relations_are_named_in_the_free_domains_only():
    """Every object and place of a sister's pair is of a free domain, and of no task's."""
    book, forms = lexicon(), set()
    for slot in ("object", "place"):
        mine, theirs = ({name for d in domains for name in book.domains[d][slot]}
                        for domains in (free_domains(), corpus.tested_domains()))  # fmt: skip
        forms |= {form for name in theirs - mine for form in book.concepts[slot][name].forms}
    assert len(forms) > 100
    one = dice(1)
    for kind in corpus.SISTERS:
        for _ in range(150):
            first, second, relation, domain = corpus._pair(kind, one)
            assert domain in free_domains()
            assert not any(f" {form} " in f" {first} {second} " for form in forms), (first, second)


def test_no_test_pair_is_read(blocks):
    read = {" ".join(pair) for pair in blocks[0]} | set(blocks[1])
    for task in twins():
        for row in draw(task, "test", 0, 200).itertuples():
            assert not any(row.sentence1 in text and row.sentence2 in text for text in read if row.sentence1 in text)


def test_span_corruption_can_be_undone():
    """The spans behind their marks, put back in place of the marks, give the text."""
    for seed in range(200):
        source, target = corpus.spans(dice(seed))
        one, spans = dice(seed), {}
        for word in target.split():
            if word.startswith("<extra_id_"):
                current = spans.setdefault(word, [])
            else:
                current.append(word)
        restored = " ".join(" ".join(spans[w]) if w in spans else w for w in source.split())
        assert restored == " . ".join(corpus.draw_sentence(one)[2] for _ in range(1 + one.below(2)))
        assert 1 <= len(spans) <= 4


def test_batches_hold_a_whole_block(monkeypatch):
    monkeypatch.setattr(corpus, "BLOCK", 150)
    tokens = pretraining.tokenizer()

    def encode(text):
        return tokens(text, add_special_tokens=False)["input_ids"]

    for kind in ("t5", "ctrl"):
        found = list(pretraining.batches(kind, encode, 2))
        assert sum(len(batch["input_ids"]) for batch in found) == 150
        for batch in found:
            assert (batch["labels"] != -100).any(1).all() and batch["attention_mask"].any(1).all()


@pytest.mark.parametrize("name", pretraining.MODELS)
def test_an_interrupted_training_ends_where_an_undisturbed_one_ends(name, tmp_path, monkeypatch):
    plan = pretraining.MODELS[name]
    small = {"d_model": 16, "d_kv": 8, "num_heads": 2, "d_ff": 16, "num_layers": 1, "num_decoder_layers": 1}
    small = small if plan["kind"] == "t5" else {"n_embd": 16, "n_layer": 1, "n_head": 2, "dff": 16}
    monkeypatch.setattr(corpus, "BLOCK", 128)
    monkeypatch.setattr(pretraining, "SAVE_EVERY", 2)

    def run(folder, steps):
        monkeypatch.setitem(pretraining.MODELS, name, plan | {"steps": 6, "shape": plan["shape"] | small})
        if steps < 6:
            calls, real = [], pretraining._save
            monkeypatch.setattr(pretraining, "_save", lambda *a: (real(*a), calls.append(1), 1 / (len(calls) < steps // 2)))
            with pytest.raises(ZeroDivisionError):
                pretraining.pretrain(name, folder, 1)
            monkeypatch.setattr(pretraining, "_save", real)
        pretraining.pretrain(name, folder, 1)
        return pretraining.load_file(folder / "model.safetensors")

    whole, resumed = run(tmp_path / "whole", 6), run(tmp_path / "resumed", 4)
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[k], resumed[k]) for k in whole)
