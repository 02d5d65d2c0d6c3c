"""Where things lie and how they get there: names to paths, atomic writes, digests, receipts.

One folder per unit: files, `result.json` (digests of all that went in and came out, written last), `receipt.json` (costs).
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dawgen_core.params import ROOT, ParamsError, Profile

NOTEBOOKS = {
    "few_shot": "01_generator_tuning", "generator": "01_generator_tuning", "synthetic": "02_generation",
    "condition": "04_prompt_tuning", "audit": "03_data_analysis", "tables": "05_tables", "variant": "06_beyond",
}  # fmt: skip
NO_GENERATOR = "none"
RESULT = {"kind": str, "inputs": dict, "metrics": dict, "outputs": dict, "digest": str}  # what a result.json holds


class ArtifactError(RuntimeError):
    """An artifact is missing, truncated or edited."""


@dataclass(frozen=True)
class Runs:
    """The names of one profile's artifacts. A condition's name is its path, ledger key and row label."""

    root: Path

    @classmethod
    def of(cls, profile: Profile, runs_dir: str = "runs") -> "Runs":
        """`runs_dir` is relative to the project's folder, wherever the notebook runs, or absolute. Errors: ParamsError."""
        if not (isinstance(runs_dir, str) and runs_dir.isprintable() and ".." not in (Path(runs_dir).parts or "..")):
            raise ParamsError(f"runs_dir: expected a folder below the project's or an absolute one, found {runs_dir!r:.200}")
        return cls(ROOT / runs_dir / profile.profile)

    def few_shot(self, task: str, seed: int) -> Path:
        return self.root / task / f"seed-{seed}" / "few_shot"

    def generator(self, task: str, seed: int, kind: str) -> Path:
        return self.root / task / f"seed-{seed}" / kind / "generator"

    def synthetic(self, task: str, seed: int, kind: str) -> Path:
        return self.root / task / f"seed-{seed}" / kind / "synthetic"

    def condition(self, task: str, seed: int | None, generator: str, method: str) -> Path:
        """seed None: the method draws nothing at random (one result for all seeds)."""
        return self.root / task / ("any-seed" if seed is None else f"seed-{seed}") / generator / method

    def index(self, task: str, notebook: str, seeds: list[int]) -> Path:
        return self.root / task / f"{notebook}.seeds-{'-'.join(map(str, seeds))}.json"

    def name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place on success, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.uname().nodename}-{os.getpid()}.part")  # nodes of a cluster share folders
    try:
        yield part
        with open(part, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Atomically, keys sorted: equal values give equal bytes."""
    with replacing(path) as part:
        part.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, *, made_by: str, keys: Mapping[str, type] = {}) -> Any:
    """The value, with `keys` of these types; an ArtifactError names the notebook to run when it is missing or damaged."""
    if not path.is_file():
        raise ArtifactError(f"expected {path}, found none; run notebook {made_by} first (same profile, task, seeds)")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if keys and not all(isinstance(dict(value).get(key), kind) for key, kind in keys.items()):
            raise ValueError(f"expected the keys {', '.join(keys)}")
        return value
    except (ValueError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{path}: expected JSON, found a truncated or edited file; "
                            f"delete it and run notebook {made_by} again") from error  # fmt: skip


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """A parquet file, atomically."""
    with replacing(path) as part:
        frame.to_parquet(part, index=False)


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """A safetensors file, atomically."""
    with replacing(path) as part:
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, part)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; ArtifactError when it is missing or not one (pickles are never read)."""
    if not path.is_file():
        raise ArtifactError(f"expected {path}, found none")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ArtifactError(f"{path}: expected a whole safetensors file, found {error}") from error


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON-able value in canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def begin(folder: Path) -> None:
    """Empty a unit's folder before it is made again: first its result, so that a killed run leaves it unfinished."""
    if folder.is_symlink():
        raise ArtifactError(f"expected a folder at {folder}, found a link: what it leads to would be emptied; remove it")
    for path in sorted(filter(Path.is_file, folder.glob("*")), key=lambda path: path.name != "result.json"):
        path.unlink()


def finish(folder: Path, kind: str, inputs: dict, metrics: dict, receipt: dict) -> None:
    """Close a folder: `receipt.json`, then `result.json` last, with its own digest; it says that all is there."""
    files = [p for p in sorted(folder.glob("[!.]*")) if p.is_file() and p.name not in ("result.json", "receipt.json")]
    write_json(folder / "receipt.json", receipt)
    made = {"kind": kind, "inputs": inputs, "metrics": metrics, "outputs": {p.name: digest(p) for p in files}}
    write_json(folder / "result.json", made | {"digest": digest_of(json.loads(json.dumps(made)))})


def verified(folder: Path, kind: str, expected: dict | None = None) -> dict:
    """The folder's result, its files held against their digests and its inputs against those `expected` (if any).
    Errors: ArtifactError names what is missing, changed or stale, and the notebook that makes it."""
    result = read_json(folder / "result.json", made_by=(made_by := NOTEBOOKS[kind]), keys=RESULT)
    if result["kind"] != kind:
        raise ArtifactError(f"{folder}: expected a result of kind {kind}, found {result['kind']}")
    for key, value in json.loads(json.dumps(expected or {})).items():
        if (found := result["inputs"].get(key)) != value:
            raise ArtifactError(f"{folder}: expected a result made with the present {key}, found a stale one "
                                f"({_difference(value, found)}); run notebook {made_by} again")  # fmt: skip
    there = {path.name: digest(path) for path in folder.iterdir() if path.is_file()}  # names alone: no path leads out of it
    there["result.json"] = digest_of({key: result[key] for key in RESULT if key != "digest"})
    for name, wanted in (result["outputs"] | {"result.json": result["digest"]}).items():
        if there.get(name) != wanted:
            found = "a file with another digest (truncated or edited)" if name in there else "none"
            raise ArtifactError(f"expected {folder / name} as its result.json describes it, found {found}; delete {folder} "
                                f"and run notebook {made_by} again")  # fmt: skip
    return result


def _difference(wanted: Any, found: Any) -> str:
    both = isinstance(wanted, dict) and isinstance(found, dict)
    pairs = {f"{key}: ": (wanted.get(key), found.get(key)) for key in wanted | found} if both else {"": (wanted, found)}
    return ", ".join(f"{key}now {now!r}, then {then!r}" for key, (now, then) in pairs.items() if now != then)


def done(folder: Path, kind: str, inputs: dict) -> bool:
    """True when the folder holds this very result already (same kind and inputs, files intact): nothing to do again."""
    path, inputs = folder / "result.json", json.loads(json.dumps(inputs))
    same = path.is_file() and read_json(path, made_by=NOTEBOOKS[kind], keys=RESULT)["inputs"] == inputs
    return same and bool(verified(folder, kind))


def write_index(path: Path, runs: Runs, folders: list[Path]) -> None:
    """What a job made: folder name to digest of its result. The workflow's output file for the job."""
    write_json(path, {runs.name(f): digest(f / "result.json") for f in folders})
