"""`make reproduce`: the workflow under a lock of its own, then the main tables.

The lock is the operating system's and goes with the process that holds it, so a killed run leaves nothing
to unlock; Snakemake's own lock files would stay behind.
"""

import argparse
import errno
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dawgen_core import artifacts, params
from dawgen_core.app import stopping
from dawgen_core.artifacts import Runs
from dawgen_core.data import profiles

WALL = "wall.json"  # minutes and cores of an undisturbed run
HERE = "local"


class StoppedError(RuntimeError):
    """A notebook stopped; what it had finished is kept."""


class BusyError(ValueError):
    """Another run of the profile is at work, or its processes are; or nobody can tell, on a file system without locks."""


@contextmanager
def alone(run: Path, patience: float = stopping.PATIENCE) -> Iterator[None]:
    """Inside, the run in this folder is this process's own. Errors: BusyError where it is another's, or where a process of
    an earlier one is left after `patience` seconds."""
    try:
        with FileLock(run / ".lock", timeout=0, fallback_to_soft=False):
            if left := stopping.left_over(run, patience):
                raise BusyError(f"expected no process of an earlier run, found {', '.join(map(str, left))} at work in "
                                f"{run}; wait until they are done, or end them (kill)")  # fmt: skip
            yield
    except Timeout:
        raise BusyError(f"expected no other run of this profile, found one at work in {run}") from None
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        raise BusyError(f"{run}: expected a file system with locks (flock), found one without: mount Lustre with -o flock, "
                        "or choose another folder") from error  # fmt: skip


def workflow(
    profile_name: str, cores: int, kernel: str, more: list[str], runs_dir: str | Path = "runs", on: str = HERE
) -> int:  # fmt: skip
    """Snakemake on a profile, under the profile's lock; its exit code. runs_dir: the folder of the profile's artifacts.

    on: where the jobs run, a folder of workflow/ or a path; cores are this machine's, a cluster gives each job its own.
    """
    profile, options = profiles.load_profile(profile_name), options_of(on)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", kernel):
        raise params.ParamsError(f"--kernel: expected the name of a Jupyter kernel, such as python3, found {kernel!r:.200}")
    run = Runs.of(profile, str(runs_dir)).root
    run.mkdir(parents=True, exist_ok=True)
    place = grouped(profile) if _remote(options) else ["--cores", str(cores)]
    command = [sys.executable, "-m", "snakemake", *more, "--workflow-profile", str(options), *place, "--config",
               f"profile={profiles.as_asked(profile_name)}", f"kernel={kernel}", f"runs_dir={runs_dir}"]  # fmt: skip
    # glibc hands large blocks back to the system and asks for them again, pass after pass: that alone cost about 8 %
    keeping = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with alone(run):
        environment = {**keeping, **os.environ, **stopping.environment(run), "PATH": path}
        with stopping.together(run):
            code = subprocess.run(command, cwd=params.ROOT, env=environment).returncode
    if code and (full := stopping.full_disk(run)):
        print(full, file=sys.stderr, flush=True)
    return code


def grouped(profile: params.Profile) -> list[str]:
    """Snakemake's option by which short steps of the same task and seeds are one job of a cluster; shards between them are
    jobs of their own."""
    return [] if profile.generation.shard else ["--groups", "generator_tuning=pairs", "generation=pairs"]


def options_of(on: str) -> Path:
    """The folder with Snakemake's options: of that name in workflow/, else of that path. Errors: ParamsError."""
    for folder in (params.ROOT / "workflow" / on, Path(on).expanduser().resolve()):
        if (folder / "config.yaml").is_file():
            return folder
    known = ", ".join(sorted(path.parent.name for path in (params.ROOT / "workflow").glob("*/config.yaml")))
    raise params.ParamsError(f"--on: expected one of {known}, or a folder with a config.yaml, found {on}")


def _remote(options: Path) -> bool:
    return "executor" in profiles.read_yaml(options / "config.yaml")


def reproduce(
    profile_name: str, cores: int, kernel: str, more: list[str], on: str = HERE, runs_dir: str | Path = "runs"
) -> int:  # fmt: skip
    """Run the notebooks of a profile in sequence, resuming; 0 on success, Snakemake's exit code otherwise."""
    profile = profiles.load_profile(profile_name)
    run = Runs.of(profile, str(runs_dir)).root
    print(announced(profile_name), flush=True)
    untouched, started = not any(run.glob("*/*.json")), time.monotonic()
    code = workflow(profile_name, cores, kernel, [*_longest_first(profile, runs_dir), *more], runs_dir, on)
    if code == 0 and "-n" not in more:
        if untouched and not _remote(options_of(on)):
            artifacts.write_json(run / WALL, {"minutes": round((time.monotonic() - started) / 60, 1), "cores": cores})
        for table in ("table1.md", "table3.md", "effects.md"):
            print("\n" + (run / "tables" / table).read_text(encoding="utf-8"))
        print(f"Read next: {run}/notebooks (executed), {run}/tables, {run}/figures")
    return code


def _longest_first(profile: params.Profile, runs_dir: str | Path) -> list[str]:
    """Snakemake's option that puts the largest groups of seeds first, with all they need: no long job is left to the end."""
    groups, runs = profile.seed_groups(), Runs(Path(runs_dir) / profile.profile)  # as the Snakefile names them
    large = [group for group in groups if len(group) > min(map(len, groups))]
    indices = [runs.index(task, "04_prompt_tuning", group) for task in profile.tasks for group in large]
    return ["--prioritize", *map(str, indices)] if large else []


def announced(profile_name: str) -> str:
    """What starts, and how long the committed run of it took."""
    manifest = params.ROOT / "figures" / profile_name / "manifest.json"
    wall = artifacts.read_json(manifest, made_by="").get("wall") if manifest.is_file() else None
    known = f"about {wall['minutes']} minutes on {wall['cores']} cores when the committed run was made" if wall else ""
    return f"Profile {profile_name}" + (f": {known}; a finished job is not done again." if known else "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m dawgen_core.app.reproduce", description=__doc__.splitlines()[0])
    parser.add_argument("profile")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--kernel", default="python3")
    parser.add_argument("--on", default=HERE)
    parser.add_argument("--runs-dir", default="runs")
    known, rest = parser.parse_known_args()
    try:
        sys.exit(reproduce(known.profile, known.cores, known.kernel, rest, known.on, known.runs_dir))
    except (params.ParamsError, BusyError, OSError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped; run the same command to go on where it was")
