"""Synthetic rows: attempts in blocks, filters, every reject counted by its reason, every row with where it comes from.

A label's rows may be asked for in shards, each with attempts of its own: a shard is a job of bounded size, and what all of
them said is judged once, in the order of the attempts. One shard is the case of every day.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from dawgen_core.artifacts import replacing
from dawgen_core.data.seen import Seen
from dawgen_core.generation import Continuation, ContinueFrom
from dawgen_core.params import Generation
from dawgen_core.tasks import Task

REASONS = ("no_end", "empty", "starts_with_newline", "contains_forbidden", "first_used", "copy", "duplicate")
FRAME = 2_000  # rows in memory at a time
Firsts = tuple[Sequence[str], Sequence[str]]  # row ids and texts


class CorpusError(RuntimeError):
    """First sentences or attempts ran dry before enough rows were accepted."""


@dataclass
class Generated:
    """Accepted rows and what was counted on the way, by label."""

    rows: pd.DataFrame
    counts: dict[str, Counter] = field(default_factory=dict)


@dataclass
class Attempt:
    """One try at a row; no sentence 2 is written after a refused sentence 1."""

    number: int
    first: Continuation
    second: Continuation | None = None
    reason: str | None = None  # why it is not taken


def reject_reason(task: Task, sentence: Continuation, *, on_length: str) -> str | None:
    """Why a sentence is not taken, or None. FewGen's filters (established), `close` ours for random models."""
    if not sentence.ended and on_length == "reject":
        return "no_end"
    if sentence.text.lstrip(" ").startswith("\n"):
        return "starts_with_newline"
    if not sentence.text.strip():
        return "empty"
    if any(mark in sentence.text.strip() for mark in task.reject_containing):
        return "contains_forbidden"
    return None


def generate(
    task: Task, continue_from: ContinueFrom, firsts: Firsts | None, settings: Generation, *, progress: bool = True
) -> Generated:
    """All rows of `frames` in one frame, and what was counted."""
    counts: dict[str, Counter] = {}
    found = list(frames(task, continue_from, firsts, settings, counts, progress=progress))
    return Generated(pd.concat(found, ignore_index=True), counts)


def frames(
    task: Task, continue_from: ContinueFrom, firsts: Firsts | None, settings: Generation, counts: dict[str, Counter], *,
    progress: bool = True,
) -> Iterator[pd.DataFrame]:  # fmt: skip
    """per_class rows of every label, a few at a time; a first sentence, given or (firsts None: mode `both`) generated,
    serves a label once.

    Columns: row_id, sentence1, sentence2, label, source_row (of sentence 1, or generated#ATTEMPT), log_prob (of sentence 2),
    log_prob_first (NaN when given), n_tokens (generated, ends included), closed (taken though the model did not end it),
    copy (sentence 2 equals sentence 1), duplicate (sentence 2 was accepted before under this label), both stripped and
    case folded, empty where the task's policy is `keep`. Attempts are judged in their order, so rows do not depend on
    settings.block and batch_size (up to rounding, see `generation.decode`).
    Fills `counts` per label: attempts = accepted + rejects by reason; among the accepted: closed, copies, duplicates.
    Errors: CorpusError when the first sentences or max_attempts_per_row run out.
    """
    if (firsts is None) != (task.generator.mode == "both"):
        raise ValueError(f"firsts: expected None exactly when generator.mode is `both`, found mode {task.generator.mode}")
    for number, label in enumerate(task.labels):
        counts[label] = Counter(dict.fromkeys(("attempts", "accepted", "closed", "copies", "duplicates", *REASONS), 0))
        attempts = _attempts(task, number, continue_from, firsts, settings, counts[label])
        found = _rows(task, label, attempts, firsts, settings.per_class, counts[label])
        found = iter(tqdm(found, f"{task.task}: {label}", settings.per_class, leave=False, disable=not progress))
        while rows := list(islice(found, FRAME)):
            yield pd.DataFrame(rows).astype({"copy": "boolean", "duplicate": "boolean"})


def write(path: Path, found: Iterable[pd.DataFrame]) -> None:
    """A parquet file of frames with the same columns, one in memory at a time, atomically."""
    with replacing(path) as part, ExitStack() as open_files:
        writer = None
        for frame in found:
            table = pa.Table.from_pandas(frame, schema=writer and writer.schema, preserve_index=False)
            writer = writer or open_files.enter_context(pq.ParquetWriter(part, table.schema))
            writer.write_table(table)
        open_files.close()  # before the file takes its place


