"""The methods that learn, on a toy task that a frozen model can do: is a certain word in the second sentence?

The classifier is the committed pocket-t5. Each method learns where it should, changes only what it says it trains, is not
its neighbour, and survives saving and loading bit for bit.
"""

import copy
import dataclasses
from functools import cache
from itertools import combinations

import pandas as pd
import pytest
import torch

from dawgen_core import artifacts, methods, samplers
from dawgen_core.data import pretrained
from dawgen_core.data.profiles import load_profile, load_task
from dawgen_core.methods import lora, pet, pft_demonstrations, pft_search, ppt, prefix_tuning, prompted
from dawgen_core.methods.given import Given, Lent
from dawgen_core.pocket import pairs

LEARNS = {  # name: settings that learn the toy task in a few steps
    "lstm": {"lr": 1e-2, "weight_decay": 0.01, "width": 32}, "encoder_fine_tuning": {"lr": 1e-3, "weight_decay": 0.01},
    "fine_tuning": {"lr": 1e-3, "weight_decay": 0.01}, "pft": {"lr": 1e-3, "weight_decay": 0.01},
    "pft_demonstrations": {"lr": 1e-3, "weight_decay": 0.01}, "pft_soft_prompt": {"lr": 1e-3, "weight_decay": 0.01},
    "soft_verbalizer": {}, "p_tuning": {"lr": 3e-2, "weight_decay": 0.0, "pseudo_tokens": 4},
    "prefix_tuning": {"lr": 1e-2, "weight_decay": 0.0, "prefix_tokens": 8, "width": 32},
    "lora": {"lr": 1e-2, "weight_decay": 0.0, "rank": 4, "alpha": 8.0},
    "ours_lora": {"lr": 1e-2, "weight_decay": 0.0, "rank": 4, "alpha": 8.0},
    "pft_search": {"lr": 1e-3, "weight_decay": 0.01, "words": 4, "beams": 3, "gap_tokens": 2, "templates": 2},
    "pet": {"lr": 1e-3, "weight_decay": 0.01, "weighting": "even", "alpha": 1e-4, "temperature": 2.0, "unlabelled": 64},
    "pet_weighted": {"lr": 1e-3, "weight_decay": 0.01, "weighting": "accuracy", "alpha": 1e-4, "temperature": 2.0,
                     "unlabelled": 64},
    "ppt": {"source_steps": 5, "pairs": 40}, "ppt_kept": {"source_steps": 5, "pairs": 40},
    "ours_from_ppt": {"source_steps": 5, "pairs": 40}, "spot": {"source_steps": 5}, "spot_kept": {"source_steps": 5},
    "ours_from_spot": {"source_steps": 5},
    "optima": {"lr": 0.1, "weight_decay": 0.0, "source_steps": 5, "length": 1.0, "smooth": 1.0, "fool": 1.0},
}  # fmt: skip
BUILDS = [name for name in LEARNS if hasattr(methods.method(name).module, "build")]


def toy(n: int, seed: int) -> pd.DataFrame:
    """Half the rows say "quietly" at the end of sentence 2, and are called equivalent."""
    random = samplers.seeded(seed)
    words = ["a", "young", "woman", "man", "dog", "washes", "the", "red", "car", "in", "old", "two"]
    rows = []
    for i in range(n):
        first, second = (" ".join(words[j] for j in torch.randint(len(words), (5,), generator=random)) for _ in range(2))
        rows.append((f"toy#{i}", first, second + " quietly" * (i % 2), ("not_equivalent", "equivalent")[i % 2]))
    return pd.DataFrame(rows, columns=["row_id", "sentence1", "sentence2", "label"])


