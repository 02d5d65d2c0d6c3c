"""Every notebook by papermill on the smoke profile: from another folder, offline, twice; same seed, same bytes."""

import os
import shutil

import pandas as pd
import pytest
from papermill.exceptions import PapermillExecutionError
from rehearsal import digests, perform, printed

from dawgen_core import artifacts
from dawgen_core.app import provenance, stages, writing
from dawgen_core.artifacts import ArtifactError, Runs
from dawgen_core.audit.ledger import conditions, ledger
from dawgen_core.audit.tracing import trace
from dawgen_core.data.profiles import load_profile
from dawgen_core.methods import METHODS
from dawgen_core.params import ParamsError

pytestmark = pytest.mark.smoke
N_ONCE = sum(not row.module.SEEDED for row in METHODS.values()) - 1  # smoke has no hand prompt
# of a task: methods, real, Tables 3 and 2, curation arms
N_CONDITIONS = N_ONCE + 2 * (len(METHODS) - 1 - N_ONCE + 1 + 4 * 3 + 3 * 4 + 4 * 3)


@pytest.fixture
def copied(roots, tmp_path) -> Runs:
    """A copy of the first run to change."""
    shutil.copytree(roots[0].root, tmp_path / "runs" / "smoke")
    return Runs(tmp_path / "runs" / "smoke")


# ---------------------------------------------------------------- the whole profile


def test_same_seed_same_bytes(roots):
    first, second = map(digests, roots)
    assert set(first) == set(second)
    assert {name for name in first if first[name] != second[name]} == set()
    kinds = {name.rpartition(".")[2] for name in first}
    assert kinds == {"json", "parquet", "safetensors", "csv", "md", "tex", "svg", "png", "html"}


def test_offline_and_from_elsewhere(roots):
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    elsewhere = roots[0].root.parent.parent / "elsewhere"
    assert {p.suffix for p in elsewhere.iterdir()} == {".ipynb"} and len(list(elsewhere.iterdir())) == 9


def test_the_ledger_has_every_condition_with_its_birth_certificate(roots, smoke):
    table = ledger(roots[0], smoke)
    assert len(table) == sum(len(conditions(smoke, task, smoke.seeds)) for task in smoke.tasks) == 2 * N_CONDITIONS
    assert table["name"].is_unique and table[["accuracy", "majority", "digest", "commit", "seconds"]].notna().all(axis=None)
    assert table["accuracy"].between(0, 1).all() and set(table["seed"].dropna()) == {13, 21}
    assert set(table["method"]) == {*smoke.methods, *smoke.prompt_tuning.strategies}
    surgery = table[table["method"].isin(["paired", "paired_surgery"])]
    assert surgery["conflict"].between(0, 1).all() and surgery["cosine"].between(-1, 1).all()


def test_few_shot_and_synthetic_rows_are_counted(roots, smoke):
    for task, n_classes in (("mrpc", 2), ("sick", 3)):
        for seed in smoke.seeds:
            train, dev = (pd.read_parquet(roots[0].few_shot(task, seed) / f"{part}.parquet") for part in ("train", "dev"))
            assert len(train) == len(dev) == smoke.shots * n_classes and not set(train["row_id"]) & set(dev["row_id"])
            for kind in smoke.generator_tuning.kinds:
                syn = pd.read_parquet(roots[0].synthetic(task, seed, kind) / "synthetic.parquet")
                counts = syn["label"].value_counts()
                assert len(counts) == n_classes and set(counts) == {smoke.generation.per_class}
                assert set(syn["seed"]) == {seed} and syn["generator"].nunique() == 1
                assert set(syn["generator"]) == {artifacts.digest(roots[0].generator(task, seed, kind) / "result.json")}
            written = pd.read_parquet(roots[0].synthetic(task, seed, "dawgen") / "synthetic.parquet")
            for kind in smoke.curated:
                kept = pd.read_parquet(roots[0].synthetic(task, seed, kind) / "synthetic.parquet")
                assert set(kept["label"].value_counts()) == {smoke.generation.curation.kept_per_class}
                assert kept.equals(written[written["row_id"].isin(kept["row_id"])].reset_index(drop=True))


