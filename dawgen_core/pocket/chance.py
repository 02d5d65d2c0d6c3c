"""Many small draws from one torch.Generator, a block at a time: a call of torch for each would cost more than the rest."""

from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TypeVar

import torch

T = TypeVar("T")


def patiently(what: str, most: int = 1000) -> Iterator[int]:
    """The tries that a draw may take; ValueError after the last of them, so that nothing is sought for ever."""
    yield from range(most)
    raise ValueError(f"expected {what} within {most} draws, found none; widen fill, wording or edits, or draw fewer rows")


class Dice:
    """Draws that depend on the generator alone."""

    def __init__(self, generator: torch.Generator, block: int = 4096):
        self._generator, self._block, self._waiting = generator, block, []

    def share(self) -> float:
        """A number of [0, 1)."""
        if not self._waiting:
            self._waiting = torch.rand(self._block, generator=self._generator, dtype=torch.float64).tolist()
        return self._waiting.pop()

    def chance(self, rate: float) -> bool:
        return self.share() < rate

    def below(self, n: int) -> int:
        return int(self.share() * n)

    def one_of(self, items: Sequence[T]) -> T:
        return items[int(self.share() * len(items))]

    def weighted(self, weights: Mapping[T, float]) -> T:
        """One key, by weight (any positive scale)."""
        upto = list(accumulate(weights.values()))
        return list(weights)[bisect(upto, self.share() * upto[-1])]
