"""Soft prompts that others published: OPTIMA's load, what is none is named, what would run code is refused and never run."""

import json
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from transformers import T5Config, T5ForConditionalGeneration

from dawgen_core.app import cli
from dawgen_core.artifacts import ArtifactError
from dawgen_core.data import adapters

WIDE = T5Config(d_model=1024, d_kv=8, d_ff=16, num_layers=1, num_heads=2, vocab_size=40, decoder_start_token_id=0)


@pytest.fixture
def imported(tmp_path, unharmed):
    """Imports what was saved for the T5 of width 1024; nothing changes."""

    def read(name: str = "p.pt") -> torch.Tensor:
        with unharmed():
            return adapters.imported_prompt(tmp_path / name, WIDE, "t5-wide")

    return read


OPTIMA = torch.randn(100, 1024, generator=torch.Generator().manual_seed(0))
PUBLISHED = {
    "a tensor": OPTIMA,
    "a parameter": torch.nn.Parameter(OPTIMA),
    "bfloat16": OPTIMA.bfloat16(),
    "in a dictionary": {"prompt": OPTIMA},
    "beside other things": {
        "prompt": OPTIMA,
        "step": 30_000,
        "name": "mnli",
        "bias": torch.zeros(1024),
        "ids": torch.zeros(2, 2).long(),
    },
    "a state": torch.nn.Embedding.from_pretrained(OPTIMA).state_dict(),
    "a view of more": torch.cat([OPTIMA, OPTIMA])[:100],
}


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_prompts_are_imported(kind, old, tmp_path, imported):
    torch.save(PUBLISHED[kind], tmp_path / "p.pt", _use_new_zipfile_serialization=not old)
    found, wanted = imported(), OPTIMA.bfloat16() if kind == "bfloat16" else OPTIMA
    assert torch.equal(found, wanted.float()) and found.dtype == torch.float32 and not found.requires_grad


