"""Real rows: counts, splits, first sentences, released rows; MRPC through three notebooks with tiny models."""

import pandas as pd
import pytest
from rehearsal import perform

from dawgen_core import samplers
from dawgen_core.artifacts import Runs, verified
from dawgen_core.audit.ledger import conditions
from dawgen_core.data.profiles import load_profile, load_task
from dawgen_core.data.rows import TaskRows
from dawgen_core.tasks import TaskError

pytestmark = pytest.mark.real
TASKS = load_profile("paper").tasks
TEST_ROWS = {"qqp": 1000, "mrpc": 1725, "mnli": 9815, "snli": 9842, "qnli": 5463, "rte": 277, "sick": 4906}
# the one few-shot pair of the released splits that stands in a test set (QQP's holdout is not the official one)
DROPPED = {"qqp": 1}  # "What does human existence mean? ...": in the seed 87 split and in the holdout
PAIR = ["sentence1", "sentence2"]


def pairs(rows: pd.DataFrame) -> set[tuple[str, str]]:
    return set(rows[PAIR].itertuples(index=False, name=None))


@pytest.mark.parametrize("name", TASKS)
def test_counts_of_pool_and_test(name, rows_of):
    """The task file's counts hold (the read checks them), and every count is written down."""
    rows = rows_of(name)
    pool, test, dropped = rows.pool(), rows.test(), DROPPED.get(name, 0)
    for part, frame, missing in ((rows.source.train, pool, 0), (rows.source.test, test, dropped)):
        assert part.rows == len(frame) + missing == sum(part.labels.values())
        assert missing or part.labels == frame["label"].value_counts().to_dict()
        assert frame["row_id"].is_unique and not frame.isna().any(axis=None)
    assert len(test) == TEST_ROWS[name] - dropped and (f"less {dropped}" in rows.shown_as) == bool(dropped)


@pytest.mark.parametrize("name", TASKS)
def test_splits_of_all_seeds(name, rows_of, paper, data):
    """Balanced, train and dev disjoint, no two seeds alike; ready-made but for SICK, which is drawn from its pool."""
    rows, seen = rows_of(name), []
    for seed in paper.seeds:
        train, dev = rows.few_shot(seed)
        for part in (train, dev):
            assert part["label"].value_counts().to_dict() == dict.fromkeys(rows.task.labels, 16)
        assert not pairs(train) & pairs(dev)
        source = "sick/train.jsonl.gz" if name == "sick" else f"kshot/{name}/16-{seed}/train.jsonl.gz"
        assert {row.partition("#")[0] for row in train["row_id"]} == {source} and (data / source).is_file()
        seen.append(frozenset(pairs(train)))
    assert len(set(seen)) == len(paper.seeds)


@pytest.mark.parametrize("name", TASKS)
def test_no_few_shot_row_is_a_test_row(name, rows_of, paper):
    rows = rows_of(name)
    test = pairs(rows.test())
    for seed in paper.seeds:
        train, dev = rows.few_shot(seed)
        assert not (pairs(train) | pairs(dev)) & test


def test_sick_is_drawn_the_same_way_twice(rows_of):
    first, again = rows_of("sick").few_shot(13), rows_of("sick").few_shot(13)
    assert all(a.equals(b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("name", TASKS)
def test_first_sentences(name, rows_of):
    rows = rows_of(name)
    wanted = rows.source.first_sentences
    ids, sentences = rows.first_sentences(3000, samplers.seeded(13, 4))
    assert len(set(sentences)) == 3000 == len(set(ids))
    assert all(wanted.min_words <= len(s.split()) <= wanted.max_words for s in sentences)
    assert rows.sentences_of(ids[:50]) == sentences[:50]
    shared = set(sentences) & set(rows.test()[PAIR].to_numpy().ravel())
    assert not shared


def test_released_rows(rows_of):
    rows = rows_of("mrpc")
    released = rows.released_synthetic("fewgen_released", 13, 5000)
    assert released["label"].value_counts().to_dict() == {"equivalent": 5000, "not_equivalent": 5000}
    fewer = rows.released_synthetic("fewgen_released", 13, 7)
    assert fewer["label"].value_counts().to_dict() == {"equivalent": 7, "not_equivalent": 7}
    assert set(fewer["row_id"]) <= set(released["row_id"])
    with pytest.raises(TaskError, match="expected synthetic rows 'other' in source local"):
        rows.released_synthetic("other", 13, 7)


@pytest.mark.parametrize("name", ["mrpc", "sick"])
def test_a_wrong_count_is_caught(name, paper):
    task = load_task(name)
    source = task.sources["local"]
    more = source.test.model_copy(update={"rows": source.test.rows + 1})
    wrong = task.model_copy(update={"sources": {"local": source.model_copy(update={"test": more})}})
    expected = f"expected {source.test.rows + 1} rows, found {source.test.rows}"
    with pytest.raises(TaskError, match=expected):
        TaskRows(wrong, paper).test()


@pytest.mark.parametrize("name", load_profile("real_smoke").tasks)
def test_a_tiny_vocabulary_never_reads_test_rows(name, data, monkeypatch):
    rows = TaskRows(load_task(name), load_profile("real_smoke"))
    test = rows.test()
    monkeypatch.setattr(TaskRows, "test", lambda self: pytest.fail("the vocabulary read the test rows"))
    texts = set(rows.vocabulary())
    shared = texts & set(test[PAIR].to_numpy().ravel())
    assert shared <= set(rows.pool()[PAIR].to_numpy().ravel())  # official train and test share some sentences


def test_mrpc_through_the_notebooks(data, tmp_path):
    """01, 02 and 04 on real_smoke, one seed: FewGen's released rows beside our own, all 1,725 test rows predicted."""
    profile, runs = load_profile("real_smoke"), Runs(tmp_path / "runs" / "real_smoke")
    given = {"profile": "real_smoke", "task": "mrpc", "seeds": [13], "runs_dir": str(tmp_path / "runs")}
    for notebook in ("01_generator_tuning", "02_generation", "04_prompt_tuning"):
        perform(notebook, tmp_path / "elsewhere", **given)
    train = pd.read_parquet(runs.few_shot("mrpc", 13) / "train.parquet")
    assert train["row_id"].str.startswith("kshot/mrpc/16-13/").all()
    released = pd.read_parquet(runs.synthetic("mrpc", 13, "fewgen_released") / "synthetic.parquet")
    assert released["source_row"].str.startswith("fewgen/mrpc/16-13.jsonl.gz#").all()
    assert set(released["label"].value_counts()) == {profile.generation.per_class}
    names = conditions(profile, "mrpc", [13])
    assert len(names) == 6 + 1 + 4 * 3  # methods; real; four sets of rows x Table 3
    for name in names:
        verified(runs.condition("mrpc", *name), "condition")
        predictions = pd.read_parquet(runs.condition("mrpc", *name) / "predictions.parquet")
        assert predictions["row_id"].nunique() == len(predictions) == 1725
        assert predictions["label"].value_counts().to_dict() == {"equivalent": 1147, "not_equivalent": 578}