@pytest.fixture(scope="module")
def given() -> Given:
    study, task = load_profile("pocket"), load_task("pocket_mrpc")
    torch.set_num_threads(1)
    classifier = pretrained.load_classifier(study.classifier, study.compute)
    budget = {"steps": 40, "eval_every": 20, "batch_real_per_class": 4, "prompt_tokens": 8}
    limits = study.prompt_tuning.model_copy(update=budget)
    texts = pairs.draw("pocket_mrpc", "unlabelled", 0, 80)
    lent = Lent(lambda: toy(80, 7).assign(label=""), lambda: texts, lambda: (task, toy(40, 8), toy(16, 9)),
                lambda: toy(60, 10), lambda name, what, settings, make: make())  # fmt: skip
    return Given(task, classifier, toy(32, 1), toy(16, 2), toy(60, 3), 13, limits, lent)


@pytest.fixture(scope="module")
def outcome(given):
    """What a method found, run when it is first asked for."""
    before = given.classifier.weights_digest()

    @cache
    def of(name: str):
        found = run(given, name)
        assert given.classifier.weights_digest() == before, name  # the given classifier stays as it is
        return found

    return of


def run(given: Given, name: str):
    module = methods.method(name).module
    return module.run(given, module.Settings.model_validate(LEARNS[name]))


def right(given: Given, scores_BC: torch.Tensor) -> float:
    return (scores_BC.argmax(-1) == torch.tensor(given.numbers(given.test))).double().mean().item()


def test_every_method_that_learns_is_asked():
    trains = {name for name, row in methods.METHODS.items() if row.trains != "nothing" and not name.startswith("tfidf")}
    assert trains == set(LEARNS)


@pytest.mark.parametrize("name", LEARNS)
def test_it_learns_the_toy_task(name, given, outcome):
    """60 rows, chance is one half: 44 right by guessing has a chance of two in ten thousand."""
    assert max(right(given, scores) for scores in outcome(name).logits.values()) >= 0.73


@pytest.mark.parametrize("name", LEARNS)
def test_it_counts_what_it_trains_and_reads(name, given, outcome):
    one, whole = outcome(name), sum(p.numel() for p in given.classifier.model.parameters())
    assert (one.trainable >= whole) == ("whole model" in methods.METHODS[name].trains)
    assert one.trainable == sum(w.numel() for w in one.state.values())
    assert one.metrics["tokens"] > 40 * 8 * 5 and 0 <= one.metrics["dev_best"] <= 1
    assert ("conflict" in one.metrics) == ("ours" in name or "kept" in name)


def test_no_method_is_its_neighbour(outcome):
    for one, other in combinations(LEARNS, 2):
        assert not torch.equal(outcome(one).logits["last"], outcome(other).logits["last"]), (one, other)


@pytest.mark.parametrize("name", BUILDS)
def test_saved_and_loaded_it_says_the_same_bit_for_bit(name, given, outcome, tmp_path):
    module, size = methods.method(name).module, given.limits.eval_batch_size
    settings = module.Settings.model_validate(LEARNS[name])
    fresh = module.build(*[given, settings][: module.build.__code__.co_argcount - (module.build.__defaults__ is not None)])
    artifacts.write_tensors(tmp_path / "trained.safetensors", outcome(name).state)
    rows = fresh.encoded(given.test)
    assert not torch.equal(fresh.answers(rows, size), outcome(name).logits["best"])
    fresh.load(artifacts.read_tensors(tmp_path / "trained.safetensors"))
    assert torch.equal(fresh.answers(rows, size), outcome(name).logits["best"])


def test_weights_of_another_method_are_refused(given, outcome):
    learner = lora.build(given, lora.Settings(**LEARNS["lora"]))
    with pytest.raises(ValueError, match="weights: expected the names and shapes of this method, found others: "):
        learner.load(outcome("soft_verbalizer").state)


@pytest.mark.parametrize("name", ["lora", "prefix_tuning", "p_tuning", "pft_demonstrations", "pft_search", "pet"])
def test_same_seed_same_answers(name, given, outcome):
    again = run(given, name)
    assert torch.equal(again.logits["best"], outcome(name).logits["best"])


# ---------------------------------------------------------------- what each has of its own


