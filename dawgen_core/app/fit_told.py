"""What `dawgen fit` says on its way: what was read and is proposed, how long it takes, which notebook is at work."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from dawgen_core.app import stages
from dawgen_core.app.fitted import unreadable
from dawgen_core.data import own, pretrained, profiles
from dawgen_core.params import Profile

FEW = "warning      two seeds cannot tell how far another would lie, and their intervals nothing: one, or three and more"
STEPS = {"01_generator_tuning": "tuning the generator", "02_generation": "writing pairs",
         "04_prompt_tuning": "tuning the classifier, and what it is compared with"}  # fmt: skip
START = 5.0  # seconds that a notebook takes to begin: its kernel, its imports, its models


def lines(
    mine: own.Own, parts: own.Split, task: dict, base: Profile, both: bool, per_class: int, file: str, n_seeds: int,
    shots: int,
) -> list[str]:
    """What was read and what is proposed, for people."""
    def counted(rows: pd.DataFrame) -> str:
        n = rows["label"].map(mine.names).value_counts()
        return ", ".join(f"{label} {n.get(label, 0)}" for label in mine.names.values())

    words = ", ".join(f"{raw}: {task['classifier']['verbalizer'][name]}" for name, raw in mine.names.items())
    starts = "; ".join(f"{raw}: {task['generator']['prefix'][name]}" for name, raw in mine.names.items())
    enough, each = len(parts.dev) >= len(parts.train), len(parts.train) // len(mine.names)
    chooses = enough and base.prompt_tuning.eval_every < base.prompt_tuning.steps
    kept = "set aside: this profile keeps the last prompt" if enough else "too few to choose by: the last prompt is kept"
    selects = "the prompt is chosen by" if chooses else kept
    fewer = f"; {each} of each label, where {shots} were asked for" if each < shots else ""
    left = [f"left over    {len(parts.rest)} ({counted(parts.rest)}): "
            + ("not tuned on: the generator writes both texts" if both else "texts serve as first sentences")]  # fmt: skip
    within = 100 * (proportion_confint(len(parts.test) / 2, len(parts.test), method="wilson")[1] - 0.5)
    written = "both sentences" if both else "the second sentence of given first ones"
    template = " ".join(task["classifier"]["template"].split())
    return [f"pairs        {len(mine.rows)} of {file} ({counted(mine.rows)})",
            *(f"note         {remark}" for remark in mine.remarks),
            f"to tune on   {len(parts.train)} ({counted(parts.train)}); dev {len(parts.dev)} ({selects}){fewer}",
            f"held out     {len(parts.test)} ({counted(parts.test)}): they tell a share within {within:.0f} points or so",
            *(left if len(parts.rest) else []),
            f"template     {template}", f"label words  {words} (--template and --words set others)",
            f"relations    {starts}",
            f"to write     {per_class} pairs per label, {written}",
            f"models       {base.classifier.model} tuned by a prompt, {base.generator.model} writes",
            *_warnings(mine, base), *([FEW] if n_seeds == 2 else [])]  # fmt: skip


def _warnings(mine: own.Own, base: Profile) -> list[str]:
    """What a user must not find out afterwards."""
    if base.classifier.is_tiny:
        return ["warning      the models are tiny and random: nothing but plumbing"]
    found = unreadable(mine.rows[own.COLUMNS[:2]], pretrained.load_tokenizer(base.classifier), base.classifier.model)
    return [f"warning      {found}"] if found else []


def lasting(values: dict, cores: int) -> str:
    """A line on how long the notebooks of a proposed profile take, where a run on the same models was measured."""
    study = profiles.extended(values["extends"], values)
    table, source = stages.planned(study, cores)
    if "seconds" not in table:
        return f"time         not known: {source}"
    seconds = table["seconds"][table["notebook"].isin(STEPS)].sum() + START * len(STEPS)
    return f"time         about {stages.lasting(seconds)} from start to end, {source}"


@contextmanager
def telling(indices: list[Path], say: Callable[[str], None]) -> Iterator[None]:
    """Inside, it is said which notebook is at work: the one behind those whose index is there."""
    ended, begun, told = threading.Event(), time.monotonic(), set()

    def watch() -> None:
        while not ended.wait(0.2):
            n = sum(path.is_file() for path in indices)
            if n < len(indices) and n not in told:
                told.add(n)
                say(f"{time.monotonic() - begun:4.0f} s   {n + 1} of {len(indices)}: {[*STEPS.values()][n]} ...")

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()
