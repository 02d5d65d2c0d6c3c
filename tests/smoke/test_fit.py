"""`dawgen fit` and `dawgen predict` from end to end on tiny random models; the real sets where there are some."""

import base64
import csv
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from dawgen_core.app import cli
from dawgen_core.app.fitted import CHUNK, Fitted
from dawgen_core.audit import diversity
from dawgen_core.data import files
from dawgen_core.params import ROOT

pytestmark = pytest.mark.smoke
DATA = os.environ.get("DAWGEN_DATA", "")


def fitted(path: Path, folder: Path, *more: str) -> int:
    return cli.main(["fit", str(path), "--profile", "smoke", "--per-class", "16", "--seeds", "1", "--cores", "1",
                     "--out", str(folder), *more])  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The made-up pairs of the smoke profile as a user's CSV, and a run folder made from them."""
    folder = tmp_path_factory.mktemp("own") / "my runs \N{GRINNING FACE}"  # a path as people have them
    folder.mkdir()
    rows = pd.DataFrame(files.records(ROOT / "params" / "embedded" / "mrpc" / "train.jsonl")).iloc[::-1]
    rows = rows.rename(columns={"sentence1": "left", "sentence2": "right", "label": "verdict"})
    rows.to_csv(folder / "pairs.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diversity, "SAMPLE", 5)
        patch.setenv("DAWGEN_DATA", "/nowhere")  # rows beside the profile do not ask for it
        assert fitted(folder / "pairs.csv", folder / "run", "--text", "left", "right", "--label", "verdict") == 0
    return folder / "run"


def test_a_run_folder_holds_what_a_user_takes_away(run):
    there = {path.name for path in run.iterdir()}
    assert {"prompt", "synthetic", "report.html", "README.md", "fit.json", "run.yaml", "tasks", "rows", "notebooks"} <= there
    about = json.loads((run / "fit.json").read_text())
    assert len(about["results"]) == 7 and all(0 <= x["low"] <= x["accuracy"] <= x["high"] <= 1 for x in about["results"])
    assert {x["n"] for x in about["results"]} == {20} and about["names"] == {"equivalent": "equivalent",
                                                                          "not_equivalent": "not_equivalent"}  # fmt: skip
    card = (run / "README.md").read_text(encoding="utf-8")
    assert "**Random model.**" in card and "16 labelled pairs per label" in card
    assert "Model card" in (run / "report.html").read_text(encoding="utf-8")
    assert len(pd.read_parquet(run / "synthetic" / "synthetic.parquet")) == 32


def test_the_same_command_does_nothing_again(run, monkeypatch, capfd):
    before = {path: path.read_bytes() for path in run.rglob("result.json")}
    code = fitted(run.parent / "pairs.csv", run, "--text", "left", "right", "--label", "verdict")
    out = capfd.readouterr()
    assert code == 0 and "steps" not in out.err and "right of 20 held out" in out.out
    assert before == {path: path.read_bytes() for path in run.rglob("result.json")}


def test_predictions_are_those_of_the_study(run):
    """The held-out rows again, by the saved prompt: as notebook 04 predicted them."""
    classifier = Fitted.load(run)
    test = pd.read_json(run / "rows" / "test.jsonl", lines=True)
    found = classifier.predict(list(zip(test["sentence1"], test["sentence2"], strict=True)))
    path = run / "own_run" / "seed-13" / "dawgen" / "paired_surgery" / "predictions.parquet"
    saved = pd.read_parquet(path)
    assert found["label"].tolist() == saved["predicted_best"].tolist()
    best = saved[[f"p_best_{label}" for label in ("equivalent", "not_equivalent")]].max(axis=1)
    assert found["probability"].to_numpy() == pytest.approx(best.to_numpy(), abs=1e-5)
    assert not found.equals(classifier.predict(test.set_axis(["left", "right", "y"], axis=1), prompt="real"))


def test_a_file_is_predicted_in_pieces(run, tmp_path, capsys):
    n = 2 * CHUNK + 7
    rows = [{"id": str(i), "left": f'a "man" sleeps, {i}', "right": "=1+1", "note": ""} for i in range(n)]
    with open(tmp_path / "new.csv", "w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert cli.main(["predict", str(run), str(tmp_path / "new.csv")]) == 0
    out = files.records(tmp_path / "new.predicted.csv")
    assert len(out) == n and [row["id"] for row in out] == [row["id"] for row in rows]
    assert {row["predicted_label"] for row in out} <= {"equivalent", "not_equivalent"}
    assert all(0.5 <= float(row["probability"]) <= 1 for row in out)
    counts = [sum(row["predicted_label"] == label for row in out) for label in ("equivalent", "not_equivalent")]
    assert f"{n:,} rows (equivalent {counts[0]:,}, not_equivalent {counts[1]:,})" in capsys.readouterr().out


@pytest.mark.parametrize(("content", "message"), [
    ("left,y\na,b\n", "expected the columns left and right, found no right among left, y"),
    ("left,right\na,b\n,b\n", "row 2: expected text in column left, found ''"),
    ("left,right\n", "expected rows, found none"),
])  # fmt: skip
def test_wrong_rows_are_named_and_nothing_is_written(run, tmp_path, capsys, content, message):
    (tmp_path / "new.csv").write_text(content)
    assert cli.main(["predict", str(run), str(tmp_path / "new.csv")]) == 2
    assert message in capsys.readouterr().err and [path.name for path in tmp_path.iterdir()] == ["new.csv"]


def test_why_says_what_a_run_is_made_of_and_what_is_damaged(run, capsys):
    assert cli.main(["why", str(run)]) == 0
    out = capsys.readouterr().out
    assert "all is up to date" in out and {"few_shot", "generator", "synthetic", "condition"} <= set(out.split())
    path = run / "own_run" / "seed-13" / "dawgen" / "paired_surgery" / "predictions.parquet"
    assert cli.main(["why", str(path.parent)]) == 0
    one = json.loads(capsys.readouterr().out)
    assert one["kind"] == "condition" and one["whole"] and one["receipt"]["seconds"] > 0
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-1])
        assert cli.main(["why", str(run)]) == 1
        out = capsys.readouterr().out
        assert "own_run/seed-13/dawgen/paired_surgery" in out and "up to date" not in out
    finally:
        path.write_bytes(whole)


