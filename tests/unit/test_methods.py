"""The compared methods: one signature for all, settings checked by name, FT learns in a copy."""

import inspect
from pathlib import Path

import pandas as pd
import pytest
import torch

from dawgen_core import methods, tuning
from dawgen_core.methods import fine_tuning, hand_prompt, prompting
from dawgen_core.methods.given import Given
from dawgen_core.params import ParamsError, Record
from dawgen_core.tasks import MASK, ClassifierTexts, TaskError

FT = fine_tuning.Settings(lr=3e-3, weight_decay=0.01)
BUDGET = {"steps": 40, "eval_every": 10, "batch_real_per_class": 4}
HAND = ClassifierTexts(template="{second} or {first} ? [MASK]", verbalizer={"not_equivalent": "no", "equivalent": "yes"})


@pytest.fixture(scope="module")
def given(smoke, mrpc, mrpc_rows, classifier) -> Given:
    """The few rows of seed 13; what is learnt is asked of the training rows."""
    train, dev = mrpc_rows.few_shot(13)
    return Given(mrpc, classifier, train, dev, train, 13, smoke.prompt_tuning.model_copy(update=BUDGET))


def changed(given: Given, **change) -> Given:
    return Given(**{name: getattr(given, name) for name in Given.__dataclass_fields__} | change)


def within(given: Given, **budget) -> Given:
    return changed(given, limits=given.limits.model_copy(update=budget))


def with_hand(given: Given, hand: ClassifierTexts | None) -> Given:
    texts = given.task.classifier.model_copy(update={"hand": hand})
    return changed(given, task=given.task.model_copy(update={"classifier": texts}))


def labels(given: Given, rows: pd.DataFrame) -> torch.Tensor:
    return torch.tensor([given.task.number(label) for label in rows["label"]])


def accuracy(given: Given, logits_BC: torch.Tensor, rows: pd.DataFrame) -> float:
    return (logits_BC.argmax(-1) == labels(given, rows)).double().mean().item()


# ---------------------------------------------------------------- the registry and its settings


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_method_has_the_same_face(name):
    row = methods.method(name)
    one = row.module
    assert issubclass(one.Settings, Record) and isinstance(one.SEEDED, bool) and len(one.__doc__) > 60
    assert list(inspect.signature(one.run).parameters) == ["given", "settings"] and "Trainable numbers" in one.run.__doc__
    assert set(row.reads) <= {"unlabelled", "adjacent", "source", "synthetic"} and row.title and row.trains and row.source


def test_one_short_file_each():
    shared = {"__init__", "given", "learner", "lending", "prompted"}
    files = {p.stem for p in Path(methods.__file__).parent.glob("*.py")} - shared
    assert files == {row.file for row in methods.METHODS.values()}
    assert max(len(Path(row.module.__file__).read_text().splitlines()) for row in methods.METHODS.values()) <= 120


