"""What a run cost and what it ran on: the part of a result that differs from run to run."""

import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import torch

from dawgen_core.params import ROOT


@dataclass
class Receipt:
    """A stopwatch: seconds, memory, device, commit, versions. Start it with the work, `close` it at the end."""

    device: str
    started: float = field(default_factory=time.perf_counter)

    def close(self, **more: Any) -> dict:
        scale = 1024 if sys.platform == "darwin" else 1  # bytes there, KiB elsewhere
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale / 1024
        return {
            "seconds": round(time.perf_counter() - self.started, 3), "peak_memory_mib": round(peak, 1),
            "device": self.device, "commit": commit(), "python": platform.python_version(), **_versions(),
            "machine": platform.machine(), "cores": os.cpu_count(), **more,
        }  # fmt: skip


def device_name(device: torch.device) -> str:
    """What a receipt calls a device: the card's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def surroundings(device: str) -> dict[str, str]:
    """Versions, device and commit, for the first cells of a notebook."""
    return {"python": platform.python_version(), **_versions(), "device": device, "commit": commit()}


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "transformers", "peft", "datasets")}


def commit() -> str:
    """The checkout's commit, `-dirty` when tracked files changed, `unknown` outside a checkout."""
    try:
        done = subprocess.run(["git", "describe", "--always", "--abbrev=12", "--dirty"], cwd=ROOT,
                              capture_output=True, text=True, check=True)  # fmt: skip
        return done.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
