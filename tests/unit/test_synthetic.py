"""Filters, policies and counts on scripted sentences; interrupted and resumed; the data card."""

import json

import pandas as pd
import pytest
import torch

from dawgen_core import artifacts, generation, prompts
from dawgen_core.app.preflight import preflight
from dawgen_core.artifacts import ArtifactError
from dawgen_core.audit import tracing
from dawgen_core.data import card, parts
from dawgen_core.data.profiles import load_task
from dawgen_core.data.rows import TaskRows
from dawgen_core.data.synthetic import REASONS, CorpusError, generate, reject_reason
from dawgen_core.generation import Continuation
from dawgen_core.tasks import Decode, Task


def said(text: str, ended: bool = True, n_tokens: int = 2, log_prob: float = -1.5) -> Continuation:
    return Continuation(text, ended, n_tokens, log_prob)


class Script:
    """Sentences from a list per class, by attempt (the last one for ever); remembers who was asked for what."""

    def __init__(self, *by_class, firsts=()):
        self.by_class, self.firsts, self.asked = by_class, firsts, []

    def __call__(self, label, attempts, firsts):
        self.asked.append((label, list(attempts), firsts))
        lines = self.firsts if firsts is None else self.by_class[label]
        return [lines[min(attempt, len(lines) - 1)] for attempt in attempts]

    def attempts(self, label: int) -> list[int]:
        return [i for who, attempts, firsts in self.asked if who == label and firsts is not None for i in attempts]


SAME = [said("same")]


def firsts(n: int) -> tuple[list[str], list[str]]:
    return [f"corpus.txt#{10 * i}" for i in range(n)], [f"First {i}" for i in range(n)]


@pytest.fixture(scope="module")
def settings(smoke):
    options = {"per_class": 3, "batch_size": 2, "block": 2, "on_length": "reject", "max_attempts_per_row": 4.0}
    return smoke.generation.model_copy(update=options)


@pytest.fixture(scope="module")
def both(mrpc):
    texts = mrpc.generator.model_copy(update={"mode": "both"})
    return mrpc.model_copy(update={"generator": texts, "decoding": dict.fromkeys(mrpc.labels, Decode(temperature=1.0))})


def adds_up(count) -> bool:
    return count["attempts"] == count["accepted"] + sum(count[reason] for reason in REASONS)


# ---- filters and counts

BAD = [said("x", ended=False), said(""), said("   "), said("\nx"), said("x\ny"), said("\n")]
WHY = ["no_end", "empty", "empty", "starts_with_newline", "contains_forbidden", "starts_with_newline"]
EDGES = [(said(" \nx"), "starts_with_newline"), (said("x\n"), None), (said("x \n "), None)]  # a last newline is cut off


@pytest.mark.parametrize("one, why", [*zip(BAD, WHY, strict=True), *EDGES])
def test_reject_reasons(mrpc, one, why):
    assert reject_reason(mrpc, one, on_length="reject") == why


def test_what_is_taken(mrpc):
    assert reject_reason(mrpc, said(" fine ?"), on_length="reject") is None
    assert reject_reason(mrpc, said("fine", ended=False), on_length="close") is None
    assert reject_reason(mrpc, said("", ended=False), on_length="close") == "empty"
    assert reject_reason(load_task("qnli"), said("fine ?"), on_length="reject") == "contains_forbidden"
    assert set(WHY) | {"first_used", "copy", "duplicate"} == set(REASONS)