def test_a_prefix_reaches_every_attention(given):
    """Keys and values of all layers take part: each slice of the last map has a gradient."""
    learner = prefix_tuning.build(given, prefix_tuning.Settings(**LEARNS["prefix_tuning"]))
    learner.loss(learner.encoded(given.train)).backward()
    config = given.classifier.model.config
    n_sites = 2 * (config.num_layers + 2 * config.num_decoder_layers)
    grads = learner.weights["mlp.2.weight"].grad.unflatten(0, (n_sites, -1))
    assert (grads.flatten(1).norm(dim=1) > 0).all()


def test_a_prefix_s_places_hold_nothing_but_its_keys_and_values(given):
    """Whatever word stands in the places, the answer is the same."""
    learner = prefix_tuning.build(given, prefix_tuning.Settings(**LEARNS["prefix_tuning"]))
    rows = learner.encoded(given.test.head(3))
    before = learner.answer(rows.ids)
    table = given.classifier.embedding
    pad = given.classifier.model.config.pad_token_id
    hook = table.register_forward_hook(lambda m, ids, out: torch.where((ids[0] == pad)[..., None], out + 3.0, out))
    after = learner.answer(rows.ids)
    hook.remove()
    assert torch.allclose(before, after, atol=1e-4)


def test_lora_starts_as_the_model_itself(given):
    learner = lora.build(given, lora.Settings(**LEARNS["lora"]))
    rows = learner.encoded(given.test)
    plain = methods.method("prompting").module.run(given, methods.method("prompting").module.Settings())
    assert torch.allclose(learner.answers(rows, 16), plain.logits["best"], atol=1e-4)
    assert all("lora_" in name for name in learner.weights)


def test_demonstrations_are_one_of_each_class_and_never_the_row_itself(given):
    learner = pft_demonstrations.build(given)
    asked, own = learner.encoded(given.train), given.encoded(given.train)
    for whole, row in zip(asked.ids, own.ids, strict=True):
        assert whole[-len(row) :] == row
        shown = given.classifier.tokenizer.decode(whole[: -len(row)])
        assert shown.count("equivalent?") == 2 and " yes" in shown and " no" in shown
    texts = [given.classifier.tokenizer.decode(row).replace("<extra_id_0>", "").strip() for row in own.ids]
    for whole, row, text in zip(asked.ids, own.ids, texts, strict=True):
        assert text not in given.classifier.tokenizer.decode(whole[: -len(row)])
    with pytest.raises(ValueError, match="pft_demonstrations: expected two real rows or more of each class, found"):
        few = dataclasses.replace(given, train=given.train.head(2))
        pft_demonstrations.run(few, pft_demonstrations.Settings(**LEARNS["pft"]))


def test_found_words_tell_the_classes_apart_and_found_templates_can_be_filled(given):
    settings = pft_search.Settings(**LEARNS["pft_search"])
    texts = pft_search.found_words(given, settings)
    assert set(texts.verbalizer) == set(given.task.labels) and len(set(texts.verbalizer.values())) == 2
    for template in pft_search.found_templates(given, settings, texts):
        changed = given.task.model_copy(update={"classifier": texts.model_copy(update={"template": template})})
        type(given.task).model_validate(changed.model_dump())


def test_corrupted_text_and_span_are_the_text(given):
    first, second = (given.classifier.tokenizer.convert_tokens_to_ids(f"<extra_id_{i}>") for i in (0, 1))
    for n in range(1, 12):
        ids = list(range(40, 40 + n))
        noisy, span = pet.corrupted(ids, given, samplers.seeded(n))
        assert span[0] == first and span[-1] == second and noisy.count(first) == 1
        at = noisy.index(first)
        assert noisy[:at] + span[1:-1] + noisy[at + 1 :] == ids


def test_next_sentences_are_half_true(given):
    train, dev = ppt.next_sentences(given, ppt.Settings(source_steps=1, pairs=40))
    assert len(train.ids) == 40 and sum(train.labels) == 20 and len(dev.ids) >= 10
    texts = given.lent.adjacent()
    together = {(a, b) for a, b in zip(texts["sentence1"], texts["sentence2"], strict=True)}
    read = {tuple(given.encoded(pd.DataFrame([{"sentence1": a, "sentence2": b, "label": "equivalent"}])).ids[0])
            for a, b in together}  # fmt: skip
    yes = given.task.number("equivalent")
    assert all((tuple(ids) in read) == (label == yes) for ids, label in zip(train.ids, train.labels, strict=True))
    with pytest.raises(ValueError, match="ppt.pairs: expected at least 1010 adjacent sentences, found 80"):
        ppt.next_sentences(given, ppt.Settings(source_steps=1, pairs=1000))


