"""Where the time of a run goes, from samples of all its processes: a table in figures/bench.

    pip install py-spy
    py-spy record --subprocesses --rate 25 --format raw --output run.raw -- \\
        python -m dawgen_core.app.reproduce pocket --cores 2 --kernel python3 --runs-dir /tmp/profiled
    python -m dawgen_core.bench.profiled run.raw

A sample belongs to the first function of the package below its notebook's cell; threads that wait are left out.
"""

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import torch

from dawgen_core.audit.figures import save_table
from dawgen_core.bench.measuring import hardware
from dawgen_core.params import ROOT

WAITS = ("select (selectors.py", "_watch_pipe_fd (", "ParentPollerUnix.run (", "wait (threading.py", "device (zmq/")
OWN = re.compile(r"(\S+) \(\S*?dawgen_core/([\w/]+)\.py")
WORK = {"gradients": ("_engine_run_backward (",),
        "layers forward": ("torch/nn/modules/", "transformers/", "forward_mode.py")}  # fmt: skip
CAPTION = ("Where the time goes: samples of all processes of the default run, by py-spy; threads that wait are left out "
           "({n:,} samples at work). Shares in percent of them all. Hardware: {hardware}.")  # fmt: skip
LEAST = 0.004  # smaller parts stand together


def place(frames: list[str]) -> str:
    """Which part of a run is at work: a function of the package, imports, or what runs the notebooks."""
    ran = max(i for i, frame in enumerate(frames) if frame.startswith("process "))
    if "ipykernel" not in frames[ran]:
        return "Snakemake, papermill"
    below = frames[ran + 1 :]
    if any("importlib" in frame for frame in below):
        return "imports"
    own = next((found for frame in below if (found := OWN.search(frame))), None)
    return f"{own[2].replace('/', '.')}.{own[1]}" if own else "the notebooks' own cells"


def kind(frames: list[str]) -> str:
    """gradients (a backward pass), layers forward, or the rest of the Python at work."""
    return next((name for name, marks in WORK.items() if any(mark in frames[-1] for mark in marks)), "the rest")


def shares(lines: Iterable[str]) -> tuple[pd.DataFrame, int]:
    """(a row per part of the run: its share and what it consists of, in percent; the number of samples at work).

    lines: py-spy's raw format, frames from the outermost to the innermost parted by ; and a count.
    """
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for line in lines:
        stack, _, n = line.strip().rpartition(" ")
        frames = stack.split(";")
        if not (any(mark in frames[-1] for mark in WAITS) or frames[-1].startswith("process ")):
            found[place(frames)][kind(frames)] += int(n)
    whole = sum(part.total() for part in found.values())
    small = [name for name, part in found.items() if part.total() < LEAST * whole]
    rest = sum((found.pop(name) for name in small), Counter())
    parts = sorted(found.items(), key=lambda item: -item[1].total()) + ([("all others", rest)] if small else [])
    return pd.DataFrame([{"where": name, "share": 100 * part.total() / whole}
                         | {which: 100 * part[which] / whole for which in (*WORK, "the rest")}
                         for name, part in parts]).round(1), whole  # fmt: skip


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as raw:
        table, n = shares(raw)
    text = CAPTION.format(n=n, hardware=hardware(torch.device("cpu")))
    save_table(table, Path(ROOT / "figures" / "bench" / "profile.cpu"), text)
    print(table.to_string(index=False))
