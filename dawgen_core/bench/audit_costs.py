"""What an audit costs as the set grows: made-up pairs, words as frequent as in a language (Zipf), a tenth repeated."""

import resource
import time

import numpy as np
import pandas as pd

from dawgen_core.audit import report


def made_up(n: int, seed: int = 0) -> pd.DataFrame:
    """n labelled pairs of 8 to 24 words each; sentence 2 takes half of its words from sentence 1."""
    random, words = np.random.default_rng(seed), np.array([f"w{i}" for i in range(20_000)])
    frequency = 1 / np.arange(1, len(words) + 1)
    drawn = random.choice(len(words), size=(n, 48), p=frequency / frequency.sum())
    lengths, out = random.integers(8, 25, size=(n, 2)), []
    for ids, (n_first, n_second) in zip(drawn, lengths, strict=True):
        first = ids[:n_first]
        second = np.where(random.random(n_second) < 0.5, random.choice(first, n_second), ids[24 : 24 + n_second])
        out.append((" ".join(words[first]), " ".join(words[second])))
    rows = pd.DataFrame(out, columns=["sentence1", "sentence2"]).assign(label=np.array(["a", "b"])[np.arange(n) % 2])
    again = random.choice(n, n // 10, replace=False)
    rows.loc[again, "sentence2"] = rows["sentence2"].to_numpy()[random.choice(n, n // 10)]
    return rows


def audit_costs(sizes: tuple[int, ...]) -> list[dict]:
    """A row per size: seconds without a reference, and the exponent of their growth since the size before (1: linear)."""
    out: list[dict] = []
    for n in sizes:
        rows, started = made_up(n), time.perf_counter()
        report.audit(rows)
        seconds = time.perf_counter() - started
        before = out[-1] if out else None
        growth = np.log(seconds / before["seconds"]) / np.log(n / before["size"]) if before else 1.0
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
        out.append({"what": "audit", "size": n, "seconds": seconds, "ms per row": 1000 * seconds / n,
                    "growth since the size before": growth, "peak memory of the process (MiB)": peak})  # fmt: skip
    return out
