"""Trainable prompts: Q, one per label for the generator, and P for the classifier; and the inputs they stand in.

Generator input of one row: control code (frozen) | prefix slots | sentence 1 | infix slots | sentence 2 | end.
A slot is a trainable input embedding. In id form it is a number past the vocabulary: n_vocab + slot, so a
whole input is one plain row of ids. Shapes: G stacked prompts, C classes, S slots, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from dawgen_core.backbones import SENTINEL, Classifier, Generator
from dawgen_core.params import GeneratorTuning
from dawgen_core.tasks import MASK, Task


@dataclass(frozen=True)
class Reading:
    """A padded batch of generator inputs. at_BL: where the scored tokens stand; prompt_B: whose Q (0..G-1)."""

    ids_BT: Tensor
    kept_BT: Tensor
    at_BL: Tensor
    scored_BL: Tensor
    label_B: Tensor
    prompt_B: Tensor


class PromptLayout:
    """Where the slots of each label's input stand, and what they start from.

    The prefix starts from the words that state the label's relation, the infix from "Sentence 2:".
    eos: `token` ends a sentence with the tokenizer's end token; `learned` adds one slot per label whose
    vector is both the end's input embedding and its output row (CTRL has no end token).
    """

    def __init__(self, task: Task, generator: Generator, settings: GeneratorTuning):
        self.task, self.generator, self.settings = task, generator, settings
        texts = task.generator
        codes = getattr(generator.tokenizer, "control_codes", None)
        if codes and texts.control_code not in codes:
            raise ValueError(f"generator.control_code: expected one of {', '.join(codes)}, found {texts.control_code!r}")
        self.code_ids = generator.ids(texts.control_code)
        self.prefix_ids = [generator.ids(texts.prefix[label]) for label in task.labels]
        self.infix_ids = generator.ids(texts.infix)
        self.learned_eos = settings.eos == "learned"
        eos = generator.tokenizer.eos_token_id
        if not self.learned_eos and eos is None:
            raise ValueError(f"generator_tuning.eos: expected `learned` for {generator.name}, whose tokenizer has no "
                             "end token; found `token`")  # fmt: skip
        n = generator.n_vocab
        self.eos_ids = [n + len(p) + len(self.infix_ids) if self.learned_eos else eos for p in self.prefix_ids]
        self.n_slots = max(map(len, self.prefix_ids)) + len(self.infix_ids) + self.learned_eos

    def initial(self) -> Tensor:
        """Q before tuning, [C, S, D] float32: embeddings of the texts; unused slots of shorter labels are zero."""
        rows_CSD = torch.zeros(len(self.prefix_ids), self.n_slots, self.generator.width)
        table_VD = self.generator.embedding.weight.detach().float().cpu()
        stop = self.generator.ids(".")[-1]
        for label, prefix in enumerate(self.prefix_ids):
            ids = prefix + self.infix_ids + ([stop] if self.learned_eos else [])
            rows_CSD[label, : len(ids)] = table_VD[ids]
        return rows_CSD

    def opening(self, label: int, first_ids: Sequence[int]) -> list[int]:
        """Ids of everything before sentence 2."""
        n, prefix = self.generator.n_vocab, self.prefix_ids[label]
        slots = list(range(n, n + len(prefix) + len(self.infix_ids)))
        first = list(first_ids[: self.settings.max_first_tokens])
        return [*self.code_ids, *slots[: len(prefix)], *first, *slots[len(prefix) :]]

    def room(self, first_ids: Sequence[int]) -> int:
        """Tokens left for sentence 2 and its end under the longest prefix, so that every label reads the same tokens."""
        longest = max(range(len(self.prefix_ids)), key=lambda label: len(self.prefix_ids[label]))
        return self.settings.max_tokens - len(self.opening(longest, first_ids))

    def read(
        self, rows: Sequence[tuple[list[int], list[int]]], labels: Sequence[int], prompts: Sequence[int] | None = None
    ) -> Reading:
        """The rows (ids of sentence 1, of sentence 2) under the prompts of `labels`; scored: sentence 2 and its end.

        A second sentence that does not fit is cut before its end. Errors: ValueError if not even one token fits.
        """
        ids, starts = [], []
        for (first, second), label in zip(rows, labels, strict=True):
            opening = self.opening(label, first)
            if (room := self.room(first)) < 2:
                raise ValueError(f"generator_tuning.max_tokens: expected room for sentence 2, found {room} tokens after "
                                 f"an opening of {len(opening)}; raise max_tokens or lower max_first_tokens")  # fmt: skip
            ids.append(opening + second[: room - 1] + [self.eos_ids[label]])
            starts.append(len(opening))
        ids_BT, kept_BT = padded(ids, 0)
        n_scored = [len(row) - start for row, start in zip(ids, starts, strict=True)]
        spans, scored_BL = padded([list(range(s, s + n)) for s, n in zip(starts, n_scored, strict=True)], 1)
        device = self.generator.device
        prompt_B = torch.tensor([0] * len(labels) if prompts is None else prompts)
        parts = (ids_BT, kept_BT, spans, scored_BL, torch.tensor(labels), prompt_B)
        return Reading(*(part.to(device) for part in parts))

    def embed(self, q_GCSD: Tensor, ids_BT: Tensor, label_B: Tensor, prompt_B: Tensor) -> Tensor:
        """Input embeddings [B, T, D]: table rows for words, rows of Q for slots; differentiable in q_GCSD."""
        slot_BT = ids_BT - self.generator.n_vocab
        words_BTD = self.generator.embedding(ids_BT.masked_fill(slot_BT >= 0, 0))
        slots_BTD = q_GCSD[prompt_B[:, None], label_B[:, None], slot_BT.clamp(min=0)].to(words_BTD.dtype)
        return torch.where((slot_BT >= 0)[..., None], slots_BTD, words_BTD)

    def eos_rows(self, q_GCSD: Tensor, label_B: Tensor, prompt_B: Tensor) -> Tensor:
        """The learned end rows [B, D] of each row's label."""
        ends = torch.tensor(self.eos_ids, device=label_B.device) - self.generator.n_vocab
        return q_GCSD[prompt_B, label_B, ends[label_B]]


