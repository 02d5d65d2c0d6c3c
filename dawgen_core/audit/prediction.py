"""Does a look at the pairs tell how well a prompt tuned on them will do? Audit figures against test accuracy."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from dawgen_core.audit.audit_plots import shown_as
from dawgen_core.audit.figures import WIDE
from dawgen_core.audit.statistics import t_interval
from dawgen_core.data.profiles import load_task

CAPTION = "Rank correlation (Spearman) over kinds of pairs, mean over tasks and seeds, 95 % interval over seeds."
RIGHT, SHORTCUT = "wrong labels (oracle)", "label told by sentence 2 only"


def joined(measures: pd.DataFrame, ledger: pd.DataFrame, method: str) -> pd.DataFrame:
    """A row per task, seed and kind of pairs: `accuracy` of prompts tuned on them, and every measure of all rows. Of kinds
    that came to the same pairs (all their figures are the same) the first alone: they are one set."""
    whole = measures[measures["label"] == ""].pivot(index=["task", "seed", "source"], columns="measure", values="value")
    own = ledger[ledger["method"] == method].dropna(subset="seed").assign(seed=lambda rows: rows["seed"].astype(int))
    keys = own.rename(columns={"generator": "source"}).set_index(["task", "seed", "source"])["accuracy"]
    found, figures = whole.join(keys, how="inner").reset_index(), list(whole.columns)
    return found.drop_duplicates(["task", "seed", *figures], ignore_index=True)


def relations(found: pd.DataFrame) -> pd.DataFrame:
    """Per measure: Spearman's rank correlation with test accuracy over the kinds of pairs of one task and seed, mean over
    tasks per seed; mean and 95 % interval (Student's t) over seeds, strongest first. Above zero: more of it is better."""
    lines = []
    for name in found.columns.difference(["task", "seed", "source", "accuracy"], sort=False):
        each = []
        for _, part in found[["task", "seed", name, "accuracy"]].dropna().groupby(["task", "seed"]):
            if part[name].nunique() > 1 and part["accuracy"].nunique() > 1 and len(part) > 2:
                each.append((part["seed"].iloc[0], spearmanr(part[name], part["accuracy"]).statistic))
        seeds = pd.DataFrame(each, columns=["seed", "rho"]).groupby("seed")["rho"].mean()
        if len(seeds) == found["seed"].nunique():  # it differs between the kinds of pairs in every seed
            low, high = np.clip(t_interval(seeds), -1, 1)
            lines.append({"measure": name, "rank correlation": seeds.mean(), "low": low, "high": high, "seeds": len(seeds)})
    table = pd.DataFrame(lines, columns=["measure", "rank correlation", "low", "high", "seeds"])
    return table.sort_values("rank correlation", key=abs, ascending=False).reset_index(drop=True)


def said_plainly(table: pd.DataFrame) -> str:
    """Which measure that needs no oracle predicts best, or that none does."""
    cheap = table[~table["measure"].str.contains("oracle")]
    sure = cheap[(cheap["low"] > 0) | (cheap["high"] < 0)]
    if not len(cheap):
        return "no measure varies between the kinds of pairs"
    top = (sure if len(sure) else cheap).iloc[0]
    figures = f"{top['rank correlation']:+.2f} ({top['low']:+.2f} to {top['high']:+.2f}, n = {top['seeds']} seeds)"
    if not len(sure):
        return f"no cheap measure predicts the outcome: the strongest, “{top['measure']}”, has {figures}"
    return (f"of the cheap measures “{top['measure']}” predicts best: rank correlation {figures}; {len(sure)} of "
            f"{len(cheap)} have an interval without zero, and with so many one in twenty would by chance")  # fmt: skip


def triangle(found: pd.DataFrame, tasks: list[str]) -> Figure:
    """Right labels (oracle), the shortcut through sentence 2, and test accuracy against each other: a point per kind of
    pairs, its mean and 95 % interval over seeds."""
    whole = found.assign(right=100 * (1 - found[RIGHT]), shortcut=100 * found[SHORTCUT], accuracy=100 * found["accuracy"])
    axes_of = (("right", "accuracy"), ("shortcut", "accuracy"), ("shortcut", "right"))
    names = {"right": "right labels (%)", "shortcut": "label from sentence 2, over chance (%)",
             "accuracy": "test accuracy (%)"}  # fmt: skip
    size = WIDE, 0.5 + 2.1 * len(tasks)
    fig, axes = plt.subplots(len(tasks), 3, figsize=size, squeeze=False, layout="constrained")
    for line, task in zip(axes, tasks, strict=True):
        kinds = list(whole.loc[whole["task"] == task].groupby("source", sort=False))
        for ax, (x, y) in zip(line, axes_of, strict=True):
            for number, (kind, part) in enumerate(kinds):
                (x0, x1), (y0, y1) = t_interval(part[x]), t_interval(part[y])
                ax.plot([x0, x1], [part[y].mean()] * 2, color="#bbbbbb", linewidth=0.8)
                ax.plot([part[x].mean()] * 2, [y0, y1], color="#bbbbbb", linewidth=0.8)
                ax.plot(part[x].mean(), part[y].mean(), marker=f"${number + 1}$", linestyle="none", color="black",
                        markersize=5, label=shown_as(kind))  # fmt: skip
            ax.set_xlabel(names[x], fontsize=7)
            ax.set_ylabel(names[y], fontsize=7)
            ax.tick_params(labelsize=6.5)
        line[0].set_title(load_task(task).title, fontsize=8, loc="left")
    fig.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=6.5)
    return fig
