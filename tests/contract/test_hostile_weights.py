"""Hostile weights of models: headers that lie, numbers that are none, pickles and code that would be run."""

import json
import pickle
import struct

import pytest
import torch

from dawgen_core import artifacts
from dawgen_core.artifacts import ArtifactError
from dawgen_core.backbones import BackboneError
from dawgen_core.data import adapters, pretrained
from dawgen_core.params import Backbone

# ---------------------------------------------------------------- safetensors


def tensors(header: object, data: bytes = bytes(24), size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def one(dtype: str = "F32", shape: object = (2, 3), offsets: object = (0, 24), name: str = "prompt_embeddings") -> dict:
    return {name: {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


LYING = {
    "nothing": b"",
    "less than a length": b"\1\2\3",
    "a header of 2**63 bytes": tensors(one(), size=2**63),
    "a header of a terabyte": tensors(one(), size=10**12),
    "a header longer than the file": tensors(one(), size=500),
    "no JSON": tensors(b"{"),
    "no UTF-8": tensors(b"\xff\xfe"),
    "depth": tensors(b"[" * 10_000),
    "a list": tensors([]),
    "offsets past the end": tensors(one(offsets=(0, 2400))),
    "offsets the wrong way": tensors(one(offsets=(24, 0))),
    "negative offsets": tensors(one(offsets=(-24, 0))),
    "offsets without end": tensors(one(offsets=(0, 2**64 - 1))),
    "overlapping tensors": tensors(one() | one(name="b", offsets=(0, 24))),
    "a gap between tensors": tensors(one(offsets=(0, 24)) | one(name="b", offsets=(48, 72)), bytes(72)),
    "bytes that belong to none": tensors(one(), bytes(1000)),
    "a shape of another size": tensors(one(shape=(3, 3))),
    "a shape without end": tensors(one(shape=(2**40, 2**40))),
    "a negative shape": tensors(one(shape=(-2, -3))),
    "an unknown type": tensors(one(dtype="F33")),
    "another type than its size": tensors(one(dtype="F64")),
    "integers": tensors(one(dtype="I32")),
    "three dimensions": tensors(one(shape=(2, 3, 1))),
    "no row": tensors(one(shape=(0, 3), offsets=(0, 0)), b""),
    "no width": tensors(one(shape=(3, 0), offsets=(0, 0)), b""),
    "another name": tensors(one(name="x")),
    "NaN": tensors(one(), struct.pack("<6f", 1, 2, 3, 4, 5, float("nan"))),
    "infinity": tensors(one(), struct.pack("<6f", 1, 2, 3, 4, 5, float("-inf"))),
    "floats of eight bits that are none": tensors(one(dtype="F8_E5M2", offsets=(0, 6)), b"\xff" * 6),
}


@pytest.mark.parametrize("kind", LYING)
def test_lying_safetensors(kind, tmp_path, unharmed):
    path = tmp_path / "adapter_model.safetensors"
    path.write_bytes(LYING[kind])
    with unharmed(), pytest.raises(ArtifactError, match=f"{tmp_path}.*: expected .*, found"):
        adapters.load_prompt(tmp_path)
    with unharmed():
        try:
            artifacts.read_tensors(path)
        except ArtifactError:
            pass


# ---------------------------------------------------------------- pickles


@pytest.fixture
def folder(tmp_path, classifier):
    """A model's folder, whole; how to load it."""
    classifier.model.save_pretrained(tmp_path / "t5")
    classifier.tokenizer.save_pretrained(tmp_path / "t5")
    return tmp_path / "t5"


def load(folder, smoke, classifier):
    where = Backbone(model=str(folder), architecture="t5", shape={"d_model": classifier.width})
    return pretrained.load_classifier(where, smoke.compute)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pkl", "model.safetensors", "model.pth"])
@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_pickles_for_a_model_are_refused_and_never_run(name, form, folder, payload, smoke, classifier, unharmed):
    (folder / "model.safetensors").unlink()
    if form == "torch":
        torch.save({"shared.weight": payload}, folder / name)
    else:
        (folder / name).write_bytes(pickle.dumps(payload))
    with unharmed(), pytest.raises(BackboneError, match="model: expected whole weights") as found:
        load(folder, smoke, classifier)
    assert "weights_only" not in str(found.value)  # torch's own advice would run the code


def test_pickles_beside_whole_weights_are_not_read(folder, payload, smoke, classifier, unharmed):
    for name in ("pytorch_model.bin", "adapter_model.bin", "training_args.bin", "optimizer.pt"):
        (folder / name).write_bytes(pickle.dumps(payload))
    with unharmed():
        assert load(folder, smoke, classifier).weights_digest() == classifier.weights_digest()


# ---------------------------------------------------------------- code beside weights


def test_code_in_a_model_s_folder_is_never_run(folder, tmp_path, smoke, classifier, unharmed, payload):
    """auto_map names classes of a file beside the weights; only trust_remote_code would run it."""
    (folder / "evil.py").write_text(f"open({payload.path!r}, 'w')\nclass C: ...\n")
    for name in ("config.json", "tokenizer_config.json"):
        about = json.loads((folder / name).read_text())
        classes = {key: "evil.C" for key in ("AutoConfig", "AutoModelForSeq2SeqLM")} | {
            "AutoTokenizer": ["evil.C", "evil.C"]
        }
        (folder / name).write_text(json.dumps(about | {"auto_map": classes}))
    with unharmed():
        try:
            assert load(folder, smoke, classifier).weights_digest() == classifier.weights_digest()
        except BackboneError:  # refused is as well
            pass
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | {"model_type": "evil", "architectures": ["C"]}))
    with unharmed(), pytest.raises(BackboneError, match="model: expected"):
        load(folder, smoke, classifier)


T5 = '{"model_type": "t5", '
CONFIGS = ["", "[]", "null", "{", "[" * 100_000, T5[:-2] + "}", '{"model_type": ["t5"]}', '{"model_type": "../../x"}',
           T5 + '"d_model": "x"}', T5 + '"d_model": 1e999}', T5 + '"num_layers": -1}']  # fmt: skip


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", CONFIGS, ids=lambda content: content[:40] or "empty")
def test_hostile_configurations(content, name, folder, smoke, classifier, unharmed):
    (folder / name).write_text(content)
    with unharmed():
        try:
            load(folder, smoke, classifier)
        except BackboneError as error:
            assert "expected" in str(error) and "found" in str(error)
