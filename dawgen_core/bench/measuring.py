"""Seconds in turn, peak memory, and the hardware they were measured on."""

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from torch.profiler import ProfilerActivity, profile

from dawgen_core.app.receipts import device_name


def seconds_in_turn(ways: dict[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of every way, one after the other, round by round, after one round of warming up."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(rounds + 1):
        for name, way in ways.items():
            wait(device)
            started = time.perf_counter()
            way()
            wait(device)
            found[name] += [time.perf_counter() - started] if i else []
    return found


def ratio(found: dict[str, list[float]], name: str, to: str) -> float:
    """Median over rounds of the ratio of two ways measured in the same round."""
    return statistics.median(a / b for a, b in zip(found[name], found[to], strict=True))


def peak_mib(way: Callable[[], object], device: torch.device) -> float:
    """The most memory that the way holds in tensors beyond what is there when it starts, in MiB."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        way()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        way()
    changes, waiting = [], list(found.profiler.kineto_results.experimental_event_tree())
    while waiting:
        event = waiting.pop()
        waiting += event.children
        if (size := getattr(event.extra_fields, "alloc_size", None)) is not None:
            changes.append((event.start_time_ns, size))
    held = most = 0
    for _, size in sorted(changes, key=lambda change: change[0]):
        held += size
        most = max(most, held)
    return most / 2**20


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def hardware(device: torch.device) -> str:
    """What the ratios were measured on."""
    name = device_name(device)
    if name == "cpu":
        cpu = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
        name = f"{cpu[0] if cpu else platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
    return f"{name}; PyTorch {torch.__version__}, transformers {transformers.__version__}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).is_file() else []