def test_source_rows_in_the_target_s_words(given):
    sick = load_task("pocket_sick")
    rows = dataclasses.replace(given.encoded(given.train), labels=[0, 1, 2, 0] * 8)
    kept = prompted.in_words_of(given, sick, rows)
    words = {label: sick.classifier.verbalizer[sick.labels[label]] for label in range(3)}
    wanted = [given.task.classifier.verbalizer[given.task.labels[label]] for label in kept.labels]
    assert wanted == [words[label] for label in rows.labels if words[label] != "neutral"] and len(kept.ids) == 24
    verbalizer = {"not_equivalent": "red", "equivalent": "blue"}
    other = given.task.model_copy(update={"classifier": given.task.classifier.model_copy(update={"verbalizer": verbalizer})})
    with pytest.raises(ValueError, match="source pocket_sick: expected a label word of pocket_mrpc"):
        prompted.in_words_of(given.of(other), sick, rows)


def test_a_started_prompt_is_where_tuning_begins(given):
    """With no step to speak of, the answers are those of the start."""
    start_PD = torch.randn(8, given.classifier.width)
    still = dataclasses.replace(given, limits=given.limits.model_copy(update={"lr": 1e-9, "steps": 3}))
    found = prompted.tune_from({"soft_prompt": start_PD, "tokens": torch.tensor(0)}, still).logits["best"]
    (expected,) = prompted.tuning.predict(start_PD[None], [given.encoded(given.test)], given.classifier, given.words(), 16)
    assert torch.allclose(found, expected, atol=1e-3)


# ---------------------------------------------------------------- what a source gives, before any step on the target


def said_by(start: prompted.Source, given: Given, rows: pd.DataFrame) -> float:
    """Accuracy of a prompt as it comes from its source."""
    asked = given.encoded(rows)
    (logits,) = prompted.tuning.predict(start["soft_prompt"][None], [asked], given.classifier, given.words(), 16)
    return (logits.argmax(-1) == torch.tensor(given.numbers(rows))).double().mean().item()


@pytest.mark.parametrize(("name", "values"), [("spot", {}), ("optima", {"lr": 0.3})])
def test_a_source_with_the_signal_hands_it_over(name, values, given):
    """The source is the toy task with other rows: 150 steps on it are enough, three are not."""
    module, found = methods.method(name).module, []
    for steps in (3, 150):
        settings = module.Settings.model_validate(LEARNS[name] | values | {"source_steps": steps})
        found.append(said_by(module.transferred(given, settings), given, given.test))
    assert found[1] >= 0.85 > found[0]


def test_ppt_learns_which_sentence_comes_next(given):
    settings = ppt.Settings(source_steps=150, pairs=60)
    lent = dataclasses.replace(given.lent, adjacent=lambda: toy(80, 11).assign(sentence2=lambda t: t["sentence1"], label=""))
    there = dataclasses.replace(given, lent=lent)  # what comes next is said again
    rows = lent.adjacent()
    after = rows.assign(label="equivalent")
    other = rows.assign(sentence2=rows["sentence2"].shift(7, fill_value="a dog"), label="not_equivalent")
    assert said_by(ppt.pretrained(there, settings), there, pd.concat([after, other])) >= 0.7