def test_rows_and_counts_of_a_script(mrpc, settings):
    script = Script([*BAD, said("a"), said(" first 7 "), said("c", log_prob=-2.5), said("never taken")], SAME)
    out = generate(mrpc, script, firsts(12), settings, progress=False)
    rows = out.rows[out.rows.label == "not_equivalent"]
    # attempts 0 to 5 are refused for six reasons, 6 to 8 are taken; attempt 9, written with 8, is not counted
    assert script.attempts(0) == list(range(10))
    assert rows.row_id.tolist() == [f"not_equivalent#{i}" for i in range(3)]
    assert rows.sentence1.tolist() == ["First 6", "First 7", "First 8"]
    assert rows.sentence2.tolist() == ["a", "first 7", "c"]
    assert rows.source_row.tolist() == ["corpus.txt#60", "corpus.txt#70", "corpus.txt#80"]
    assert rows.log_prob.tolist() == [-1.5, -1.5, -2.5] and rows.log_prob_first.isna().all()
    assert (rows.n_tokens == 2).all() and not rows.closed.any()
    assert rows["copy"].tolist() == [False, True, False] and not rows["duplicate"].any()
    assert out.counts["not_equivalent"] == {
        "attempts": 9, "accepted": 3, "closed": 0, "copies": 1, "duplicates": 0, "no_end": 1, "empty": 2,
        "starts_with_newline": 2, "contains_forbidden": 1, "first_used": 0, "copy": 0, "duplicate": 0,
    }  # fmt: skip
    assert out.counts["equivalent"]["attempts"] == out.counts["equivalent"]["accepted"] == 3
    assert out.rows.label.value_counts().to_dict() == {"not_equivalent": 3, "equivalent": 3}
    assert out.rows.row_id.is_unique and list(out.rows.columns) == [
        "row_id", "sentence1", "sentence2", "label", "source_row", "log_prob", "log_prob_first", "n_tokens", "closed",
        "copy", "duplicate"]  # fmt: skip


REPEATS = [said("a"), said("FIRST 1 "), said(" A"), said("b"), said("first 4"), said("c"), said("d")]


@pytest.mark.parametrize(
    ("policy", "taken", "flags", "counted"),
    [
        ("keep", ["a", "FIRST 1", "A"], {"copy": [None] * 3, "duplicate": [None] * 3}, {}),
        ("report", ["a", "FIRST 1", "A"], {"copy": [False, True, False], "duplicate": [False, False, True]},
         {"copies": 1, "duplicates": 1}),
        ("reject", ["a", "b", "c"], {"copy": [False] * 3, "duplicate": [False] * 3}, {"copy": 2, "duplicate": 1}),
    ],
)  # fmt: skip
def test_copies_and_duplicates_follow_the_policy(mrpc, settings, policy, taken, flags, counted):
    task = mrpc.model_copy(update={"on_copy": policy, "on_duplicate": policy})
    out = generate(task, Script(REPEATS, REPEATS), firsts(12), settings, progress=False)
    for label in task.labels:  # each label has its own memory
        rows, count = out.rows[out.rows.label == label], out.counts[label]
        assert rows.sentence2.tolist() == taken and adds_up(count)
        for key, values in flags.items():
            assert [None if x is pd.NA else x for x in rows[key]] == values
        assert {k: v for k, v in count.items() if v and k not in ("attempts", "accepted")} == counted


def test_closed_rows_are_taken_and_counted_on_request_only(mrpc, settings):
    lines = [said("a", ended=False), said("b")] * 9
    refused = generate(mrpc, Script(lines, SAME), firsts(12), settings, progress=False)
    closing = settings.model_copy(update={"on_length": "close"})
    taken = generate(mrpc, Script(lines, SAME), firsts(12), closing, progress=False)
    assert refused.counts["not_equivalent"]["no_end"] == 3 and refused.counts["not_equivalent"]["closed"] == 0
    assert taken.counts["not_equivalent"]["no_end"] == 0 and taken.counts["not_equivalent"]["closed"] == 2
    assert taken.rows.closed.tolist() == [True, False, True] + [False] * 3
    assert all(map(adds_up, [*refused.counts.values(), *taken.counts.values()]))


@pytest.mark.parametrize("block", [1, 2, 5, 99])
def test_rows_do_not_depend_on_the_blocks(mrpc, settings, block):
    lines = [said("x", ended=False), said("ok")] * 30
    script = Script(lines, lines)
    out = generate(mrpc, script, firsts(12), settings.model_copy(update={"block": block}), progress=False)
    for label, name in enumerate(mrpc.labels):
        assert script.attempts(label) == sorted(set(script.attempts(label)))  # each first sentence once
        rows = out.rows[out.rows.label == name]
        assert rows.sentence1.tolist() == ["First 1", "First 3", "First 5"] and out.counts[name]["attempts"] == 6
    assert max(len(attempts) for _, attempts, _ in script.asked) <= block