def test_an_imported_prompt_loads_with_peft_and_is_what_the_encoder_reads(tmp_path, capsys):
    from peft import PeftModel

    model = T5ForConditionalGeneration(WIDE).eval()
    model.save_pretrained(tmp_path / "t5")
    save_file({"prompt": OPTIMA}, tmp_path / "p.safetensors")
    torch.save(OPTIMA, tmp_path / "p.pt")
    for name in ("p.pt", "p.safetensors"):
        out = tmp_path / f"out_{name}"
        assert cli.main(["import-prompt", str(tmp_path / name), str(out), "--classifier", str(tmp_path / "t5")]) == 0
        assert "100 tokens of 1024 numbers for" in capsys.readouterr().out
        assert sorted(path.name for path in out.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
        assert torch.equal(adapters.load_prompt(out), OPTIMA)
    loaded = PeftModel.from_pretrained(model, tmp_path / "out_p.pt").eval()
    ids, start = torch.tensor([[3, 4, 5]]), torch.tensor([[0]])
    with torch.no_grad():
        found = loaded(input_ids=ids, attention_mask=torch.ones_like(ids), decoder_input_ids=start).logits
        inputs = torch.cat([OPTIMA[None], model.get_input_embeddings()(ids)], dim=1)
        wanted = model(inputs_embeds=inputs, decoder_input_ids=start).logits
    torch.testing.assert_close(found, wanted)


def test_the_paper_s_classifier_needs_no_download_for_it(tmp_path, capsys):
    torch.save(OPTIMA, tmp_path / "p.pt")
    assert cli.main(["import-prompt", str(tmp_path / "p.pt"), str(tmp_path / "out")]) == 0
    about = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (about["num_virtual_tokens"], about["token_dim"], about["num_layers"]) == (100, 1024, 24)


class Odd(torch.nn.Module):
    pass


def huge() -> torch.Tensor:
    return torch.zeros(1).as_strided((10**9, 1024), (0, 0))


NO_PROMPTS = {
    "another width": (torch.zeros(100, 768), r"tokens of 1024 numbers, the width of t5-wide, found \[100, 768\]"),
    "turned round": (OPTIMA.T, r"tokens of 1024 numbers, .*found \[1024, 100\]"),
    "a vector": (torch.zeros(1024), "expected a matrix of floats .* found 0 in a Tensor"),
    "a stack": (torch.zeros(2, 100, 1024), "expected a matrix of floats .* found 0 in a Tensor"),
    "integers": (torch.zeros(100, 1024).long(), "expected a matrix of floats .* found 0"),
    "no token": (torch.zeros(0, 1024), "expected 1 to 10,000 tokens"),
    "two prompts": ({"a": OPTIMA, "b": OPTIMA}, "expected a matrix of floats .* found 2 in a dict"),
    "a list": ([OPTIMA], "expected a matrix of floats .* found 0 in a list"),
    "a text": ("prompt", "expected a matrix of floats .* found 0 in a str"),
    "NaN": (OPTIMA.clone().fill_(torch.nan), "expected finite numbers, found NaN or infinity"),
    "more than float32 holds": (OPTIMA.double() * 1e300, "expected finite numbers"),
    "a trillion numbers that are one": (huge(), r"expected 1 to 10,000 tokens, .*found \[1000000000, 1024\]"),
    "on no device": (torch.zeros(100, 1024, device="meta"), "expected 1 to 10,000 tokens|nothing that runs code"),
    "sparse": (torch.eye(1024).to_sparse(), "expected 1 to 10,000 tokens, floats"),
    "a module": (Odd(), "nothing that runs code, found other things .UnpicklingError"),
}


@pytest.mark.parametrize("kind", NO_PROMPTS)
def test_what_is_no_soft_prompt(kind, tmp_path, imported):
    value, message = NO_PROMPTS[kind]
    torch.save(value, tmp_path / "p.pt")
    with pytest.raises(ArtifactError, match=message) as found:
        imported()
    assert "weights_only" not in str(found.value)  # torch itself would advise to run the code


def test_an_output_that_is_there_and_another_model(tmp_path, dawgen):
    torch.save(OPTIMA, tmp_path / "p.pt")
    (tmp_path / "there").mkdir()
    assert "FOLDER: expected a new one" in dawgen("import-prompt", tmp_path / "p.pt", tmp_path / "there")
    said = dawgen(
        "import-prompt", tmp_path / "p.pt", tmp_path / "out", "--classifier", "dawgen_core/pocket/weights/pocket-ctrl"
    )
    assert "model: expected" in said


# ---------------------------------------------------------------- pickles


@pytest.mark.parametrize("name", ["p.pt", "p.bin", "p.pkl", "p.safetensors", "p"])
@pytest.mark.parametrize("form", ["pickle", "torch", "torch before 1.6", "in a dictionary", "zip without tensors"])
def test_pickles_are_refused_and_never_run(name, form, tmp_path, payload, imported):
    if form == "pickle":
        (tmp_path / name).write_bytes(pickle.dumps(payload))
    elif form == "zip without tensors":
        with zipfile.ZipFile(tmp_path / name, "w") as file:
            file.writestr("archive/data.pkl", pickle.dumps(payload))
            file.writestr("archive/version", "3")
    else:
        value = {"prompt": OPTIMA, "evil": payload} if form == "in a dictionary" else payload
        torch.save(value, tmp_path / name, _use_new_zipfile_serialization=form != "torch before 1.6")
    with pytest.raises(
        ArtifactError, match="expected (tensors in torch's format and nothing that runs code|a whole safetensors)"
    ):
        imported(name)


def test_a_bomb_of_zeros_in_a_zip(tmp_path, imported):
    with zipfile.ZipFile(tmp_path / "p.pt", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", bytes(300_000_000))
    with pytest.raises(ArtifactError, match="expected tensors in torch's format"):
        imported()
