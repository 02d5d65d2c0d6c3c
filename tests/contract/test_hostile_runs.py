"""Hostile run folders and results, and what predictions are written into."""

import json

import pandas as pd
import pytest
import torch

from dawgen_core import artifacts
from dawgen_core.app import cli, fit, provenance, stages
from dawgen_core.app.fitted import Fitted
from dawgen_core.artifacts import ArtifactError, Runs
from dawgen_core.data import files
from dawgen_core.params import ParamsError
from dawgen_core.tasks import TaskError

# ---------------------------------------------------------------- predictions


@pytest.fixture
def fitted(tmp_path, smoke, mrpc, classifier) -> Fitted:
    """A classifier as `dawgen fit` leaves one, its prompt drawn at random."""
    about = {"options": {"text": ["a", "b"]}, "names": dict(zip(mrpc.labels, ["=1+1", "same"], strict=True))}
    prompt = torch.randn(3, classifier.width, generator=torch.Generator().manual_seed(0))
    return Fitted(tmp_path, about, smoke, mrpc, classifier, {"ours": prompt, "real": prompt})


CELLS = ["=cmd|' /C calc'!A0", "+SUM(A1)", "@x", "- yes", "-1.5", "\t=1", "plain", "＝1"]


def test_predictions_hold_what_was_read_and_say_that_a_cell_looks_like_a_formula(fitted, tmp_path, monkeypatch, capsys):
    """Programs get back what they gave; who opens the file in a spreadsheet is told how to."""
    monkeypatch.setattr(Fitted, "load", lambda folder: fitted)
    pd.DataFrame({"a": CELLS, "b": "text"}).to_csv(tmp_path / "new.csv", index=False)
    assert cli.main(["predict", str(tmp_path), str(tmp_path / "new.csv")]) == 0
    found = files.records(tmp_path / "new.predicted.csv")
    assert [row["a"] for row in found] == CELLS
    live = sum(row["predicted_label"] == "=1+1" for row in found) + 6
    assert f"{live} cells begin as a formula does (= + - @): as they are, for programs; write them with --spreadsheet" in (
        capsys.readouterr().out
    )
    assert cli.main(["predict", str(tmp_path), str(tmp_path / "new.csv"), "--spreadsheet"]) == 0
    assert f"{live} cells begin as a formula does (= + - @): an apostrophe stands before each" in capsys.readouterr().out
    safe = [row["a"] for row in files.records(tmp_path / "new.predicted.csv")]
    assert safe == [cell if cell in ("plain", "-1.5") else f"'{cell}" for cell in CELLS]


PREDICTED = {
    "a column of ours": ("a,b,predicted_label\nx,y,z\n", "expected no column predicted_label, which is to be written"),
    "no text": ("a,b\nx,y\n,y\n", "new.csv: row 2: expected text in column a"),
    "no row": ("a,b\n", "expected rows, found none"),
    "another column": ("a,c\nx,y\n", "expected the columns a and b, found no b"),
    "a line without end": ("a,b\n" + "x" * 2_000_000, "line 2: expected at most 1,048,576 characters"),
}


@pytest.mark.parametrize("kind", PREDICTED)
def test_what_cannot_be_predicted_leaves_nothing_behind(kind, fitted, tmp_path, monkeypatch, dawgen):
    content, message = PREDICTED[kind]
    monkeypatch.setattr(Fitted, "load", lambda folder: fitted)
    (tmp_path / "new.csv").write_text(content)
    assert message in dawgen("predict", tmp_path, tmp_path / "new.csv")


def test_rows_of_other_keys_are_named(fitted, tmp_path):
    lines = [{"a": "x", "b": "y"}, {"a": "x", "b": "y", "c": "z"}]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(TaskError, match="row 2: expected columns of the first row .a, b., found c too"):
        fitted.predict_file(tmp_path / "new.jsonl", tmp_path / "out.csv", progress=False)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("out", ["new.csv", "./new.csv", "nowhere/out.csv", "link.csv", "."])
