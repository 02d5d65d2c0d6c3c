"""The committed pocket models: whole, small, loaded by transformers alone, and those that the gates were measured on."""

import json

import pytest
import transformers

from dawgen_core.data import pretrained
from dawgen_core.data.profiles import load_profile
from dawgen_core.pocket import gates, pretraining

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


def test_the_gates_were_measured_on_these_weights():
    assert gates.report()["weights"] == gates.digests()


def test_every_required_gate_was_passed():
    rows = gates.report()["gates"]
    assert {row["gate"] for row in rows} == set(gates.GATES)
    for row in rows:
        low, high = gates.GATES[row["gate"]]
        assert (row["low"], row["high"], row["passed"]) == (low, high, low <= row["value"] <= high)
        assert row["passed"] or not row["required"], row


def test_one_gate_again():
    study = load_profile("pocket")
    found = gates.on_the_free_domains(pretrained.load_classifier(study.classifier, study.compute))
    gate = list(gates.GATES)[1]
    rows = {row["task"].rpartition(", ")[2]: row["value"] for row in gates.report()["gates"] if row["gate"] == gate}
    assert found.keys() == rows.keys() and all(abs(found[name] - rows[name]) < 0.01 for name in rows)
    assert min(found.values()) >= gates.GATES[gate][0]
