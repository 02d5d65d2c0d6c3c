"""Who is drawn when: batches, decoding choices. Randomness enters as a torch.Generator."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

SPLIT, BATCHES, NET, REAL, SYN, FIRSTS, DECODING, CURATION = range(8)  # what a seed is used for: one random stream each


def seeded(*parts: int) -> torch.Generator:
    """A CPU generator for a tuple of small integers, e.g. (seed, purpose): distinct tuples, distinct streams."""
    seed = 0
    for part in parts:
        seed = (seed * 1_000_003 + part + 1) % (2**63 - 25)
    return torch.Generator().manual_seed(seed)


def cycle(n_rows: int, batch_size: int, generator: torch.Generator) -> Iterator[list[int]]:
    """Batches of row numbers without end: every pass is a fresh shuffle, batches run across passes.

    Over k * n_rows draws each row is drawn exactly k times. No batch holds a row twice, unless it is larger than the set.
    """
    if n_rows < 1 or batch_size < 1:
        raise ValueError(f"cycle: expected rows and a batch size of at least 1, found {n_rows} and {batch_size}")
    waiting: list[int] = []
    while True:
        while len(waiting) < batch_size:
            shuffled = torch.randperm(n_rows, generator=generator).tolist()
            waiting += sorted(shuffled, key=set(waiting).__contains__)  # rows of this batch go to the back, order kept
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def class_balanced(labels: Sequence[int], per_class: int, generator: torch.Generator) -> Iterator[list[int]]:
    """Batches with `per_class` rows of every class (E5 needs two or more), classes in order, without end."""
    by_class = [[i for i, y in enumerate(labels) if y == label] for label in sorted(set(labels))]
    streams = [cycle(len(rows), per_class, generator) for rows in by_class]
    while True:
        yield [rows[i] for rows, stream in zip(by_class, streams, strict=True) for i in next(stream)]


def penalise_repetition(logits_BV: Tensor, seen_BV: Tensor, penalty: float) -> Tensor:
    """Logits of already seen tokens divided (if positive) or multiplied (if negative) by the penalty; 1 changes nothing.

    seen_BV is True for tokens of the first sentence and those generated so far.
    Source: CTRL (Keskar et al. 2019), penalty per label as in FewGen.
    """
    if penalty == 1:
        return logits_BV
    seen_N = logits_BV[seen_BV]  # few among many
    return logits_BV.masked_scatter(seen_BV, torch.where(seen_N > 0, seen_N / penalty, seen_N * penalty))


def choose_token(
    logits_BV: Tensor, uniform_B: Tensor | None, *, temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0
) -> Tensor:
    """The next token of each row, [B]: the argmax (temperature 0), or a draw after temperature, top-k, top-p (0, 1: off).

    A row's draw is its own number of [0, 1) put through its own cumulative shares: no row depends on its neighbours.
    """
    if temperature == 0:
        return logits_BV.argmax(-1)
    logits_BV = logits_BV / temperature
    if top_k:
        kth_B1 = logits_BV.topk(min(top_k, logits_BV.shape[-1])).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < kth_B1, -torch.inf)
    if top_p < 1:
        sorted_BV, order_BV = logits_BV.sort(descending=True, stable=True, dim=-1)
        share_BV = sorted_BV.softmax(-1)
        outside_BV = share_BV.cumsum(-1) - share_BV >= top_p  # the first token always stays
        logits_BV = logits_BV.masked_fill(torch.zeros_like(outside_BV).scatter(-1, order_BV, outside_BV), -torch.inf)
    upto_BV = logits_BV.softmax(-1).cumsum(-1, dtype=torch.float64)
    return torch.searchsorted(upto_BV / upto_BV[:, -1:], uniform_B.double()[:, None], right=True)[:, 0]