def test_optima_smooths_what_it_learns(given):
    """With the divergence in the loss, answers change less under the perturbation of the method itself."""
    kept = [methods.method("optima").module.smoothed(
        dataclasses.replace(given, train=toy(40, 8)), methods.method("optima").module.Settings.model_validate(
            LEARNS["optima"] | {"source_steps": 40, "length": 5.0, "smooth": smooth}), given.encoded(toy(30, 9)).ids)
        for smooth in (1e-6, 5.0)]  # fmt: skip
    random = samplers.seeded(3)
    rows = given.encoded(given.test)
    moved = []
    for source in kept:
        p_PD = source["soft_prompt"]
        ids_BT, kept_BT = prompts_of(rows, given)
        inputs_BTD, mask_BT = given.classifier.behind(p_PD.expand(len(ids_BT), -1, -1), ids_BT, kept_BT)
        noise = torch.randn(inputs_BTD.shape, generator=random.manual_seed(3)) * mask_BT[..., None] * 0.5
        clean, noisy = (given.classifier.scores(given.classifier.at_mask(x, mask_BT), given.words()).softmax(-1)
                        for x in (inputs_BTD, inputs_BTD + noise))  # fmt: skip
        moved.append((clean - noisy).abs().mean().item())
    assert moved[1] < moved[0]


def prompts_of(rows, given: Given):
    from dawgen_core.methods.learner import tensors

    return tensors(rows.ids, given.classifier)


# ---------------------------------------------------------------- methods without gradients


def test_calibration_takes_the_template_s_own_answer_away(given):
    module = methods.method("calibrated_prompting").module
    empty = pd.DataFrame({"sentence1": module.WITHOUT_CONTENT, "sentence2": module.WITHOUT_CONTENT, "label": "equivalent"})
    sets = [given.encoded(given.test), given.encoded(empty)]
    test_BC, empty_BC = prompted.tuning.predict(None, sets, given.classifier, given.words(), 16)
    expected = test_BC.softmax(-1) / empty_BC.softmax(-1).mean(0)
    found = module.run(given, module.Settings()).logits["best"].exp()
    assert torch.allclose(found / found.sum(-1, keepdim=True), expected / expected.sum(-1, keepdim=True), atol=1e-5)


def test_in_context_reads_answered_rows_before_the_row(given, monkeypatch):
    module, seen = methods.method("in_context").module, []
    real = prompted.tuning.predict
    monkeypatch.setattr(module.tuning, "predict", lambda p, rows, *rest: seen.append(rows[0]) or real(p, rows, *rest))
    settings = module.Settings(demonstrations=3, draws=2, trained_on=20)
    found = module.run(given, settings)
    own, decode = given.encoded(given.test).ids, given.classifier.tokenizer.decode
    assert len(seen) == 2 and seen[0].ids[0] != seen[1].ids[0]
    for rows in seen:
        assert all(ids[-len(row) :] == row for ids, row in zip(rows.ids, own, strict=True))
        context = decode(rows.ids[0][: -len(own[0])])
        assert context.count("equivalent?") == 3 and context.count(" yes") + context.count(" no") == 3
    assert found.metrics["contexts_longer_than_trained_on"] == 1.0 and 0 <= found.metrics["accuracy_of_single_draws"] <= 1
    with pytest.raises(ValueError, match="in_context.demonstrations: expected at most the 32 rows to train on, found 40"):
        module.run(given, module.Settings(demonstrations=40, draws=1, trained_on=20))


@pytest.mark.parametrize(("name", "values"), [("tfidf_naive_bayes", {"alpha": 0.01}), ("tfidf_logistic", {"c": 10.0})])
def test_words_alone_learn_their_rows(name, values, given):
    own, module = dataclasses.replace(given, test=given.train), methods.method(name).module
    found = module.run(own, module.Settings.model_validate(values))
    assert right(own, found.logits["best"]) >= 0.9 and found.trainable > 10 and 0 <= found.metrics["dev_best"] <= 1


def test_lora_s_numbers_are_float32_in_a_bfloat16_model(given):
    half = dataclasses.replace(given, classifier=lora.Classifier(
        copy.deepcopy(given.classifier.model).bfloat16(), given.classifier.tokenizer, "half"))  # fmt: skip
    learner = lora.build(half, lora.Settings(**LEARNS["lora"]))
    assert {w.dtype for w in learner.weights.values()} == {torch.float32}
    learner.loss(learner.encoded(given.train.head(4))).backward()
