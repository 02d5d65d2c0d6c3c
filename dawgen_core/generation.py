"""Labelled pairs from tuned prompts: continuations in batches, filters, and every reject counted by its reason."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm
from transformers import DynamicCache

from dawgen_core.params import Generation
from dawgen_core.prompts import PromptLayout
from dawgen_core.samplers import choose_token, penalise_repetition
from dawgen_core.tasks import Task

REASONS = ("no_end", "empty", "starts_with_newline", "contains_forbidden")


class CorpusError(RuntimeError):
    """The first sentences ran dry before enough rows were accepted."""


@dataclass(frozen=True)
class Continuation:
    """A generated second sentence: text, whether the model ended it itself, tokens, sum of their log-probabilities."""

    text: str
    ended: bool
    n_tokens: int
    log_prob: float


@dataclass
class Generated:
    """Accepted rows and what was counted on the way."""

    rows: pd.DataFrame
    counts: dict[str, Counter] = field(default_factory=dict)


def reject_reason(task: Task, continuation: Continuation, *, on_length: str) -> str | None:
    """Why a continuation is not taken, or None. FewGen's filters (established), `close` ours for random models."""
    if not continuation.ended and on_length == "reject":
        return "no_end"
    if continuation.text.startswith("\n"):
        return "starts_with_newline"
    if not continuation.text.strip():
        return "empty"
    if any(mark in continuation.text for mark in task.reject_containing):
        return "contains_forbidden"
    return None


def generate(
    task: Task, continue_from: Callable[[Sequence[str], int], list[Continuation]],
    firsts: tuple[Sequence[str], Sequence[str]], settings: Generation, *, progress: bool = True,
) -> Generated:  # fmt: skip
    """per_class rows of every label; each first sentence (row ids, texts) serves one label at most once.

    continue_from(first sentences, class number) gives one continuation each. Counted per label: attempts,
    accepted, closed (taken though the model did not end it), copies (equal to sentence 1, kept) and rejects by reason.
    Errors: CorpusError when the first sentences or max_attempts_per_row run out.
    """
    source_ids, texts = firsts
    rows, counts = [], {}
    if len(texts) < settings.per_class:
        raise CorpusError(f"{task.task}: expected at least {settings.per_class} first sentences, found {len(texts)}")
    for number, label in enumerate(task.labels):
        count = counts[label] = Counter(dict.fromkeys(("attempts", "accepted", "closed", "copies", *REASONS), 0))
        limit = min(len(texts), int(settings.per_class * settings.max_attempts_per_row))
        bar = tqdm(total=settings.per_class, desc=f"{task.task}: {label}", disable=not progress, leave=False)
        while count["accepted"] < settings.per_class:
            start = count["attempts"]
            chunk = range(start, min(start + settings.batch_size, limit))
            if not chunk:
                bar.close()
                raise CorpusError(
                    f"{task.task}, {label}: expected {settings.per_class} rows from {len(texts)} first sentences and at "
                    f"most {limit} attempts, found {count['accepted']} (rejects: "
                    f"{ {r: count[r] for r in REASONS if count[r]} }); add first sentences or raise max_attempts_per_row"
                )
            for i, one in zip(chunk, continue_from([texts[i] for i in chunk], number), strict=True):
                if count["accepted"] == settings.per_class:
                    break
                count["attempts"] += 1
                if reason := reject_reason(task, one, on_length=settings.on_length):
                    count[reason] += 1
                    continue
                second = one.text.strip()
                count["accepted"] += 1
                count["closed"] += not one.ended
                count["copies"] += second.casefold() == texts[i].strip().casefold()
                rows.append((f"{label}#{count['accepted'] - 1}", texts[i], second, label, source_ids[i],
                             one.log_prob, one.n_tokens, not one.ended))  # fmt: skip
                bar.update()
        bar.close()
    columns = ["row_id", "sentence1", "sentence2", "label", "source_row", "log_prob", "n_tokens", "closed"]
    return Generated(pd.DataFrame(rows, columns=columns), counts)


