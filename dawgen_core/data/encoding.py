"""Rows as the classifier reads them: template and fields as token ids, shortened by fields and never by [MASK]."""

from functools import cache

import pandas as pd

from dawgen_core.backbones import SENTINEL, Classifier
from dawgen_core.prompts import EncodedPairs
from dawgen_core.tasks import MASK, Task


def encode_pairs(
    task: Task, classifier: Classifier, rows: pd.DataFrame, *, max_tokens: int, shorten: str = "longer_field"
) -> EncodedPairs:
    """Template and fields as token ids, at most max_tokens each, [MASK] as the first sentinel.

    shorten: `longer_field` (ours) takes words off the end of the longer field until the row fits, so the
    template and [MASK] always stay; `tail` (OPTIMA) cuts the end of the row, whatever stands there.
    """
    template = task.classifier.template.replace(MASK, SENTINEL)
    if shorten not in ("longer_field", "tail"):
        raise ValueError(f"shorten: expected longer_field or tail, found {shorten!r}")
    ids, n_shortened = [], 0
    for pair in zip(rows["sentence1"], rows["sentence2"], strict=True):
        first, second = (text.replace("<extra_id_", "<extra id ") for text in pair)  # a text's own sentinel is no [MASK]
        row = _fill(classifier, template, first, second)
        if len(row) > max_tokens:
            n_shortened += 1
            row = row[:max_tokens] if shorten == "tail" else _shortened(classifier, template, first, second, max_tokens)
        ids.append(row)
    return EncodedPairs(ids, [task.number(label) for label in rows["label"]], n_shortened)


def _fill(classifier: Classifier, template: str, first: str, second: str) -> list[int]:
    before, _, after = template.partition("{first}")  # not str.format: a field may hold braces
    if "{second}" in before:
        return classifier.ids(before.replace("{second}", second) + first + after)
    return classifier.ids(before + first + after.replace("{second}", second))


def _shortened(classifier: Classifier, template: str, first: str, second: str, max_tokens: int) -> list[int]:
    fields, size = [first.split(), second.split()], cache(lambda word: len(classifier.ids(word)))
    while True:
        row = _fill(classifier, template, *map(" ".join, fields))
        if (over := len(row) - max_tokens) <= 0:
            return row
        if not any(fields):
            raise ValueError(f"prompt_tuning.max_tokens: expected room for the template, found {max_tokens} for "
                             f"{len(row)} template tokens; raise it")  # fmt: skip
        while over > 0 and any(fields):
            longer = max(fields, key=lambda field: sum(map(size, field)))
            before = sum(map(size, longer))
            if len(longer) > 1 or len(longer[0]) == 1:
                longer.pop()
            else:
                longer[0] = longer[0][: len(longer[0]) // 2]  # a field of one long word keeps its beginning
            over -= before - sum(map(size, longer))