def test_the_last_block_is_as_long_as_the_rate_so_far_asks_for(mrpc, settings):
    script = Script([said("ok"), said("")] * 50, SAME)
    wide = settings.model_copy(update={"block": 8, "per_class": 10})
    generate(mrpc, script, firsts(40), wide, progress=False)
    # 8 attempts, 4 taken: 6 missing at (4 + 1) / (8 + 1) are 10.8, more than a block; 16, 8 taken: 2 at 9 / 17 are 3.8
    assert [len(attempts) for label, attempts, _ in script.asked if label == 0] == [8, 8, 4]


def test_a_dry_corpus_is_an_error_that_says_why(mrpc, settings):
    lines = [said("x", ended=False)] * 3 + [said("ok")] * 2
    with pytest.raises(CorpusError, match=r"not_equivalent: expected 3 rows from 5 first sentences.*found 2.*'no_end': 3"):
        generate(mrpc, Script(lines, SAME), firsts(5), settings, progress=False)
    script = Script(SAME, SAME)
    with pytest.raises(CorpusError, match=r"expected 3 rows from 2 first sentences"):
        generate(mrpc, script, firsts(2), settings, progress=False)
    assert not script.asked  # too few from the start: nothing is written


def test_a_given_first_sentence_serves_a_label_once(mrpc, settings):
    ids, texts = firsts(12)
    texts[1], texts[2] = texts[0].upper(), f" {texts[0]} "
    out = generate(mrpc, Script(SAME, SAME), (ids, texts), settings, progress=False)
    assert out.rows.groupby("label")["sentence1"].agg(lambda x: x.str.strip().str.casefold().is_unique).all()
    assert all(count["first_used"] == 2 and adds_up(count) for count in out.counts.values())


def test_attempts_are_limited(mrpc, both, settings):
    for task, given, firsts_of in ((mrpc, firsts(99), ()), (both, None, [said("")])):
        script = Script([said("")], SAME, firsts=firsts_of)
        with pytest.raises(CorpusError, match="at most 12 attempts"):  # 3 rows * 4 attempts
            generate(task, script, given, settings, progress=False)
        assert sum(len(attempts) for _, attempts, _ in script.asked) == 12


# ---- both sentences generated

OWN = [said(" One ", n_tokens=3, log_prob=-7.0), said(""), said("one"), said("x", ended=False), said("two\n3"), said("two"),
       said("three"), said("four")]  # fmt: skip


def test_generated_first_sentences_pass_the_filters_and_are_used_once(both, settings):
    script = Script([said("s"), *[said("never")] * 4, said(""), said("t"), said("u")], [said("v")], firsts=OWN)
    out = generate(both, script, None, settings, progress=False)
    rows, count = out.rows[out.rows.label == "not_equivalent"], out.counts["not_equivalent"]
    assert script.attempts(0) == [0, 5, 6, 7]  # no second sentence after a refused first
    assert rows[["sentence1", "sentence2"]].values.tolist() == [["One", "s"], ["three", "t"], ["four", "u"]]
    assert rows.source_row.tolist() == ["generated#0", "generated#6", "generated#7"]
    assert rows.log_prob_first.tolist() == [-7.0, -1.5, -1.5] and rows.n_tokens.tolist() == [5, 4, 4]
    assert {k: v for k, v in count.items() if v} == {
        "attempts": 8, "accepted": 3, "empty": 2, "first_used": 1, "no_end": 1, "contains_forbidden": 1}  # fmt: skip
    assert out.rows[out.rows.label == "equivalent"].sentence1.tolist() == ["One", "two", "three"]  # a label's own memory
    asked = [given for label, _, given in script.asked if label == 0 and given is not None]
    assert asked == [["One"], ["two"], ["three", "four"]]


def test_a_closed_first_sentence_closes_its_row(both, settings):
    closing = settings.model_copy(update={"on_length": "close"})
    own = [said("one", ended=False), said("two"), said("three")]
    out = generate(both, Script(SAME, SAME, firsts=own), None, closing, progress=False)
    assert out.rows.closed.tolist() == [True, False, False] * 2


def test_the_mode_and_the_first_sentences_must_agree(mrpc, both, settings):
    for task, given in ((mrpc, None), (both, firsts(9))):
        with pytest.raises(ValueError, match="firsts: expected None exactly when generator.mode is `both`"):
            generate(task, Script(SAME, SAME), given, settings, progress=False)


