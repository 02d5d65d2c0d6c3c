"""Every row back to its source: few-shot rows, first sentences, predictions."""

import pandas as pd

from dawgen_core.artifacts import ArtifactError, Runs
from dawgen_core.audit.ledger import conditions
from dawgen_core.data.profiles import load_task
from dawgen_core.data.rows import ROW_COLUMNS, TaskRows
from dawgen_core.params import Profile


def trace(runs: Runs, profile: Profile) -> pd.DataFrame:
    """Read the sources again and hold every artifact's rows against them; one line per kind of artifact and task.

    Errors: ArtifactError names the first artifact whose rows are not the source's, or whose predictions do not
    cover the test rows exactly once.
    """
    counts = []
    for name in profile.tasks:
        rows = TaskRows(load_task(name), profile)
        test = rows.test()
        n_few_shot = n_syn = n_predictions = 0
        for seed in profile.seeds:
            for part, source in zip(("train", "dev"), rows.few_shot(seed), strict=True):
                path = runs.few_shot(name, seed) / f"{part}.parquet"
                _same(pd.read_parquet(path)[ROW_COLUMNS], source, path)
                n_few_shot += len(source)
            for kind in profile.generator_tuning.kinds:
                path = runs.synthetic(name, seed, kind) / "synthetic.parquet"
                syn = pd.read_parquet(path)
                _traced(syn, rows, path)
                n_syn += len(syn)
            for kind in profile.extra_synthetic.get(name, []):
                path = runs.synthetic(name, seed, kind) / "synthetic.parquet"
                source = rows.released_synthetic(kind, seed, profile.generation.per_class)
                _same(pd.read_parquet(path)[ROW_COLUMNS], source, path)
                n_syn += len(source)
            for kind in profile.curated:
                path = runs.synthetic(name, seed, kind) / "synthetic.parquet"
                syn = pd.read_parquet(path)
                source = pd.read_parquet(runs.synthetic(name, seed, profile.generation.curation.of) / "synthetic.parquet")
                _same(syn[ROW_COLUMNS], source[source["row_id"].isin(syn["row_id"])], path)
                n_syn += len(syn)
        for seed, generator, method in conditions(profile, name, profile.seeds):
            path = runs.condition(name, seed, generator, method) / "predictions.parquet"
            predictions = pd.read_parquet(path)
            if not predictions["row_id"].is_unique or set(predictions["row_id"]) != set(test["row_id"]):
                raise ArtifactError(f"{path}: expected each of {len(test)} test rows exactly once, found "
                                    f"{predictions['row_id'].nunique()} different in {len(predictions)} rows")  # fmt: skip
            merged = predictions.merge(test, on="row_id", suffixes=("", "_source"))
            if not (merged["label"] == merged["label_source"]).all():
                raise ArtifactError(f"{path}: expected the labels of the test rows, found others")
            n_predictions += len(predictions)
        counts.append({"task": name, "source": rows.shown_as, "few-shot rows": n_few_shot,
                       "synthetic rows": n_syn, "test rows": len(test), "predictions": n_predictions})  # fmt: skip
    return pd.DataFrame(counts)


def _traced(syn: pd.DataFrame, rows: TaskRows, path) -> None:
    """Given first sentences stand in the source; generated ones have an attempt of their own in place of a line."""
    if rows.task.generator.mode == "both":
        own = syn["source_row"].str.fullmatch(r"generated#\d+").all() and not syn[["label", "source_row"]].duplicated().any()
        if not own:
            raise ArtifactError(f"{path}: expected generated first sentences, each of its own attempt, found others")
    elif list(syn["sentence1"]) != rows.sentences_of(list(syn["source_row"])):
        raise ArtifactError(f"{path}: expected the first sentences of its source rows, found others")


def _same(found: pd.DataFrame, source: pd.DataFrame, path) -> None:
    if not found.reset_index(drop=True).equals(source[ROW_COLUMNS].reset_index(drop=True)):
        raise ArtifactError(f"{path}: expected the rows of the source in order, found others; delete its folder and rebuild")