def shards(settings: Generation, firsts: Firsts | None) -> list[tuple[range, int]]:
    """(attempts, rows wanted) of each shard of a label: `settings.shard` rows each, the last one fewer; given first
    sentences are shared out evenly. Shard by shard these are jobs; all of them in order make the rows."""
    quota = settings.shard or settings.per_class
    n = math.ceil(settings.per_class / quota)
    most = int(quota * settings.max_attempts_per_row)
    each = min(most, len(firsts[1]) // n) if firsts else most
    return [(range(i * each, (i + 1) * each), min(quota, settings.per_class - i * quota)) for i in range(n)]


def shard(
    task: Task, number: int, continue_from: ContinueFrom, firsts: Firsts | None, settings: Generation, span: range,
    wanted: int,
) -> Iterator[Attempt]:  # fmt: skip
    """The attempts of a span in their order, for the label of this number, until `wanted` would be rows on their own.

    Asked block by block; the last block is as long as the acceptance rate so far asks for.
    """
    judge, opened, made, accepted = Judge(task), Seen(), 0, 0
    while made < len(span) and accepted < wanted:
        likely = (wanted - accepted) * (made + 1) / (accepted + 1)
        numbers = span[made : made + min(settings.block, math.ceil(likely))]
        block = _opened(task, number, continue_from, firsts, settings, numbers, opened)
        good = [one for one in block if not one.reason]
        given = [one.number for one in good], [one.first.text.strip() for one in good]
        for one, second in zip(good, continue_from(number, *given) if good else (), strict=True):
            one.second, one.reason = second, reject_reason(task, second, on_length=settings.on_length)
        for one in block:
            made += 1
            accepted += judge(one)[0] is None
            yield one
            if accepted == wanted:
                return


class Judge:
    """Which attempts of a label become rows, asked in their order; remembers what was said before."""

    def __init__(self, task: Task):
        self.policies = {"copy": task.on_copy, "duplicate": task.on_duplicate}
        self.firsts, self.taken = Seen(), Seen()

    def __call__(self, one: Attempt) -> tuple[str | None, dict[str, bool]]:
        """(why it is not taken or None, whether it is a copy and a duplicate)."""
        if one.second is not None and not self.firsts.add(one.first.folded):
            return "first_used", {}
        if one.reason:
            return one.reason, {}
        repeats = {"copy": one.second.folded == one.first.folded, "duplicate": one.second.folded in self.taken}
        refused = next((key for key, found in repeats.items() if found and self.policies[key] == "reject"), None)
        if refused is None:
            self.taken.add(one.second.folded)
        return refused, repeats


def _attempts(
    task: Task, number: int, continue_from: ContinueFrom, firsts: Firsts | None, settings: Generation, count: Counter
) -> Iterator[Attempt]:
    """Attempts shard by shard; where shards said the same, so that rows are missing, those that they have left."""
    spans = shards(settings, firsts)
    most = sum(len(span) for span, _ in spans)
    while spans and most >= settings.per_class:
        left = []
        for span, wanted in spans:
            made = 0
            for one in shard(task, number, continue_from, firsts, settings, span, wanted):
                made += 1
                yield one
            left.append(span[made:])
        spans = [(span, settings.per_class - count["accepted"]) for span in left if span]
    rejects = {reason: count[reason] for reason in REASONS if count[reason]}
    raise CorpusError(
        f"{task.task}, {task.labels[number]}: expected {settings.per_class} rows from "
        f"{f'{len(firsts[1])} first sentences and ' if firsts else ''}at most {most} attempts, found {count['accepted']} "
        f"(rejects: {rejects}); add first sentences or raise max_attempts_per_row"
    )


def _rows(
    task: Task, label: str, attempts: Iterator[Attempt], firsts: Firsts | None, per_class: int, count: Counter
) -> Iterator[dict]:
    """The accepted rows of one label; counts every attempt."""
    judge = Judge(task)
    while count["accepted"] < per_class:
        one = next(attempts)
        first, second = one.first, one.second
        count["attempts"] += 1
        reason, repeats = judge(one)
        if reason:
            count[reason] += 1
            continue
        repeats = {key: None if judge.policies[key] == "keep" else found for key, found in repeats.items()}
        closed = not (first.ended and second.ended)
        count.update(accepted=1, closed=closed, copies=bool(repeats["copy"]), duplicates=bool(repeats["duplicate"]))
        yield {
            "row_id": f"{label}#{count['accepted'] - 1}",
            "sentence1": first.text.strip(), "sentence2": second.text.strip(), "label": label,
            "source_row": firsts[0][one.number] if firsts else f"generated#{one.number}",
            "log_prob": second.log_prob, "log_prob_first": first.log_prob,
            "n_tokens": first.n_tokens + second.n_tokens, "closed": closed, **repeats,
        }  # fmt: skip


def _opened(
    task: Task, number: int, continue_from: ContinueFrom, firsts: Firsts | None, settings: Generation, block: range,
    used: Seen,
) -> list[Attempt]:  # fmt: skip
    """The attempts of a block with their first sentences: none was used before, and generated ones pass the filters."""
    if firsts:
        attempts = [Attempt(i, Continuation(firsts[1][i], True, 0, math.nan)) for i in block]
    else:
        attempts = [Attempt(i, first) for i, first in zip(block, continue_from(number, block, None), strict=True)]
    for one in attempts:
        one.reason = None if firsts else reject_reason(task, one.first, on_length=settings.on_length)
        if not one.reason and not used.add(one.first.folded):
            one.reason = "first_used"
    return attempts
