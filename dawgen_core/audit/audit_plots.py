"""Figures of the audit: small multiples of measures, real rows as a line."""

import textwrap

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from dawgen_core.audit.curated import ARMS
from dawgen_core.audit.figures import WIDE
from dawgen_core.audit.tables import GENERATORS
from dawgen_core.data.profiles import load_task


def shown_as(source: str) -> str:
    """The name of a kind of rows in figures: a generator, released rows, or a curation arm of one."""
    of, _, arm = source.partition("_")
    return GENERATORS.get(source) or (f"{GENERATORS.get(of, of)}, {ARMS[arm]}" if arm in ARMS else source)


def panels(measures: pd.DataFrame, names: list[str], tasks: list[str], label: str = "") -> Figure:
    """A panel per measure (column) and task (row), a line per source: every seed a ring, their mean a dot with the smallest
    and largest end of the seeds' intervals; the line across is the mean of as many real rows."""
    part = measures[measures["label"].eq(label) & measures["measure"].isin(names)]
    sources = list(dict.fromkeys(part["source"]))
    size = WIDE, 0.6 + len(tasks) * (0.35 + 0.19 * len(sources))
    fig, axes = plt.subplots(len(tasks), len(names), figsize=size, squeeze=False, sharey=True, sharex="col",
                             layout="constrained")  # fmt: skip
    for line, task in zip(axes, tasks, strict=True):
        for ax, name in zip(line, names, strict=True):
            own = part[(part["task"] == task) & (part["measure"] == name)]
            scale = 100 if len(own) and own["unit"].iloc[0] == "share" else 1
            for y, source in enumerate(sources):
                seeds = scale * own.loc[own["source"] == source, ["value", "low", "high"]]
                if len(seeds):
                    ax.plot([seeds["low"].min(), seeds["high"].max()], [y, y], color="#999999", linewidth=1)
                    ax.plot(seeds["value"], [y] * len(seeds), "o", color="white", markeredgecolor="#777777", markersize=3.5)
                    ax.plot(seeds["value"].mean(), y, "o", color="black", markersize=4)
            if own["reference"].notna().any():
                ax.axvline(scale * own["reference"].mean(), color="#c44e00", linewidth=1)
            ax.margins(y=0.2)
            title = textwrap.fill(name + (" (%)" if scale == 100 else ""), 19)
            ax.set_xlabel(title if task == tasks[-1] else "", fontsize=6.5)
            ax.tick_params(labelsize=6.5)
        line[0].set_yticks(range(len(sources)), [shown_as(source) for source in sources])
        line[0].set_title(load_task(task).title, fontsize=7.5, loc="left")
    axes[0][0].invert_yaxis()
    return fig
