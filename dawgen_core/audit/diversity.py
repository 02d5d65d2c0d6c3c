"""How varied are texts? Most of these fall or rise with the number of texts: compare sets of equal size only."""

import math
import zlib
from collections import Counter

import numpy as np
import pandas as pd
from sacrebleu.metrics import BLEU

from dawgen_core.audit.copies import bare

SAMPLE = 60  # texts of self-BLEU: each is held against all others, so that cost grows with the square


def distinct_n(texts: list[str], n: int) -> float:
    """Different word n-grams over all word n-grams, pooled over the texts; NaN when no text has n words."""
    grams = [tuple(words[i : i + n]) for text in texts for words in [text.split()] for i in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else float("nan")


def self_bleu(texts: list[str], seed: int = 0) -> float:
    """Mean BLEU-4 of each of `SAMPLE` texts (drawn with the seed), the others its references, 0 to 1 (Zhu et al. 2018).

    Up to the longest n-gram that a text has; NaN for fewer than two texts.
    """
    if len(texts) < 2:
        return float("nan")
    chosen = np.random.default_rng(seed).permutation(len(texts))[:SAMPLE]
    sample, bleu = [texts[i] for i in chosen], BLEU(effective_order=True)
    scores = [bleu.sentence_score(one, sample[:i] + sample[i + 1 :]).score for i, one in enumerate(sample)]
    return sum(scores) / len(scores) / 100


def compression(texts: list[str]) -> float:
    """Bytes of all texts, one a line, over their bytes after deflate: higher is more repetitive (Shaib et al. 2024)."""
    raw = "\n".join(texts).encode()
    return len(raw) / len(zlib.compress(raw, 9)) if raw else float("nan")


def growth(texts: list[str]) -> float:
    """Vocabulary growth (the exponent of Heaps' law): log2 of the vocabulary of all texts over that of the first half of
    their words; 1 is always new words, 0 none."""
    words = [word for text in texts for word in text.split()]
    half = len(set(words[: len(words) // 2]))
    return math.log2(len(set(words)) / half) if half else float("nan")


def openings(texts: list[str]) -> tuple[str, float]:
    """The most frequent first two words, and the share of texts that begin with them."""
    counts = Counter(" ".join(text.split()[:2]) for text in texts)
    opening, n = min(counts.items(), key=lambda item: (-item[1], item[0])) if counts else ("", 0)
    return opening, n / max(1, len(texts))


def describe(texts: pd.Series) -> dict[str, float]:
    """All measures of one set of texts, on bare texts (case and punctuation folded), lengths in words."""
    plain = list(bare(texts))
    return {"distinct-1": distinct_n(plain, 1), "distinct-2": distinct_n(plain, 2), "distinct-3": distinct_n(plain, 3),
            "self-BLEU": self_bleu(plain), "compression ratio": compression(plain), "vocabulary growth": growth(plain),
            "most frequent opening": openings(plain)[1]}  # fmt: skip
