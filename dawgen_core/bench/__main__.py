"""`make bench`: ratios measured in turn in one run, and costs, with the hardware named.

    python -m dawgen_core.bench [PART ...] [--device cuda] [--threads N]
"""

import argparse
import subprocess
import sys

import torch

from dawgen_core.audit.figures import save_table
from dawgen_core.bench.measuring import hardware
from dawgen_core.bench.tables import CAPTION, CAPTIONS, PARTS, ROUNDS, bench
from dawgen_core.params import ROOT


def main() -> None:
    """Measures and writes figures/bench/PART.DEVICE.*, each part in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m dawgen_core.bench", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[], help="none: all, each in a process of its own")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=2)
    known = parser.parse_args()
    if known.device == "cuda" and not torch.cuda.is_available():
        sys.exit("--device: expected a CUDA device, found none; leave it out to measure on the CPU")
    if len(known.parts) != 1:  # what one part leaves in the allocator slows the next
        again = [sys.executable, "-m", "dawgen_core.bench", f"--device={known.device}", f"--threads={known.threads}"]
        for name in known.parts or PARTS:
            subprocess.run([*again, name], check=True)
        sys.exit()
    torch.set_num_threads(known.threads)
    where, (name,) = torch.device(known.device), known.parts
    caption = CAPTIONS.get(name, CAPTION).format(rounds=ROUNDS, hardware=hardware(where))
    table = bench(name, where)
    print(f"\n{name}\n{table.to_markdown(index=False)}")
    save_table(table, ROOT / "figures" / "bench" / f"{name}.{known.device}", caption)


if __name__ == "__main__":
    main()
