"""What a run is made of, and whether it is stale: results with their inputs, and jobs that the workflow would do again."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from dawgen_core import artifacts, params
from dawgen_core.artifacts import ArtifactError
from dawgen_core.data import profiles

OPTIONAL = dict.fromkeys(("seconds", "share", "stack", "peak_memory_mib"), int | float) | {"commit": str}


def results(folder: Path) -> pd.DataFrame:
    """One line per kind of result below a folder: how many, made at which commits, core seconds, damaged ones by name."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("result.json")):
        kind = artifacts.read_json(path, made_by="", keys={"kind": str})["kind"]
        receipt = receipt_of(path.parent)
        line = found.setdefault(kind, {"kind": kind, "results": 0, "seconds": 0.0, "commits": set(), "damaged": []})
        line["results"] += 1
        line["seconds"] += seconds(receipt)
        line["commits"] |= {receipt["commit"]} if "commit" in receipt else set()  # what several results share has none
        line["damaged"] += [str(path.parent.relative_to(folder))] if kind in artifacts.NOTEBOOKS and not _whole(path) else []
    lines = [line | {name: ", ".join(sorted(line[name])) for name in ("commits", "damaged")} for line in found.values()]
    return pd.DataFrame(lines).round(1)


def receipt_of(folder: Path) -> dict[str, Any]:
    """What a result cost, of the shape that `receipts` gives it. Errors: ArtifactError."""
    receipt = artifacts.read_json(folder / "receipt.json", made_by="the one that made the result")
    if not isinstance(receipt, dict):
        raise ArtifactError(f"{folder / 'receipt.json'}: expected keys with values, found a {type(receipt).__name__}")
    wrong = [key for key, kind in OPTIONAL.items() if key in receipt and not isinstance(receipt[key], kind)]
    if wrong or receipt.get("stack", 1) < 1:
        raise ArtifactError(f"{folder / 'receipt.json'}: expected numbers and a commit, found another "
                            f"{', '.join(wrong) or 'stack'}; delete {folder} to have it made again")  # fmt: skip
    return receipt


def seconds(receipt: dict[str, Any]) -> float:
    """What one result took of the work that made it together with others."""
    return receipt.get("seconds", 0.0) * receipt.get("share", 1 / receipt.get("stack", 1))


def _whole(path: Path) -> bool:
    try:
        return bool(artifacts.verified(path.parent, artifacts.read_json(path, made_by="", keys={"kind": str})["kind"]))
    except ArtifactError:
        return False


def one(folder: Path) -> dict[str, Any]:
    """A single result: kind, inputs, figures, files and whether they are whole, receipt. Errors: ArtifactError."""
    result = artifacts.read_json(folder / "result.json", made_by="the notebook that made it", keys=artifacts.RESULT)
    if result["kind"] not in artifacts.NOTEBOOKS:
        raise ArtifactError(f"{folder}: expected a result of {', '.join(artifacts.NOTEBOOKS)}, found {result['kind']:.100}")
    return {"kind": result["kind"], "inputs": result["inputs"], "metrics": result["metrics"],
            "files": sorted(result["outputs"]), "whole": _whole(folder / "result.json"),
            "receipt": receipt_of(folder)}  # fmt: skip


def stale(profile: str, runs_dir: str = "runs", targets: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """(job, reason) of what the workflow would do now, from its own dry run; nothing where all is up to date.

    Errors: RuntimeError when the dry run fails."""
    command = [sys.executable, "-m", "snakemake", *targets, "-n", "--nolock", "--rerun-incomplete", "--cores", "1",
               "--config", f"profile={profiles.as_asked(profile)}", f"runs_dir={runs_dir}"]  # fmt: skip
    done = subprocess.run(command, cwd=params.ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the workflow's dry run failed:\n{(done.stdout + done.stderr).strip()[-2000:]}")
    jobs = re.split(r"^(?:local)?rule (\w+):$", done.stdout, flags=re.MULTILINE)
    found = []
    for name, body in zip(jobs[1::2], jobs[2::2], strict=True):
        of, why = (re.search(rf"^    {key}: (.*)$", body, re.MULTILINE) for key in ("wildcards", "reason"))
        if name != "all":
            found.append((f"{name} {of[1]}" if of else name, why[1] if why else ""))
    return found