def continuations(
    layout: PromptLayout, q_CSD: Tensor, settings: Generation, random: torch.Generator
) -> Callable[[Sequence[str], int], list[Continuation]]:
    """The tuned generator as `generate` wants it: first sentences and a class number in, continuations out."""
    q_1CSD = q_CSD.to(layout.generator.device)[None]
    return lambda firsts, label: decode(layout, q_1CSD, firsts, label, settings, random)


@torch.inference_mode()
def decode(
    layout: PromptLayout, q_1CSD: Tensor, firsts: Sequence[str], label: int, settings: Generation, random: torch.Generator
) -> list[Continuation]:
    """One batch of second sentences with a key-value cache; the rows are left-padded so that all end together."""
    generator, device = layout.generator, layout.generator.device
    rule = layout.task.decoding[layout.task.labels[label]].model_dump()
    penalty = rule.pop("repetition_penalty")
    first_ids = [generator.ids(first)[: layout.settings.max_first_tokens] for first in firsts]
    openings = [layout.opening(label, ids) for ids in first_ids]
    width = max(map(len, openings))
    ids_BT = torch.tensor([[0] * (width - len(o)) + o for o in openings], device=device)
    kept_BT = torch.tensor([[False] * (width - len(o)) + [True] * len(o) for o in openings], device=device)
    label_B = torch.full((len(openings),), label, device=device)
    prompt_B = torch.zeros_like(label_B)
    end = generator.n_vocab if layout.learned_eos else layout.eos_ids[label]
    n_columns = generator.n_vocab + layout.learned_eos
    seen_BV = torch.zeros(len(openings), n_columns, dtype=torch.bool, device=device)
    for row, ids in enumerate(first_ids):
        seen_BV[row, ids] = True
    penalty_B = torch.full((len(openings),), penalty, device=device)
    end_rows_BD = layout.eos_rows(q_1CSD, label_B, prompt_B) if layout.learned_eos else None
    positions = getattr(generator.model.config, "max_position_embeddings", None) or 2**31
    limits = [min(settings.max_new_tokens, positions - layout.n_past - len(o) - 1) for o in openings]
    if min(limits) < 1:
        raise ValueError(f"max_first_tokens: expected room for sentence 2 in {positions} positions, found {width} taken")
    limit_B = torch.tensor(limits, device=device)

    cache = DynamicCache()
    states_BTD, kept_BT = layout.states(q_1CSD, ids_BT, kept_BT, label_B, prompt_B, cache)
    chosen, ended_B = [], torch.zeros(len(openings), dtype=torch.bool, device=device)
    log_prob_B = torch.zeros(len(openings), dtype=torch.float64, device=device)
    for step in range(max(limits) + 1):
        logits_BV = generator.logits(states_BTD[:, -1])
        if end_rows_BD is not None:
            ends_B1 = (states_BTD[:, -1] * end_rows_BD.to(states_BTD.dtype)).sum(-1, keepdim=True)
            logits_BV = torch.cat([logits_BV, ends_B1.to(logits_BV.dtype)], dim=-1)
        choice_B = choose_token(penalise_repetition(logits_BV, seen_BV, penalty_B), random, **rule)
        running_B = ~ended_B & (step <= limit_B)  # one step past the limit may still be the end
        counts_B = running_B & ((step < limit_B) | (choice_B == end))
        log_prob_B += torch.where(counts_B, logits_BV.log_softmax(-1).gather(-1, choice_B[:, None])[:, 0], 0.0)
        ended_B = ended_B | (running_B & (choice_B == end))
        chosen.append(torch.where(counts_B, choice_B, end))
        if (ended_B | (step >= limit_B)).all():
            break
        seen_BV.scatter_(1, choice_B[:, None], True)
        kept_BT = torch.cat([kept_BT, kept_BT.new_ones(len(openings), 1)], dim=1)
        words_B1D = generator.embedding(choice_B.clamp(max=generator.n_vocab - 1)[:, None])
        states_BTD = generator.states(words_B1D, kept_BT, cache)
    out = []
    for row_T, ended, log_prob in zip(torch.stack(chosen, 1).tolist(), ended_B.tolist(), log_prob_B.tolist(), strict=True):
        ids = row_T[: row_T.index(end)] if end in row_T else row_T
        text = generator.tokenizer.decode(ids, skip_special_tokens=True)
        out.append(Continuation(text, ended, len(ids) + ended, log_prob))
    return out
