"""Rows in shards: jobs of bounded size, judged together to the same rows whoever wrote them, in whatever order."""

import shutil
from itertools import permutations

import pandas as pd
import pytest
import torch
from test_synthetic import Script, adds_up, both, firsts, said, settings  # noqa: F401  fixtures, by their names

from dawgen_core import generation, params, prompts
from dawgen_core.app import writing
from dawgen_core.artifacts import ArtifactError, Runs
from dawgen_core.data import parts, synthetic
from dawgen_core.data.rows import TaskRows
from dawgen_core.data.seen import Seen
from dawgen_core.tasks import Decode


@pytest.fixture
def split(settings):  # noqa: F811
    """Seven rows of a label in shards of three: 3, 3 and 1."""
    return settings.model_copy(update={"per_class": 7, "shard": 3, "block": 2, "max_attempts_per_row": 2.0})


def test_each_shard_has_attempts_of_its_own(split):
    assert synthetic.shards(split, None) == [(range(6), 3), (range(6, 12), 3), (range(12, 18), 1)]
    assert synthetic.shards(split, firsts(14)) == [(range(4), 3), (range(4, 8), 3), (range(8, 12), 1)]
    whole = split.model_copy(update={"shard": None})
    assert synthetic.shards(whole, None) == [(range(14), 7)] and synthetic.shards(whole, firsts(9)) == [(range(9), 7)]


def test_a_shard_stops_when_it_has_its_rows(mrpc, split):
    script = Script([said("ok"), said("")] * 9)
    span, wanted = synthetic.shards(split, firsts(18))[1]
    made = list(synthetic.shard(mrpc, 0, script, firsts(18), split, span, wanted))
    assert [one.number for one in made] == [6, 7, 8, 9, 10] and [one.reason for one in made] == [None, "empty"] * 2 + [None]
    assert all(set(attempts) <= set(span) for _, attempts, _ in script.asked)


def test_what_two_shards_say_counts_once_and_is_made_up_for(both, split):  # noqa: F811
    own = [said(f"first {i % 6}") for i in range(6)] + [said(f"first {i}") for i in (0, 1, 7, 8, 9, 10)] + [said("last")]
    script = Script([said("s")], [said("s")], firsts=own)
    out = synthetic.generate(both, script, None, split, progress=False)
    for label in both.labels:
        rows = out.rows[out.rows.label == label]
        # 0 to 2; 6 to 8, of which 6 and 7 were said before; 12; then what the first shard has left
        assert rows.source_row.tolist() == [f"generated#{i}" for i in (0, 1, 2, 8, 12, 3, 4)]
        assert out.counts[label]["first_used"] == 2 and adds_up(out.counts[label]) and rows.row_id.is_unique


@pytest.mark.parametrize("progress", [False, True])
def test_rows_come_in_frames_and_all_of_them(mrpc, split, monkeypatch, progress):
    monkeypatch.setattr(synthetic, "FRAME", 3)
    counts = {}
    script = Script([said("ok"), said("")] * 9, [said("ok")])
    found = list(synthetic.frames(mrpc, script, firsts(42), split, counts, progress=progress))
    assert [len(frame) for frame in found] == [3, 3, 1] * 2
    assert {label: count["accepted"] for label, count in counts.items()} == dict.fromkeys(mrpc.labels, 7)
    assert pd.concat(found)["row_id"].is_unique


def test_memory_of_what_was_seen():
    seen = Seen()
    assert seen.add("a") and not seen.add("a") and seen.add("A") and "a" in seen and "b" not in seen
    assert seen.add("\ud800") and "\ud800" in seen  # half a character, as JSON may hold
    assert "a" not in Seen()


# ---- by the package, on disk


@pytest.fixture
def asked(mrpc, generator, smoke, tmp_path):
    """(inputs, settings, first sentences, task, what asks the generator and remembers in a folder)."""
    task = mrpc.model_copy(update={"decoding": dict.fromkeys(mrpc.labels, Decode(temperature=2.0, top_k=50))})
    chosen = smoke.generation.model_copy(update={"per_class": 7, "batch_size": 2, "block": 3, "shard": 3, "curation": None})
    layout = prompts.PromptLayout(task, generator, smoke.generator_tuning)
    given = TaskRows(mrpc, smoke).first_sentences(40, torch.Generator().manual_seed(1))
    ask = generation.continuations(layout, layout.initial(), chosen, 13)
    return task, chosen, given, lambda folder, source=ask: parts.remembered(source, folder, {"seed": 13})


def rows_in(folder, task, chosen, given, ask) -> bytes:
    synthetic.write(folder / "rows.parquet", synthetic.frames(task, ask, given, chosen, {}, progress=False))
    return (folder / "rows.parquet").read_bytes()


def test_shards_in_any_order_and_more_than_once_are_the_same_rows(asked, tmp_path):
    task, chosen, given, remembered = asked
    whole = rows_in(tmp_path / "whole", task, chosen, given, remembered(tmp_path / "whole"))
    spans = synthetic.shards(chosen, given)
    for i, (span, wanted) in enumerate(spans):  # each in a folder of its own, as if on three machines
        for number in range(len(task.labels)):
            list(synthetic.shard(task, number, remembered(tmp_path / str(i)), given, chosen, span, wanted))

    def nobody(*request):
        raise AssertionError(f"asked again: {request[:2]}")

    for order in permutations(range(len(spans))):
        folder = tmp_path / "".join(map(str, order))
        for i in (*order, order[0]):
            shutil.copytree(tmp_path / str(i), folder, dirs_exist_ok=True)
        assert rows_in(folder, task, chosen, given, remembered(folder, nobody)) == whole
    assert len(pd.read_parquet(tmp_path / "whole" / "rows.parquet")) == 14


def test_an_edited_answer_is_named_and_never_used(asked, tmp_path):
    task, chosen, given, remembered = asked
    span, wanted = synthetic.shards(chosen, given)[0]
    list(synthetic.shard(task, 0, remembered(tmp_path), given, chosen, span, wanted))
    path = next(tmp_path.rglob("*.json"))
    path.write_text(path.read_text().replace('"n_tokens": ', '"n_tokens": 1', 1))
    with pytest.raises(ArtifactError, match=r"label-0.*expected what was written, found an edited file; delete it"):
        list(synthetic.shard(task, 0, remembered(tmp_path), given, chosen, span, wanted))


@pytest.mark.parametrize(
    ("label", "shard", "message"),
    [("same", 0, "label: expected one of .*found 'same'"), ("equivalent", 0, "run notebook 01_generator_tuning first")],
)
def test_a_job_that_cannot_be_done_says_so_at_once(smoke, tmp_path, label, shard, message):
    with pytest.raises((params.ParamsError, ArtifactError), match=message):
        writing.write_shard(smoke, "mrpc", Runs(tmp_path), [13], label, shard)