def padded(rows: Sequence[Sequence[int]], value: int) -> tuple[Tensor, Tensor]:
    """Right-padded ids [B, T] and the mask of what is kept."""
    kept_BT = torch.arange(max(map(len, rows)))[None, :] < torch.tensor([len(r) for r in rows])[:, None]
    ids_BT = torch.full(kept_BT.shape, value)
    ids_BT[kept_BT] = torch.tensor([i for row in rows for i in row], dtype=torch.long)
    return ids_BT, kept_BT


@dataclass(frozen=True)
class EncodedPairs:
    """Classifier inputs of some rows: token ids and class numbers; n_shortened rows did not fit whole."""

    ids: list[list[int]]
    labels: list[int]
    n_shortened: int

    def take(self, rows: Sequence[int]) -> "EncodedPairs":
        return EncodedPairs([self.ids[i] for i in rows], [self.labels[i] for i in rows], 0)


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
    for first, second in zip(rows["sentence1"], rows["sentence2"], strict=True):
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
    fields = [first.split(), second.split()]
    sizes = [[len(classifier.ids(word)) for word in field] for field in fields]
    over = len(_fill(classifier, template, " ".join(fields[0]), " ".join(fields[1]))) - max_tokens
    while True:
        while over > 0 and any(fields):
            longer = int(sum(sizes[1]) > sum(sizes[0]))
            fields[longer].pop()
            over -= sizes[longer].pop()
        row = _fill(classifier, template, " ".join(fields[0]), " ".join(fields[1]))
        over = len(row) - max_tokens
        if over <= 0:
            return row
        if not any(fields):
            raise ValueError(f"prompt_tuning.max_tokens: expected room for the template, found {max_tokens} for "
                             f"{len(row)} template tokens; raise it")  # fmt: skip


def initial_prompt(classifier: Classifier, n_tokens: int) -> Tensor:
    """P before tuning, [P, D] float32: embeddings of the first alphabetic whole words (OPTIMA, inferred)."""
    return classifier.embedding.weight[classifier.alphabetic_words(n_tokens)].detach().float().cpu().clone()