def test_predictions_never_take_the_place_of_what_they_are_made_from(out, fitted, tmp_path, monkeypatch, dawgen):
    monkeypatch.setattr(Fitted, "load", lambda folder: fitted)
    (tmp_path / "new.csv").write_text("a,b\nx,y\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "new.csv")
    assert "--out: expected a file to write beside" in dawgen(
        "predict", tmp_path, tmp_path / "new.csv", "--out", tmp_path / out
    )


# ---------------------------------------------------------------- fit.json

WHOLE = {"options": {"text": ["a", "b"]}, "digests": {}, "names": {"x": "x"}, "lines": [], "results": []}
FITS = {
    "none": None,
    "empty": "",
    "a list": "[]",
    "a number": "1",
    "text": '"x"',
    "cut off": '{"options": {',
    "depth": "[" * 100_000,
    "a number without end": "9" * 5000,
    "not UTF-8": b"\xff{}",
    "no options": json.dumps(WHOLE | {"options": None}),
    "no columns": json.dumps(WHOLE | {"options": {}}),
    "columns that are none": json.dumps(WHOLE | {"options": {"text": [1, {}]}}),
    "names of another kind": json.dumps(WHOLE | {"names": ["x"]}),
    "a name of another kind": json.dumps(WHOLE | {"names": {"x": 1}}),
    "unfinished": json.dumps({key: value for key, value in WHOLE.items() if key != "results"}),
    "no profile beside it": json.dumps(WHOLE),
}


@pytest.mark.parametrize("kind", FITS)
def test_hostile_run_folders(kind, tmp_path, dawgen):
    (tmp_path / "run").mkdir()
    (tmp_path / "new.csv").write_text("a,b\nx,y\n")
    if FITS[kind] is not None:
        content = FITS[kind]
        (tmp_path / "run" / "fit.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert f"{tmp_path / 'run'}" in dawgen("predict", tmp_path / "run", tmp_path / "new.csv")


@pytest.fixture
def proposal(tmp_path):
    pairs = pd.DataFrame(
        {
            "sentence1": [f"w{i} x{i}" for i in range(32)],
            "sentence2": [f"y{i} z{i}" for i in range(32)],
            "label": ["same", "other"] * 16,
        }
    )
    pairs.to_csv(tmp_path / "a.csv", index=False)
    return fit.proposed(tmp_path / "a.csv", profile="smoke", out=tmp_path / "run")


def test_a_fit_json_of_others_is_not_started_over(proposal, tmp_path, unharmed):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "fit.json").write_text('["mine"]')
    with unharmed(), pytest.raises(ArtifactError, match="fit.json"):
        fit.set_up(proposal, again=True)


def test_a_draft_that_is_a_link_is_not_written_through(proposal, tmp_path, unharmed):
    (tmp_path / "thesis").mkdir()
    (tmp_path / ".run.draft").symlink_to(tmp_path / "thesis")
    with unharmed(), pytest.raises(ParamsError, match="expected nothing or a folder at .*draft, found a link"):
        fit.set_up(proposal)


def test_a_refused_set_up_leaves_nothing(proposal, tmp_path, unharmed):
    broken = proposal._replace(values=proposal.values | {"shots": -1})
    with unharmed(), pytest.raises(ParamsError, match="shots"):
        fit.set_up(broken)


# ---------------------------------------------------------------- result.json and receipt.json

RESULT = {"kind": "condition", "inputs": {}, "metrics": {}, "outputs": {}}
RESULTS = {
    "empty": "",
    "a list": "[]",
    "null": "null",
    "cut off": '{"kind": "cond',
    "depth": "[" * 100_000,
    "not UTF-8": b"\xff{}",
    "no kind": json.dumps({}),
    "a kind of another kind": json.dumps(RESULT | {"kind": ["condition"]}),
    "an unknown kind": json.dumps(RESULT | {"kind": "../../x"}),
    "inputs of another kind": json.dumps(RESULT | {"inputs": []}),
    "no metrics": json.dumps({"kind": "condition", "inputs": {}, "outputs": {}}),
    "outputs of another kind": json.dumps(RESULT | {"outputs": "x"}),
    "no digest of its own": json.dumps(RESULT),
}


def closed(**more) -> str:
    """A result.json with a digest that is its own."""
    result = RESULT | more
    return json.dumps(result | {"digest": artifacts.digest_of(result)})


@pytest.fixture
def unit(tmp_path):
    folder = Runs(tmp_path / "smoke").condition("mrpc", 13, "none", "real")
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(closed())
    (folder / "receipt.json").write_text(json.dumps({"seconds": 1.0}))
    return folder


@pytest.mark.parametrize("kind", RESULTS)
def test_hostile_results(kind, unit, dawgen, unharmed):
    content = RESULTS[kind]
    (unit / "result.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert str(unit) in dawgen("why", unit)
    with unharmed(), pytest.raises(ArtifactError, match="result.json|of kind condition"):
        artifacts.verified(unit, "condition")
    with unharmed(), pytest.raises(ArtifactError, match="result.json|of kind condition"):
        artifacts.done(unit, "condition", {}) and artifacts.verified(unit, "condition")


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "..", ".", "", "a" * 5000, "a\0b", "sub/../../secret", "link/x"]
)
def test_an_output_that_leads_out_of_its_folder(name, unit, unharmed):
    """`make publish` copies what a result names: nothing but files of that very folder."""
    secret = unit.parent / "secret"
    secret.write_text("x")
    (unit / "link").symlink_to(unit.parent)
    (unit / "result.json").write_text(closed(outputs={name: artifacts.digest(secret)}))
    with unharmed(), pytest.raises(ArtifactError, match="as its result.json describes it, found none"):
        artifacts.verified(unit, "condition")


RECEIPTS = [
    "",
    "[]",
    "null",
    "[" * 100_000,
    '{"seconds": "1"}',
    '{"seconds": 1, "stack": 0}',
    '{"seconds": 1, "share": []}',
    '{"seconds": 1, "commit": ["x"]}',
    '{"seconds": 1, "peak_memory_mib": "x"}',
]


@pytest.mark.parametrize("content", RECEIPTS, ids=lambda content: content[:30] or "empty")
def test_hostile_receipts(content, unit, dawgen, smoke, unharmed):
    (unit / "receipt.json").write_text(content)
    assert "receipt.json" in dawgen("why", unit)
    for read in (lambda: provenance.results(unit.parents[3]), lambda: stages.measured(smoke, Runs(unit.parents[3]))):
        with unharmed(), pytest.raises(ArtifactError, match="receipt.json"):
            read()