def test_a_greedy_task_cannot_generate_both(mrpc):
    values = mrpc.model_dump(exclude={"sources"})
    values["generator"]["mode"] = "both"
    values["decoding"]["equivalent"]["temperature"] = 0.7
    with pytest.raises(ValueError, match=r"temperature above 0 for every label.*found 0 for \['not_equivalent'\]"):
        Task.model_validate(values)
    values["decoding"]["not_equivalent"]["temperature"] = 0.7
    Task.model_validate(values)


def test_tracing_knows_generated_first_sentences(mrpc, both, smoke, tmp_path):
    given, own = TaskRows(mrpc, smoke), TaskRows(both, smoke)
    ids, texts = given.first_sentences(2, torch.Generator().manual_seed(1))
    real = pd.DataFrame({"sentence1": texts, "label": "equivalent", "source_row": ids})
    made = real.assign(source_row=["generated#0", "generated#4"])
    tracing._traced(real, given, tmp_path)
    tracing._traced(made, own, tmp_path)
    for rows, syn in ((own, real), (own, made.assign(source_row="generated#4")), (given, real.assign(sentence1="x"))):
        with pytest.raises(ArtifactError, match="first sentences"):
            tracing._traced(syn, rows, tmp_path)


def test_preflight_asks_for_first_sentences_only_where_they_are_given(mrpc, both, smoke):
    found = [preflight(smoke, TaskRows(task, smoke))["checked"].tolist() for task in (mrpc, both)]
    assert "first sentences" in found[0] and found[1] == [name for name in found[0] if name != "first sentences"]


# ---- interrupted and resumed

@pytest.mark.parametrize("mode", ["given_first", "both"])
@pytest.mark.parametrize("killed_after", [1, 3])
def test_an_interrupted_generation_resumes_to_the_same_bytes(mrpc, both, generator, smoke, tmp_path, mode, killed_after):
    task = mrpc if mode == "given_first" else both
    task = task.model_copy(update={"decoding": dict.fromkeys(task.labels, Decode(temperature=2.0, top_k=50))})
    settings = smoke.generation.model_copy(update={"per_class": 7, "batch_size": 2, "block": 3})
    layout = prompts.PromptLayout(task, generator, smoke.generator_tuning)
    ask, inputs = generation.continuations(layout, layout.initial(), settings, 13), {"seed": 13}
    given = TaskRows(mrpc, smoke).first_sentences(40, torch.Generator().manual_seed(1)) if mode == "given_first" else None
    calls = []

    def dying(*request):
        if len(calls) == killed_after:
            raise KeyboardInterrupt
        calls.append(request)
        return ask(*request)

    def made(folder, source) -> bytes:
        artifacts.begin(folder)
        rows = generate(task, parts.remembered(source, folder, inputs), given, settings, progress=False).rows
        artifacts.write_table(folder / "synthetic.parquet", rows)
        artifacts.finish(folder, "synthetic", inputs, {}, {})
        parts.forget(folder)
        assert not list(folder.glob(".parts*"))
        return (folder / "synthetic.parquet").read_bytes()

    whole = made(tmp_path / "whole", ask)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "cut", dying)
    again = []
    assert made(tmp_path / "cut", lambda *request: again.append(request) or ask(*request)) == whole
    assert len(calls) == killed_after and not [request for request in again if request in calls]


def test_parts_keep_floats_and_belong_to_their_inputs(tmp_path):
    one, calls = Continuation("é\u2028\n", False, 3, -0.1 - 2**-55), []

    def ask(*request):
        calls.append(request)
        return [one]

    first = parts.remembered(ask, tmp_path, {"seed": 1})
    assert first(0, [4], ["x"]) == first(0, [4], ["x"]) == [one] and len(calls) == 1
    assert first(0, [4], None) == first(1, [4], ["x"]) == first(0, [4], ["y"]) == [one] and len(calls) == 4
    assert parts.remembered(ask, tmp_path, {"seed": 1})(0, [4], ["x"]) == [one] and len(calls) == 4
    parts.remembered(ask, tmp_path, {"seed": 2})(0, [4], ["x"])
    assert len(calls) == 5 and len(list(tmp_path.rglob("*.json"))) == 1  # what other inputs left is gone
    next(tmp_path.rglob("*.json")).write_text("[{")
    with pytest.raises(ArtifactError, match="expected JSON, found a truncated"):
        parts.remembered(ask, tmp_path, {"seed": 2})(0, [4], ["x"])


