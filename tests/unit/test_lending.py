"""What methods are lent: rows that no one was shown, a source with plenty of labels, and tensors that are made once."""

import pytest
import torch

from dawgen_core.artifacts import Runs
from dawgen_core.audit.ledger import conditions
from dawgen_core.data.profiles import load_profile, load_task
from dawgen_core.data.rows import TaskRows
from dawgen_core.methods import lending, ppt, spot
from dawgen_core.params import ParamsError
from dawgen_core.tasks import TaskError


def lender(name: str, task: str, root, code: str = "code", **change) -> lending.Lender:
    study = load_profile(name).model_copy(update=change)
    return lending.Lender(TaskRows(load_task(task), study), study, Runs(root), "weights", lambda module: code)


def texts(rows) -> set[tuple[str, str]]:
    return set(zip(rows["sentence1"], rows["sentence2"], strict=True))


@pytest.mark.parametrize(("name", "task"), [("smoke", "sick"), ("pocket", "pocket_sick")])
def test_unlabelled_pairs_are_nobody_s_rows(name, task, tmp_path):
    one = lender(name, task, tmp_path)
    shown = one.rows.few_shot(one.study.seeds[0])
    assert len(one.unlabelled) >= 5 and set(one.unlabelled["label"]) == {""}
    for rows in (one.rows.test(), *shown):
        assert not texts(one.unlabelled) & texts(rows)


def test_adjacent_sentences_are_neighbouring_lines(tmp_path):
    one = lender("smoke", "sick", tmp_path)
    lines = one.rows._sentence_lines
    at = {line.strip(): i for i, line in enumerate(lines)}
    assert all(at[b] == at[a] + 1 for a, b in texts(one.adjacent)) and len(one.adjacent) > 10


def test_adjacent_sentences_of_the_pocket_world_are_pairs_of_their_own(tmp_path):
    one = lender("pocket", "pocket_sick", tmp_path)
    assert not texts(one.adjacent) & texts(one.unlabelled) and not texts(one.adjacent) & texts(one.rows.test())
    names = {word for text in one.rows.test()["sentence1"] for word in text.split()}
    foreign = {word for text in one.adjacent["sentence1"] for word in text.split()} - names
    assert len(foreign) > 50  # other domains: other things are talked about


def test_single_sentences_are_no_running_text(tmp_path):
    one = lender("smoke", "sick", tmp_path)
    single = one.rows.source.first_sentences.model_copy(update={"running": False})
    one.rows.source = one.rows.source.model_copy(update={"first_sentences": single})
    with pytest.raises(TaskError, match="sick, first_sentences.running: expected running text .for PPT., found single"):
        one.adjacent  # noqa: B018


def test_a_source_has_plenty_of_labels_and_dev_rows_of_its_own(tmp_path):
    task, train, dev = lender("study", "pocket_rte", tmp_path).source
    assert task.task == "pocket_mnli" and train["label"].value_counts().tolist() == [1000] * 3
    assert dev["label"].value_counts().tolist() == [32] * 3 and not texts(train) & texts(dev)
    task, train, dev = lender("smoke", "mrpc", tmp_path).source
    assert task.task == "sick" and len(train) and len(dev) and not texts(train) & texts(dev)


def test_what_all_seeds_share_is_made_once_and_again_when_anything_is_new(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"soft_prompt": torch.full((2, 3), float(len(made)))}

    def asked(one: lending.Lender, steps: int = 5) -> float:
        found = one.lend(13).once("spot", "mnli", spot.Settings(source_steps=steps), make)
        return found["soft_prompt"][0, 0].item()

    one = lender("smoke", "sick", tmp_path)
    assert asked(one) == asked(one) == asked(lender("smoke", "sick", tmp_path)) == 1.0
    assert asked(one, steps=6) == 2.0  # other settings
    assert asked(lender("smoke", "sick", tmp_path, code="edited"), steps=6) == 3.0
    budget = one.study.prompt_tuning.model_copy(update={"lr": 0.5})
    assert asked(lender("smoke", "sick", tmp_path, code="edited", prompt_tuning=budget), steps=6) == 4.0
    again = lender("smoke", "sick", tmp_path)
    texts = again.source[0].classifier.model_copy(update={"template": "{second} {first} [MASK]"})
    again.source = (again.source[0].model_copy(update={"classifier": texts}), *again.source[1:])
    assert asked(again) == 5.0  # the source is read in another template
    assert again.seconds > 0
    found = one.lend(21).once("spot", "mnli", spot.Settings(source_steps=5), make)
    assert found["soft_prompt"][0, 0].item() == 6.0  # every seed has its own


def test_a_target_s_words_are_an_input_of_what_is_made_in_them(tmp_path):
    one = lender("smoke", "sick", tmp_path)

    def made(lent: lending.Lender) -> float:
        settings = ppt.Settings(source_steps=5, pairs=4)
        return lent.lend(13).once("ppt", "x", settings, lambda: {"soft_prompt": torch.rand(1)})["soft_prompt"].item()

    first = made(one)
    assert made(one) == first
    words = one.rows.task.classifier.model_copy(update={"template": "{second} {first} [MASK]"})
    one.rows.task = one.rows.task.model_copy(update={"classifier": words})
    assert made(one) != first


def test_a_damaged_share_is_never_used(tmp_path):
    one = lender("smoke", "sick", tmp_path)
    ask = lambda: one.lend(13).once("spot", "x", spot.Settings(source_steps=5), lambda: {"soft_prompt": torch.ones(1)})  # noqa: E731
    ask()
    (tmp_path / "shared" / "seed-13" / "spot.x" / "weights.safetensors").write_bytes(b"cut")
    with pytest.raises(lending.artifacts.ArtifactError, match="truncated or edited"):
        ask()


def test_a_task_is_not_its_own_source():
    study = load_profile("smoke").model_copy(update={"transfer_from": {"mrpc": "mrpc"}})
    with pytest.raises(ParamsError, match="transfer_from.mrpc: expected another task, found itself"):
        lending.check(study, load_task("mrpc"))


def test_a_task_without_a_source_has_no_rows_of_methods_that_need_one():
    study = load_profile("smoke").model_copy(update={"transfer_from": {}})
    asked = {method for *_, method in conditions(study, "mrpc", study.seeds)}
    lending.check(study, load_task("mrpc"))
    assert set(study.methods) - asked == {"spot", "spot_kept", "ours_from_spot", "optima"}


def test_other_rows_are_another_input(tmp_path):
    one, other = lender("smoke", "sick", tmp_path), lender("smoke", "mrpc", tmp_path)
    assert set(one.digest("optima")) == {"source", "source_task", "unlabelled"}
    assert one.digest("lora") == {} == one.digest("ours_lora")
    assert one.digest("pet") != other.digest("pet")