def test_tables_and_figures(roots):
    tables, figures = roots[0].root / "tables", roots[0].root / "figures"
    claimed = ("effects", "verdicts", "verdicts_by_task", "p_values")
    for name in ("table1", "table1_f1", "table2", "table3", "curation", *claimed):
        text = (tables / f"{name}.md").read_text(encoding="utf-8")
        assert "RANDOM TINY MODELS, the numbers mean nothing" in text and "made-up smoke rows (40), not MRPC" in text
        assert len(pd.read_csv(tables / f"{name}.csv"))
        assert r"\begin{tabular}" in (tables / f"{name}.tex").read_text(encoding="utf-8")
    shown = roots[0].root / "beyond" / "shown"
    drawn = [figures / name for name in ("framework", "ablation", "conflict")]
    for stem in [*drawn, *(shown / name for name in ("shots", "rows_and_size", "damage", "sensitivity"))]:
        assert stem.with_suffix(".png").stat().st_size > 10_000
        assert "<svg" in stem.with_suffix(".svg").read_text(encoding="utf-8")


def test_what_a_method_trained_is_kept_unless_it_is_as_large_as_the_model(roots, smoke):
    table = ledger(roots[0], smoke)
    whole = table.loc[table["method"] == "fine_tuning", "trainable"].iloc[0]
    for row in table[table["method"].isin(smoke.methods)].itertuples():
        trains = METHODS[row.method].trains != "nothing" and not row.method.startswith("tfidf")
        kept = (roots[0].root / row.name / "trained.safetensors").is_file()
        assert kept == (trains and row.trainable < whole / 2), row.name
    for row in table[~table["method"].isin(smoke.methods)].itertuples():
        assert (roots[0].root / row.name / "adapter_model.safetensors").is_file()


def test_key_value_prefixes_and_shards_take_the_same_road(tmp_path):
    """01 and 02 with the other kind of prompt, and with a shard that a job of its own wrote."""
    path = tmp_path / "prefixes.yaml"
    path.write_text("extends: smoke\nprofile: prefixes\nseeds: [13]\ntasks: [mrpc]\ngenerator_tuning:\n"
                    "  prompt: prefix\n  kinds: [fewgen, dawgen]\n  steps: 6\n  discrimination_rows: 3\n"
                    "generation:\n  shard: 10\n")  # fmt: skip
    given = {"profile": str(path), "task": "mrpc", "seeds": [13], "runs_dir": str(tmp_path / "runs")}
    runs = Runs(tmp_path / "runs" / "prefixes")
    perform("01_generator_tuning", tmp_path, **given)
    study = load_profile(str(path))
    with pytest.raises(ParamsError, match="shard: expected 0 to 2, found 3"):
        writing.write_shard(study, "mrpc", runs, [13], "equivalent", 3)
    made = writing.write_shard(study, "mrpc", runs, [13], "equivalent", 1)
    assert made == {f"mrpc/seed-13/{kind}/synthetic": 10 for kind in ("fewgen", "dawgen")}
    perform("02_generation", tmp_path, **given)
    assert writing.write_shard(study, "mrpc", runs, [13], "equivalent", 1) == {}  # the rows are there
    q_CSD = artifacts.read_tensors(runs.generator("mrpc", 13, "dawgen") / "prompt.safetensors")["q_CSD"]
    syn = pd.read_parquet(runs.synthetic("mrpc", 13, "dawgen") / "synthetic.parquet")
    assert q_CSD.shape[1] == 2 + 2 * 2 * 9 and len(syn) == 2 * 24  # infix; a key and a value at two layers for nine words


# ---------------------------------------------------------------- once more, and wrongly


def test_finished_conditions_are_not_done_again(copied, tmp_path):
    before = digests(copied)
    given = {"profile": "smoke", "task": "mrpc", "seeds": [13, 21], "runs_dir": str(tmp_path / "runs")}
    shown = printed(perform("04_prompt_tuning", tmp_path / "elsewhere", **given))
    assert "'run': 0" in shown and f"'reused': {N_CONDITIONS}" in shown
    assert digests(copied) == before