def test_the_readme_lists_every_method_as_it_is():
    readme = (Path(methods.__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    lines = [line for line in readme.splitlines() if "](dawgen_core/methods/" in line and line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    expected = [[row.title, row.trains, row.source, f"[`{row.file}`](dawgen_core/methods/{row.file}.py)"]
                for row in methods.METHODS.values()]  # fmt: skip
    assert [[name, trains, source, file] for name, trains, _, source, file in cells] == expected


def test_who_draws_nothing_at_random():
    assert [n for n, row in methods.METHODS.items() if not row.module.SEEDED] == [
        "prompting", "calibrated_prompting", "hand_prompt"]  # fmt: skip


def test_settings_are_checked_records(smoke):
    found = methods.settings_of(smoke)
    assert list(found) == list(smoke.methods)
    assert found["prompting"] == prompting.Settings() and found["fine_tuning"].lr == smoke.methods["fine_tuning"]["lr"]


WRONG = {
    "no such method": ("promting", {}, "methods: expected some of prompting, .*, found 'promting'"),
    "unknown key": ("fine_tuning", {"rate": 1.0}, "methods.fine_tuning.rate: Extra inputs are not permitted, found 1.0"),
    "a key where none is": ("prompting", {"lr": 1.0}, "methods.prompting.lr: Extra inputs are not permitted, found 1.0"),
    "negative rate": ("fine_tuning", {"lr": -1.0}, "methods.fine_tuning.lr: .*greater than 0, found -1.0"),
    "text for a number": ("fine_tuning", {"lr": "5e-3"}, "methods.fine_tuning.lr: .*valid number, found '5e-3'"),
    "a number for a whole one": ("lora", {"rank": 2.5}, "methods.lora.rank: .*integer, found 2.5"),
    "no step": ("spot", {"source_steps": 0}, "methods.spot.source_steps: .*greater than or equal to 1, found 0"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_settings_are_named(kind, smoke):
    name, values, message = WRONG[kind]
    values = smoke.methods.get(name, {}) | values
    with pytest.raises(ParamsError, match=message):
        methods.settings_of(smoke.model_copy(update={"methods": {name: values}}))


def test_every_wrong_setting_is_listed(smoke):
    with pytest.raises(ParamsError, match=r"(?s)fine_tuning.lr: .*fine_tuning.weight_decay: Field required"):
        methods.settings_of(smoke.model_copy(update={"methods": {"fine_tuning": {"lr": 0.0}}}))


# ---------------------------------------------------------------- methods without training


def test_prompting_is_the_classifier_without_a_prompt(given):
    found = prompting.run(given, prompting.Settings())
    (logits,) = tuning.predict(None, [given.encoded(given.test)], given.classifier, given.words(), 7)
    assert list(found.logits) == ["best"] and found.trainable == 0 and found.metrics == {}
    assert torch.allclose(found.logits["best"], logits, atol=1e-5) and logits.shape == (32, 2)


def test_a_method_that_draws_nothing_needs_neither_rows_nor_seed(given):
    alone = changed(given, train=given.train[:0], dev=given.dev[:0], seed=None)
    for one, task in ((prompting, alone), (hand_prompt, with_hand(alone, HAND))):
        again = changed(task, train=given.train, dev=given.dev, seed=21)
        assert torch.equal(one.run(task, one.Settings()).logits["best"], one.run(again, one.Settings()).logits["best"])


def test_the_hand_prompt_of_the_task_s_own_texts_is_prompting(given):
    same = with_hand(given, given.task.classifier)
    found, plain = (one.run(same, one.Settings()) for one in (hand_prompt, prompting))
    assert torch.equal(found.logits["best"], plain.logits["best"]) and (found.trainable, found.metrics) == (0, {})


def test_the_hand_prompt_has_its_own_template_and_words(given):
    logits = hand_prompt.run(with_hand(given, HAND), hand_prompt.Settings()).logits["best"]
    rows = given.encoded(given.test, HAND)
    ids = given.classifier.ids
    assert rows.ids[0] == ids(f"{given.test.sentence2[0]} or {given.test.sentence1[0]} ? <extra_id_0>")
    (expected,) = tuning.predict(None, [rows], given.classifier, given.words(HAND), 7)
    assert torch.allclose(logits, expected, atol=1e-5)
    flipped = HAND.model_copy(update={"verbalizer": {"not_equivalent": "yes", "equivalent": "no"}})
    turned = hand_prompt.run(with_hand(given, flipped), hand_prompt.Settings()).logits["best"]
    assert torch.equal(turned, logits.flip(-1)) and not torch.equal(turned, logits)


def test_a_task_without_a_hand_prompt_is_named(given):
    with pytest.raises(TaskError, match="hand_prompt: expected classifier.hand in params/tasks/mrpc.yaml, found none"):
        hand_prompt.run(given, hand_prompt.Settings())


# ---------------------------------------------------------------- FT


@pytest.fixture(scope="module")
def tuned(given):
    """(outcome of FT, the classifier's digest before it)"""
    before = given.classifier.weights_digest()
    return fine_tuning.run(given, FT), before


def test_ft_learns_its_few_rows(given, tuned):
    """Two classes of 16: chance is 0.5, with a loss of ln 2 = 0.69."""
    last = tuned[0].logits["last"]
    assert accuracy(given, last, given.train) >= 0.9
    assert torch.nn.functional.cross_entropy(last, labels(given, given.train)).item() < 0.3


def test_the_given_classifier_stays_as_it_is(given, tuned):
    assert given.classifier.weights_digest() == tuned[1]
    assert not any(w.requires_grad or w.grad is not None for w in given.classifier.model.parameters())
    assert not given.classifier.model.training


def test_ft_trains_all_weights(given, tuned):
    assert tuned[0].trainable == sum(w.numel() for w in given.classifier.model.parameters()) > 50_000


def test_ft_is_its_seed(given, tuned):
    again, other = fine_tuning.run(given, FT), fine_tuning.run(changed(given, seed=21), FT)
    assert again.metrics == tuned[0].metrics
    assert all(torch.equal(again.logits[key], tuned[0].logits[key]) for key in ("best", "last"))
    assert not torch.equal(other.logits["last"], again.logits["last"])


def test_best_is_the_first_highest_accuracy_on_dev(given):
    """Dev rows stand as test rows, so that `best` must score what was said of it."""
    asked = changed(given, test=given.dev)
    every = fine_tuning.run(within(asked, steps=6, eval_every=2), FT)
    assert list(every.logits) == ["best", "last"]
    assert set(every.metrics) == {"dev_best", "best_step", "n_shortened", "tokens"}
    assert every.metrics["best_step"] in (1, 3, 5)  # counted from 0
    assert accuracy(given, every.logits["best"], given.dev) == every.metrics["dev_best"]
    assert accuracy(given, every.logits["last"], given.dev) <= every.metrics["dev_best"]
    once = fine_tuning.run(within(asked, steps=6, eval_every=50), FT)  # asked at the last step only
    assert once.metrics["best_step"] == 5 and torch.equal(once.logits["best"], once.logits["last"])
    assert torch.equal(once.logits["last"], every.logits["last"])


def test_equal_accuracy_on_dev_keeps_the_earlier_weights(given):
    """A rate too small to move any answer: all evaluations are equal, and the first one stands."""
    found = fine_tuning.run(within(given, steps=6, eval_every=2), FT.model_copy(update={"lr": 1e-9}))
    assert found.metrics["best_step"] == 1
    untrained = given.encoded(given.test, template_of_ft(given))
    (start,) = tuning.predict(None, [untrained], given.classifier, given.words(), 7)
    assert torch.allclose(found.logits["best"], start, atol=1e-4)


def template_of_ft(given: Given) -> ClassifierTexts:
    return given.task.classifier.model_copy(update={"template": "{first} {second} " + MASK})


def test_ft_has_no_template_of_a_task(given):
    """Both sentences and [MASK]: another template of the task changes nothing, other words do."""
    given = within(given, steps=2)
    found = fine_tuning.run(given, FT)
    for texts, same in (({"template": "is {second} {first} ? [MASK]"}, True),
                        ({"verbalizer": {"not_equivalent": "yes", "equivalent": "no"}}, False)):  # fmt: skip
        task = given.task.model_copy(update={"classifier": given.task.classifier.model_copy(update=texts)})
        other = fine_tuning.run(changed(given, task=task), FT)
        assert torch.equal(found.logits["last"], other.logits["last"]) == same


def test_weights_decay_in_matrices_only(given, monkeypatch):
    """Norms and biases keep their length."""
    seen, real = [], torch.optim.AdamW

    def watched(groups, **options):
        seen.append(([(group["weight_decay"], {w.dim() for w in group["params"]}) for group in groups], options))
        return real(groups, **options)

    monkeypatch.setattr(torch.optim, "AdamW", watched)
    fine_tuning.run(within(given, steps=1), FT)
    assert seen == [([(0.01, {2}), (0.0, {1})], {"lr": 3e-3})]
