"""SIGKILL to the whole process group at random moments: the same command goes on to the same bytes.

DAWGEN_KILLS is how many (50), DAWGEN_KILL_SEED draws the moments (1), DAWGEN_SURVIVE_REPORT names a file for the counts.
"""

import collections
import os
import random
import shutil
import time
from pathlib import Path

from performing import Study, digests, gone_after, lives, report

KILLS, SEED = int(os.environ.get("DAWGEN_KILLS", "50")), int(os.environ.get("DAWGEN_KILL_SEED", "1"))
REPORT = Path(os.environ.get("DAWGEN_SURVIVE_REPORT", os.devnull))
EARLY, LATE = 6.0, 12.0  # seconds at most: from the start; from a notebook's beginning


def differences(run: Path, wanted: dict[str, str]) -> list[str]:
    found = digests(run)
    return sorted(name for name in found | wanted if found.get(name) != wanted.get(name))


def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(study: Study, wanted):
    chosen, fell, began = random.Random(SEED), collections.Counter(), time.monotonic()
    lost: list[str] = []
    killed = ended = 0
    old, longest, beside = [], 0.0, []

    def ends() -> None:
        nonlocal ended
        ended += 1
        lost.extend(f"end {ended}: {name}" for name in differences(study.run, wanted))
        shutil.rmtree(study.run)

    def tell() -> None:
        counts = {"killed": killed, "runs that came to their end": ended, "files that differ": lost, "fell into": dict(fell)}
        counts |= {"kernels beside a resumed run": beside, "a kernel outlived its run by, at most (s)": round(longest, 2)}
        report(REPORT, counts | {"minutes": round((time.monotonic() - began) / 60, 1), "seed": SEED})

    while killed < KILLS:
        # One in six comes before a notebook is at work; half of the others when one job has been done: so all rules are met,
        # however slow the machine is.
        early, late = killed % 6 == 5, killed % 2 == 0
        wait, started = chosen.uniform(0, EARLY if early else LATE), study.start()
        there = early or started.until(started.steps)
        if there and late and not early:
            first = started.steps()
            there = started.until(lambda first=first, started=started: started.steps() not in ([], first))
        if there and not early:
            beside += [str(one) for one in old if lives(one)]  # a kernel of the killed run, beside the resumed one
        at = time.monotonic() + wait
        there = there and started.until(lambda at=at: time.monotonic() > at)
        if not there:
            assert started.process.returncode == 0, started.said()
            ends()
            continue
        fell[" and ".join(started.steps()) or "no notebook at work"] += 1
        old, at = started.kernels(), time.monotonic()
        started.kill()
        killed += 1
        if killed % 5 == 0:  # now and then, how long a kernel outlives its run
            longest = max(longest, gone_after(old, 30))
        tell()
    study.finish()
    ends()
    tell()
    assert lost == [] and beside == []