def test_an_undeclared_parameter_stops_the_notebook(tmp_path):
    with pytest.raises(PapermillExecutionError, match="expected per_class, profile, runs_dir; found unknown sedes"):
        perform("03_data_analysis", tmp_path, profile="smoke", runs_dir=str(tmp_path), sedes=[13])


@pytest.mark.parametrize(
    ("notebook", "given", "missing"),
    [("02_generation", {"task": "mrpc", "seeds": [13]}, "01_generator_tuning"), ("05_tables", {}, "04_prompt_tuning")],
    ids=["02 without 01", "05 without 04"],
)
def test_a_missing_artifact_stops_the_notebook_and_names_the_other(notebook, given, missing, tmp_path):
    with pytest.raises(PapermillExecutionError, match=f"found none; run notebook {missing} first"):
        perform(notebook, tmp_path, profile="smoke", runs_dir=str(tmp_path), **given)


# ---------------------------------------------------------------- every row back to its source


def test_every_row_is_traced(roots, smoke):
    traced = trace(roots[0], smoke).set_index("task")
    assert traced["test rows"].to_dict() == {"mrpc": 40, "sick": 60}
    assert traced["few-shot rows"].to_dict() == {"mrpc": 2 * 2 * 32, "sick": 2 * 2 * 48}
    assert traced["predictions"].to_dict() == {"mrpc": N_CONDITIONS * 40, "sick": N_CONDITIONS * 60}


def few_shot_text(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(sentence2=["changed", *frame["sentence2"].iloc[1:]])


def other_label(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(label=["equivalent" if y != "equivalent" else "not_equivalent" for y in frame["label"]])


def other_source(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(source_row=frame["source_row"].iloc[::-1].tolist())


PREDICTIONS = ("mrpc", 13, "dawgen", "paired_surgery")
CHANGES = {
    "a few-shot row changed": ("few_shot", ("mrpc", 13), "train", few_shot_text, "expected the rows of the source"),
    "a few-shot row lost": ("few_shot", ("sick", 21), "dev", lambda f: f.iloc[1:], "expected the rows of the source"),
    "a curated row changed": ("synthetic", ("mrpc", 13, "dawgen_exact"), "synthetic", few_shot_text, "rows of the source"),
    "another first sentence": ("synthetic", ("mrpc", 21, "mle"), "synthetic", other_source, "first sentences of its source"),
    "a prediction dropped": ("condition", PREDICTIONS, "predictions", lambda f: f.iloc[1:], "exactly once"),
    "a prediction twice": ("condition", PREDICTIONS, "predictions", lambda f: f.iloc[[0, *range(40)]], "exactly once"),
    "labels of other rows": ("condition", PREDICTIONS, "predictions", other_label, "expected the labels of the test rows"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_changed_row_is_caught(kind, copied, smoke):
    place, key, name, change, message = CHANGES[kind]
    path = getattr(copied, place)(*key) / f"{name}.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)
    with pytest.raises(ArtifactError, match=f"{name}.parquet: .*{message}"):
        trace(copied, smoke)


def test_what_each_notebook_took(roots, smoke):
    """`publish` writes it beside the figures; `dawgen plan` reads it there."""
    table = stages.measured(smoke, roots[0]).set_index("notebook")
    assert (table[["seconds", "memory", "disk"]] > 0).all(axis=None) and table["seconds"].idxmax() == "04_prompt_tuning"
    made = provenance.results(roots[0].root).set_index("kind")
    assert {"few_shot", "generator", "synthetic", "condition", "audit", "tables", "variant"} <= set(made.index)
    assert (made["damaged"] == "").all() and (made["seconds"] > 0).all()


def test_a_generator_made_again_is_the_same_whatever_stands_beside_it(copied, tmp_path):
    """A stopped run may have saved some prompts of a stack: the others are tuned in the same stack, to the same bytes."""
    before = digests(copied)
    shutil.rmtree(copied.generator("mrpc", 13, "fewgen"))
    given = {"profile": "smoke", "task": "mrpc", "seeds": [13, 21], "runs_dir": str(tmp_path / "runs")}
    perform("01_generator_tuning", tmp_path / "elsewhere", **given)
    assert digests(copied) == before
