"""`dawgen plan`, `dawgen run` and `dawgen why`: options, and what they print."""

import argparse
import json
from pathlib import Path

MOST_CORES = 1024
PLAN = """\
examples:
  dawgen plan pocket
  dawgen plan params/mine.yaml --cores 8
"""
RUN = """\
examples:
  dawgen run smoke                       # as `make reproduce PROFILE=smoke`
  dawgen run paper --cores 8 --kernel my-gpu-kernel
  dawgen run paper --on slurm            # as jobs of a Slurm cluster: workflow/README.md
  dawgen run pocket --mend               # what is damaged is named, removed and made again
"""
WHY = """\
examples:
  dawgen why pocket                      # what the run of a profile is made of, what is stale and why
  dawgen why runs/own/pairs              # the same of a folder that `dawgen fit` made
  dawgen why runs/pocket/pocket_mrpc/seed-13/dawgen/paired_surgery    # one result: all that went into it
"""


def plan_options(parser: argparse.ArgumentParser) -> None:
    """Of `dawgen plan`."""
    parser.description = "Says how many jobs a profile has and what they cost, from measured costs, before anything starts."
    _profile(parser)
    parser.set_defaults(run=_plan)


def _profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("profile", metavar="PROFILE", help="a name of params/, or the path of a profile's file")
    parser.add_argument("--cores", type=cores, default=2, metavar="N", help="processor cores (default: %(default)s)")


def cores(text: str) -> int:
    """A number of processor cores, as argparse wants it."""
    if not (text.isdecimal() and len(text) < 5 and 1 <= int(text) <= MOST_CORES):
        raise argparse.ArgumentTypeError(f"expected 1 to {MOST_CORES:,}, found {text!r:.100}")
    return int(text)


def _plan(options: argparse.Namespace) -> int:
    from tabulate import tabulate

    from dawgen_core.app import stages
    from dawgen_core.data import profiles

    study = profiles.load_profile(options.profile)
    table, source = stages.planned(study, options.cores)
    print(f"{study.profile}: {study.about}\n")
    if "seconds" in table:
        whole, disk = stages.lasting(table["seconds"].sum()), table["disk (MiB)"].sum()
        table["seconds"] = table["seconds"].map(stages.lasting)
        last = f"{whole} on {options.cores} cores, {disk:,.0f} MiB on disk"
    else:
        last = f"{table['jobs'].sum()} jobs"
    columns = ["time" if name == "seconds" else name for name in table]
    print(tabulate(table.fillna(""), columns, "simple", showindex=False, intfmt=","))
    print(f"\nIn all {last}; {source}.")
    return 0


def run_options(parser: argparse.ArgumentParser) -> None:
    """Of `dawgen run`."""
    parser.description = "Runs every notebook of a profile in sequence, and goes on where a stopped run was."
    _profile(parser)
    parser.add_argument("--kernel", default="python3", metavar="NAME", help="the Jupyter kernel (default: %(default)s)")
    parser.add_argument("--on", default="local", metavar="WHERE", help="where the jobs run: local, slurm, or the path of a "
                        "folder with Snakemake's options (default: %(default)s)")  # fmt: skip
    parser.add_argument("--mend", action="store_true", help="first remove damaged results, by name: they are made again")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from dawgen_core.app import mending, reproduce
    from dawgen_core.artifacts import Runs
    from dawgen_core.data import profiles

    if options.mend:
        print("\n".join(mending.mend(Runs.of(profiles.load_profile(options.profile)).root) or ["nothing is damaged"]))
    if reproduce.reproduce(options.profile, options.cores, options.kernel, [], options.on):
        raise reproduce.StoppedError("a notebook stopped, see above; the same command goes on where it was")
    return 0


def why_options(parser: argparse.ArgumentParser) -> None:
    """Of `dawgen why`."""
    parser.description = "Says what a run is made of and whether it is stale. Exit code 1: something has to be done again."
    parser.add_argument("of", metavar="RUN", help="a profile, a folder of `dawgen fit`, or one result's folder")
    parser.set_defaults(run=_why)


def _why(options: argparse.Namespace) -> int:
    from tabulate import tabulate

    from dawgen_core.app import provenance
    from dawgen_core.app.fitted import profile_of
    from dawgen_core.artifacts import Runs
    from dawgen_core.data import profiles

    folder = Path(options.of).resolve()
    if (folder / "result.json").is_file():
        print(json.dumps(provenance.one(folder), ensure_ascii=False, indent=1))
        return 0
    own = (folder / "fit.json").is_file()
    name = str(profile_of(folder)) if own else options.of
    study = profiles.load_profile(name)
    if own and study.profile != folder.name:
        raise ValueError(f"{folder}: expected a run folder under the name that it was made with, {study.profile}, found "
                         "another; `dawgen predict` does with any")  # fmt: skip
    runs = Runs.of(study, str(folder.parent) if own else "runs")
    table = provenance.results(runs.root)
    if table.empty:
        print(f"{runs.root}: nothing is made yet")
        return 1
    print(tabulate(table, list(table.columns), "simple", showindex=False, floatfmt=",.1f"), "\n")
    wanted = (str(runs.index(study.tasks[0], "04_prompt_tuning", study.seeds)),) if own else ()
    jobs = provenance.stale(name, str(folder.parent) if own else "runs", wanted)
    for job, reason in jobs:
        print(f"to do again: {job}: {reason}")
    damaged = [line for line in table["damaged"] if line]
    if damaged:
        print(f"damaged: {', '.join(damaged)}; `dawgen run PROFILE --mend` has it made again")
    if not jobs and not damaged:
        print("all is up to date: settings, rows, code and files are those that it was made from")
    return int(bool(jobs or damaged))
