"""Readers under arbitrary bytes: a record, or an error of the project's own that says something; never another, no hang."""

import gzip
import io
import json
import pickle
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from transformers import T5Config

from dawgen_core import artifacts
from dawgen_core.app import fitted, provenance
from dawgen_core.artifacts import ArtifactError
from dawgen_core.data import adapters, files, own, profiles
from dawgen_core.params import PARAMS, ParamsError, Profile
from dawgen_core.tasks import TaskError

OURS = (ParamsError, TaskError, ArtifactError)
BRIEFLY = settings(
    max_examples=150,
    deadline=5000,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def damaged(draw, wholes: list[bytes]) -> bytes:
    """One of some good files with bytes changed, cut out, put in, or repeated; now and then bytes of no file at all."""
    data = bytearray(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(0, 6))):
        at, n = draw(st.integers(0, len(data))), draw(st.integers(0, 40))
        how = draw(st.sampled_from(("change", "cut", "insert", "repeat", "end")))
        if how == "change" and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif how == "cut":
            del data[at : at + n]
        elif how == "insert":
            data[at:at] = draw(st.binary(max_size=12) | st.sampled_from(PIECES))
        elif how == "repeat":
            data[at:at] = data[at : at + n] * draw(st.integers(1, 4))
        else:
            del data[at:]
    return draw(st.binary(max_size=60)) if draw(st.integers(0, 19)) == 19 else bytes(data)


PIECES = [
    b"\0",
    b"\xff\xfe",
    b'"',
    b"\r",
    b"\xe2\x80\xae",
    b"{",
    b"[" * 200,
    b"&a ",
    b"*a ",
    b"!!python/none ",
    b"<<: ",
    b"? ",
    b"\\ud800",
    b"NaN",
    b"1e999",
    b"9" * 5000,
    b"- ",
    b"| ",
    b"%TAG ! !\n",
    b"\xed\xa0\x80",
    b"2024-02-31",
    b"0b_",
]
ROWS = pd.DataFrame({"a": ["one text", "two", "three é"], "b": ["x", "y \u2028", "z"], "y": ["same", "other", "same"]})


def parquet() -> bytes:
    buffer = io.BytesIO()
    ROWS.to_parquet(buffer)
    return buffer.getvalue()


def saved(value, old: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not old)
    return buffer.getvalue()


def read(path: Path, content: bytes, *readers) -> None:
    """Every reader returns, or raises an error of ours that says something."""
    path.write_bytes(content)
    for reader in readers:
        try:
            reader(path)
        except OURS as error:
            assert len(str(error)) > 20 and ("found" in str(error) or "Field required" in str(error))


CSV = ROWS.to_csv(index=False).encode()
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS.to_dict("records")).encode()
WHOLE = {"csv": CSV, "tsv": CSV.replace(b",", b"\t"), "jsonl": JSONL, "csv.gz": gzip.compress(CSV), "parquet": parquet()}


@pytest.mark.parametrize("suffix", WHOLE)
def test_rows(suffix, tmp_path):
    def pairs(path: Path) -> None:
        own.read(path, ("a", "b"), "y")

    @BRIEFLY
    @given(damaged([WHOLE[suffix]]))
    def holds(content):
        read(tmp_path / f"rows.{suffix}", content, files.records, files.text_lines, pairs)

    holds()


def test_profiles(tmp_path):
    def profile(path: Path) -> None:
        profiles.validated(Profile, profiles.read_yaml(path), path)

    @BRIEFLY
    @given(damaged([(PARAMS / "smoke.yaml").read_bytes(), b"a: [1, {b: 2}]\n", b"a: |\n  text\nb: 'x'\n"]))
    def holds(content):
        read(tmp_path / "smoke.yaml", content, profile)

    holds()


YAML = st.recursive(
    st.sampled_from(["a", "'", '"', "&a", "*a", "!!int x", "!!bool x", "0x_", "~", ".inf", "<<", "=", "1:90", "|", ">"]),
    lambda part: (
        st.lists(part, max_size=4).map(lambda parts: f"[{', '.join(parts)}]")
        | st.dictionaries(part, part, max_size=3).map(lambda d: f"{{{', '.join(f'{k}: {v}' for k, v in d.items())}}}")
    ),
    max_leaves=20,
)


def test_flows_of_yaml(tmp_path):
    @BRIEFLY
    @given(YAML)
    def holds(text):
        read(tmp_path / "x.yaml", f"a: {text}\n".encode(), profiles.read_yaml)

    holds()


def test_safetensors(tmp_path):
    @BRIEFLY
    @given(
        damaged([save({"prompt_embeddings": torch.ones(2, 3)}), save({"a": torch.ones(2), "b": torch.zeros(3, 2).half()})])
    )
    def holds(content):
        path = tmp_path / "adapter_model.safetensors"
        read(path, content, artifacts.read_tensors, lambda path: adapters.load_prompt(path.parent))

    holds()


def test_published_prompts(tmp_path):
    config, prompt = T5Config(d_model=3, d_kv=1, d_ff=1, num_layers=1, num_heads=1), torch.ones(2, 3)
    wholes = [
        saved(prompt),
        saved({"p": prompt}),
        saved(prompt, old=True),
        pickle.dumps({"p": [1.0]}),
        saved([prompt, {"a": "b"}]),
    ]

    @BRIEFLY
    @given(damaged(wholes))
    def holds(content):
        for name in ("p.pt", "p.safetensors"):
            read(tmp_path / name, content, lambda path: adapters.imported_prompt(path, config, "t5"))

    holds()


RESULT = {"kind": "condition", "inputs": {"seed": 13}, "metrics": {"accuracy": 0.5}, "outputs": {"a.txt": "0" * 64}}
ABOUT = {"options": {"text": ["a", "b"]}, "digests": {}, "names": {"x": "x"}, "lines": ["x"]}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3),
    max_leaves=6,
)


def test_results_and_receipts(tmp_path):
    def result(path: Path) -> None:
        artifacts.verified(path.parent, "condition")

    def readers(name: str) -> list:
        if name == "fit.json":
            return [lambda path: fitted.about_of(path.parent)]
        one = [lambda path: provenance.one(path.parent), lambda path: provenance.results(path.parent)]
        return [*one, result] if name == "result.json" else one

    goods = {
        "result.json": RESULT,
        "receipt.json": {"seconds": 1.0, "stack": 2, "share": 0.5, "commit": "x"},
        "fit.json": ABOUT,
    }

    @BRIEFLY
    @given(st.sampled_from(sorted(goods)), st.data())
    def holds(name, data):
        for other, value in goods.items():
            (tmp_path / other).write_text(json.dumps(value))
        changed = goods[name] | data.draw(st.dictionaries(st.sampled_from(sorted(goods[name])), VALUES, max_size=2))
        content = (
            json.dumps(changed).encode() if data.draw(st.booleans()) else data.draw(damaged([json.dumps(changed).encode()]))
        )
        read(tmp_path / name, content, *readers(name))

    holds()