def test_why_of_an_interrupted_run_names_what_is_to_do_again(run, capsys):
    """Snakemake marks the output of a job that was stopped, in the checkout's own folder."""
    index = run / "own_run" / "04_prompt_tuning.seeds-13.json"
    marks = ROOT / ".snakemake" / "incomplete"
    mark = marks / base64.urlsafe_b64encode(str(index).encode()).decode()
    marks.mkdir(parents=True, exist_ok=True)
    mark.touch()
    try:
        assert cli.main(["why", str(run)]) == 1
        assert "to do again: prompt_tuning" in capsys.readouterr().out
    finally:
        mark.unlink()


def test_a_run_that_was_moved_and_renamed_predicts_the_same(run, tmp_path, capsys):
    moved = shutil.copytree(run, tmp_path / "elsewhere")
    pairs = [("a man sleeps", "a man is awake"), ("a dog runs", "a dog is running")]
    assert Fitted.load(moved).predict(pairs).equals(Fitted.load(run).predict(pairs))
    assert cli.main(["why", str(moved)]) == 2
    assert "expected a run folder under the name that it was made with, run, found another" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_named(tmp_path, capsys):
    assert cli.main(["predict", str(tmp_path), "new.csv"]) == 2
    assert "fit.json" in capsys.readouterr().err


@pytest.mark.real
@pytest.mark.skipif(not DATA, reason="DAWGEN_DATA is not set: it names a folder of real rows")
@pytest.mark.parametrize("task", ["mrpc", "rte", "sick"])
def test_real_pairs_go_through(task, tmp_path, monkeypatch):
    monkeypatch.setattr(diversity, "SAMPLE", 5)
    rows = pd.DataFrame(files.records(Path(DATA) / task / "train.jsonl.gz")).head(400)
    rows.to_csv(tmp_path / f"{task}.csv", index=False)
    rows.drop(columns="label").tail(30).to_csv(tmp_path / "new.csv", index=False)
    assert fitted(tmp_path / f"{task}.csv", tmp_path / task) == 0
    out = str(tmp_path / "out.csv")
    assert cli.main(["predict", str(tmp_path / task), str(tmp_path / "new.csv"), "--out", out]) == 0
    assert set(pd.read_csv(tmp_path / "out.csv")["predicted_label"]) <= set(rows["label"])
