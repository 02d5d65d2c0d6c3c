"""The committed pocket models: whole, small, loaded by transformers alone, and those that the gates were measured on."""

import json

import pytest
import transformers

from dawgen_core.data import pretrained
from dawgen_core.data.profiles import load_profile
from dawgen_core.pocket import gates, pretraining
from dawgen_core.pocket.pairs import draw
from dawgen_core.pocket.twins import twin, twins
from dawgen_core.pocket.verdicts import judge

WEIGHTS = gates.REPORT.parent
NAMES = sorted(path.parent.name for path in WEIGHTS.glob("*/config.json"))


def test_all_weights_together_are_small():
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".safetensors", ".json", ".md"}  # nothing that could be executed
    assert sum(path.stat().st_size for path in files) < 20_000_000


@pytest.mark.parametrize("name", NAMES)
def test_transformers_alone_loads_a_folder(name):
    is_t5 = pretraining.MODELS[name]["kind"] == "t5"
    auto = transformers.AutoModelForSeq2SeqLM if is_t5 else transformers.AutoModelForCausalLM
    model, report = auto.from_pretrained(WEIGHTS / name, output_loading_info=True)
    assert type(model).__name__ == ("T5ForConditionalGeneration" if is_t5 else "CTRLLMHeadModel")
    assert not report["missing_keys"] and not report["unexpected_keys"]
    tokens = transformers.AutoTokenizer.from_pretrained(WEIGHTS / name)
    assert tokens.get_vocab() == pretraining.tokenizer().get_vocab()
    assert tokens("a woman is washing cars", add_special_tokens=False)["input_ids"] == pretraining.tokenizer()(
        "a woman is washing cars", add_special_tokens=False)["input_ids"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_card_and_a_record_stand_beside_the_weights(name):
    record = json.loads((WEIGHTS / name / "training.json").read_text(encoding="utf-8"))
    plan = pretraining.MODELS[name]
    assert record["step"] == plan["steps"] and record["batch"] == plan["batch"] and record["shape"] == plan["shape"]
    card = (WEIGHTS / name / "README.md").read_text(encoding="utf-8")
    assert f"{record['tokens']:,} tokens" in card and "license: mit" in card and "{" not in card.replace("${", "")


def test_the_gates_were_measured_on_these_weights_and_settings():
    report = gates.report()
    assert (report["weights"], report["settings"]) == (gates.digests(), gates.settings_digest()), "run make pocket-gates"


def test_every_task_has_every_gate_and_every_required_one_was_passed():
    rows, sources = gates.report()["gates"], list(gates.GATES)[1]
    of_tasks = {(task, gate) for task in twins() for gate in gates.GATES if gate != sources}
    on_sisters = {(f"sister tasks, {kind}", sources) for kind in ("nli", "paraphrase")}
    assert sorted((row["task"], row["gate"]) for row in rows) == sorted(of_tasks | on_sisters)
    for row in rows:
        low, high = gates.GATES[row["gate"]]
        assert (row["low"], row["high"], row["passed"]) == (low, high, low <= row["value"] <= high)
        assert row["required"] == gates.required(row["task"]) and (row["passed"] or not row["required"]), row


def test_required_are_the_default_tasks_the_development_tasks_and_the_sisters():
    tasks = [name for name in twins() if gates.required(name)]
    assert tasks == ["pocket_mrpc", "pocket_sick", "pocket_dev_paraphrase", "pocket_dev_nli"]
    assert gates.required("sister tasks, nli")


def test_held_out_pairs_share_no_first_meaning_with_rows_that_are_trained_or_reported_on():
    def meanings(rows):
        return {twin("pocket_snli").read(text, "sentence1")[0] for text in rows["sentence1"]}

    held_out = gates.held_out_pairs("pocket_snli", 100)
    assert held_out["label"].value_counts().tolist() == [100] * 3 and judge("pocket_snli", held_out)["label_right"].all()
    for split in ("pool", "oracle", "test"):
        assert not meanings(held_out) & meanings(draw("pocket_snli", split, gates.SEEDS[0], 2000))


def test_one_gate_again():
    study = load_profile("pocket")
    found = gates.on_the_free_domains(pretrained.load_classifier(study.classifier, study.compute))
    gate = list(gates.GATES)[1]
    rows = {row["task"].rpartition(", ")[2]: row["value"] for row in gates.report()["gates"] if row["gate"] == gate}
    assert found.keys() == rows.keys() and all(abs(found[name] - rows[name]) < 0.01 for name in rows)
    assert min(found.values()) >= gates.GATES[gate][0]