# ---- the data card

def test_the_folder_loads_with_datasets_and_its_card_says_what_it_is(mrpc, smoke, settings, tmp_path):
    datasets = pytest.importorskip("datasets")
    folder, lines = tmp_path / "synthetic", [said("", n_tokens=1), said("a"), said("First 2"), said("b")]
    out = generate(mrpc, Script(lines, lines), firsts(12), settings, progress=False)
    rows = out.rows.assign(seed=13, generator="0" * 64)
    artifacts.write_table(folder / "synthetic.parquet", rows)
    card.write(folder, mrpc, smoke, "dawgen", 13, out.counts)
    artifacts.finish(folder, "synthetic", {"seed": 13}, {"counts": out.counts}, {"seconds": 1.0})
    data = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert list(data) == ["train"] and data["train"].column_names == list(rows.columns)
    assert [row["sentence2"] for row in data["train"]] == rows.sentence2.tolist()
    assert all(row["log_prob_first"] is None and row["seed"] == 13 for row in data["train"])
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "| not_equivalent | 3 | 4 | 0 | 1 | 0 | empty 1 |" in text
    for part in ("MRPC", "**Synthetic.**", "Random model", "tiny:ctrl (random weights)", "dawgen", "seed 13",
                 "mrpc/sentences.txt", "repetition_penalty 1.5", "equal to the first: report", "## Intended use",
                 "## Licence of the first sentences\n\nmrpc/sentences.txt: MIT, made up by us.", "## Limits"):  # fmt: skip
        assert part in text, part
    assert "## Audit" not in text and "curation" not in text
    assert "README.md" in json.loads((folder / "result.json").read_text())["outputs"]
    card.write(folder, mrpc, smoke, "dawgen", 13, out.counts)
    assert (folder / "README.md").read_text(encoding="utf-8") == text


def test_the_cards_of_real_models_of_both_sentences_and_of_released_rows(both, smoke, tmp_path):
    counts = {label: {"accepted": 3} for label in both.labels}
    real = smoke.model_copy(update={"generator": smoke.generator.model_copy(update={"model": "Salesforce/ctrl"})})
    card.write(tmp_path, both, real, "dawgen", 13, counts)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "generator: Salesforce/ctrl, frozen" in text and "generated too" in text and "andom" not in text
    assert "None were given: the generator wrote them too." in text
    card.write(tmp_path, both, smoke, "fewgen_released", 21, counts)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "released by others as fewgen_released, seed 21" in text and "tiny:ctrl" not in text
    assert "| equivalent | 3 |\n" in text and "rejects" not in text  # nobody knows what others refused
    assert "## Licence of the first sentences\n\nNot stated." in text


def test_the_card_of_curated_rows_says_what_was_chosen_from_what(mrpc, smoke, tmp_path):
    counts = {"not_equivalent": {"candidates": 24, "accepted": 16, "passed": 13, "topped_up": 3},
              "equivalent": {"candidates": 24, "accepted": 16, "passed": 15, "topped_up": 1}}  # fmt: skip
    card.write(tmp_path, mrpc, smoke, "dawgen_exact", 13, counts, {"exact duplicates": "12.5%, real rows 0.0%"})
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| label | candidates | accepted | passed | topped_up |" in text and "| equivalent | 24 | 16 | 15 | 1 |" in text
    assert "curation: arm exact of dawgen; 32 rows kept, 4 of them topped up (its filter had dropped them)" in text
    assert "tuned as dawgen on 16 pairs" in text and "Random model" in text  # as the rows it comes from
    assert "## Audit\n\n- exact duplicates: 12.5%, real rows 0.0%" in text and "mrpc/sentences.txt: MIT" in text
    card.write(tmp_path, mrpc, smoke, "dawgen_two_sample", 13, {"equivalent": {"candidates": 24, "accepted": 16}})
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "curation: arm two_sample of dawgen; 16 rows kept\n" in text and "topped" not in text
    unknown = load_task("qnli")
    local = smoke.model_copy(update={"source": "local"})
    card.write(tmp_path, unknown, local, "dawgen", 13, {"entailment": {"accepted": 1}})
    assert "qnli/train.jsonl.gz: not stated." in (tmp_path / "README.md").read_text(encoding="utf-8")
