"""The figures of the study."""

import itertools
import textwrap

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from dawgen_core.audit.figures import WIDE
from dawgen_core.audit.statistics import t_interval
from dawgen_core.audit.tables import GENERATORS, TABLE_3
from dawgen_core.data.profiles import load_task

TUNED, FROZEN, DATA, STEP = "#f3d9a4", "#d6dce4", "#ffffff", "#cfe8d5"
BOXES = {  # centre x, centre y, width, height, colour, text
    "real": (1.0, 2.4, 1.7, 0.9, DATA, "16 real pairs\nper class"),
    "q": (3.6, 3.2, 2.3, 0.9, TUNED, "prompt $Q_\\ell$ per label\nweights + alignment"),
    "lm": (3.6, 1.6, 2.3, 0.9, FROZEN, "generator (CTRL)\nfrozen"),
    "syn": (6.1, 2.4, 1.7, 0.9, DATA, "1000 synthetic\npairs per class"),
    "surgery": (8.6, 2.4, 2.1, 1.2, STEP, "gradient surgery:\n$d_{syn}$ loses what\nconflicts with $d_{real}$"),
    "p": (11.1, 3.2, 1.7, 0.9, TUNED, "soft prompt $P$"),
    "t5": (11.1, 1.6, 1.7, 0.9, FROZEN, "classifier (T5)\nfrozen"),
}
PATHS = [  # corner points; the last stretch carries the arrow head
    [(1.85, 2.4), (2.15, 2.4), (2.15, 3.2), (2.45, 3.2)],
    [(3.6, 2.75), (3.6, 2.05)],
    [(4.75, 1.6), (5.0, 1.6), (5.0, 2.4), (5.25, 2.4)],
    [(6.95, 2.4), (7.55, 2.4)],
    [(1.0, 1.95), (1.0, 0.7), (8.6, 0.7), (8.6, 1.8)],
    [(9.65, 2.4), (9.95, 2.4), (9.95, 3.2), (10.25, 3.2)],
    [(11.1, 2.75), (11.1, 2.05)],
]


def framework() -> Figure:
    """The method in one picture: what is tuned is warm, what is frozen is grey, arrows are rows and gradients."""
    fig, ax = plt.subplots(figsize=(WIDE, 2.6))
    for x, y, width, height, colour, text in BOXES.values():
        box = FancyBboxPatch((x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.12",
                             facecolor=colour, edgecolor="#444444", linewidth=0.8)  # fmt: skip
        ax.add_patch(box)
        ax.text(x, y, text, ha="center", va="center", fontsize=6.5)
    for path in PATHS:
        ax.plot(*zip(*path[:-1], strict=True), color="#444444", linewidth=0.9, solid_joinstyle="miter")
        ax.annotate("", path[-1], path[-2], arrowprops={"arrowstyle": "-|>", "color": "#444444", "shrinkA": 0, "shrinkB": 0})
    for x, y, text in ((7.25, 2.55, "$d_{syn}$"), (8.9, 1.3, "$d_{real}$")):
        ax.text(x, y, text, ha="center", fontsize=7)
    titles = ((2.4, "1  tune the generator's prompts"), (6.1, "2  generate"), (9.9, "3  tune the classifier's prompt"))
    for x, title in titles:
        ax.text(x, 4.05, title, ha="center", fontsize=8, weight="bold")
    ax.set(xlim=(0, 12.1), ylim=(0.5, 4.3))
    ax.axis("off")
    return fig


def ablation(ledger: pd.DataFrame, tasks: list[str], note: str) -> Figure:
    """Table 3 as points: every seed a dot, the mean a bar with its 95 % interval (Student's t over seeds); the majority
    class as a line."""
    names = {"syn": "synthetic only", "paired": "+ real", "paired_surgery": "+ real + surgery"}
    chosen = ledger[ledger["method"].isin([m for *_, m in TABLE_3]) & ledger["generator"].isin(GENERATORS)]
    chosen = chosen.assign(accuracy=chosen["accuracy"] * 100, generator=chosen["generator"].map(GENERATORS),
                           setting=chosen["method"].map(names))  # fmt: skip
    chosen = chosen[chosen["generator"] != GENERATORS["oracle"]]
    order = [g for g in GENERATORS.values() if g in set(chosen["generator"])]
    n_columns = min(len(tasks), 3)
    n_rows = -(-len(tasks) // n_columns)
    height = 0.7 + n_rows * (0.5 + 0.45 * len(order))
    fig, axes = plt.subplots(n_rows, n_columns, figsize=(WIDE, height), sharex=True, sharey=True, squeeze=False,
                             layout="constrained")  # fmt: skip
    for ax in axes.flat[len(tasks) :]:
        ax.axis("off")
    for i, (ax, task) in enumerate(zip(axes.flat, tasks, strict=False)):
        part = chosen[chosen["task"] == task]
        look = {"data": part, "y": "generator", "x": "accuracy", "hue": "setting", "order": order,
                "hue_order": list(names.values()), "ax": ax}  # fmt: skip
        sns.stripplot(**look, dodge=True, size=3, jitter=False, legend=False)
        sns.pointplot(**look, dodge=0.53, linestyle="none", marker="|", markersize=9, errorbar=_t_interval,
                      err_kws={"linewidth": 0.9}, legend=ax is axes[0][0])  # fmt: skip
        ax.axvline(100 * part["majority"].iloc[0], color="#777777", linewidth=0.8, linestyle=":")
        ax.set_xlim(chosen["accuracy"].min() - 4, chosen["accuracy"].max() + 4)  # an interval of two seeds knows no bounds
        ax.set(ylabel="", xlabel="test accuracy (%)")
        if i + n_columns >= len(tasks):  # the lowest of its column
            ax.tick_params(labelbottom=True)
            ax.xaxis.label.set_visible(True)
        ax.set_title("\n".join(textwrap.wrap(part["shown_as"].iloc[0], 30)), fontsize=8)
        missing = [i for i, g in enumerate(order) if g not in set(part["generator"])]
        for i in missing:
            ax.text(0.5, i, "not run", transform=ax.get_yaxis_transform(), ha="center", va="center", color="#777777", size=7)
    handles, labels = axes[0][0].get_legend_handles_labels()
    axes[0][0].get_legend().remove()
    fig.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    said = "dots: seeds; bars: means, 95 % intervals over seeds; from top to bottom as above; dotted: majority class."
    fig.supxlabel(f"{said} {note}", fontsize=7)
    return fig


def _t_interval(values) -> tuple[float, float]:
    """Student's interval, or the value itself where there is no spread to tell."""
    return t_interval(values) if len(values) > 1 else (values.mean(), values.mean())


def conflict(trace: pd.DataFrame, window: int) -> Figure:
    """Share of conflicting steps and cosine of the two gradients over training, running means per generator."""
    fig, axes = plt.subplots(1, 2, figsize=(WIDE, 2.4), layout="constrained")
    panels = (("conflict", "share of conflicting steps"), ("cosine", "cosine(real, synthetic)"))
    for ax, (column, name) in zip(axes, panels, strict=True):
        for dash, (kind, part) in zip(itertools.cycle(("-", "--", ":", "-.")), trace.groupby("generator", sort=False)):
            mean = part.groupby("step")[column].mean().rolling(window, min_periods=1).mean()
            ax.plot(mean.index, mean, dash, label=GENERATORS.get(kind, kind), linewidth=1.2)
        ax.axhline(0.5 if column == "conflict" else 0.0, color="#777777", linewidth=0.8, linestyle=":")
        ax.set(xlabel="step", ylabel=name)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False, fontsize=7)
    return fig


def label_accuracy(right: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Test accuracy over the oracle's label accuracy of the synthetic rows, a dot per seed, a panel per way of using them;
    dashed: the mean of prompt tuning on real rows alone."""
    ways = {"syn": "synthetic only", "paired": "+ real", "paired_surgery": "+ real + surgery"}
    fig, axes = plt.subplots(1, len(ways), figsize=(WIDE, 2.9), sharex=True, sharey=True, layout="constrained")
    alone = 100 * table.loc[table["method"] == "real", "accuracy"].mean()
    kinds = right["generator"].unique()
    colours = dict(zip(kinds, sns.color_palette("colorblind", len(kinds)), strict=True))
    for ax, (method, title) in zip(axes, ways.items(), strict=True):
        for kind, part in right[right["method"] == method].groupby("generator", sort=False):
            ax.plot(100 * part["label_accuracy"], 100 * part["accuracy"], "o", markersize=4, alpha=0.8,
                    color=colours[kind], label=GENERATORS.get(kind, kind))  # fmt: skip
        ax.axhline(alone, color="#777777", linewidth=0.8, linestyle="--")
        ax.set(title=title, xlabel="right labels (%)")
    axes[0].set_ylabel("test accuracy (%)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False, fontsize=7)
    return fig


def anatomy(faults: pd.DataFrame, tasks: list[str]) -> Figure:
    """In how many pairs a slot keeps the pair from its label, in percent: a panel per task, a column per source."""
    fig, axes = plt.subplots(1, len(tasks), figsize=(WIDE, 3.2), squeeze=False, layout="constrained")
    for ax, task in zip(axes[0], tasks, strict=True):
        part = 100 * faults[faults["task"] == task].pivot(index="slot", columns="source", values="share").fillna(0)
        part = part[[g for g in GENERATORS if g in part]].rename(columns=GENERATORS)
        part = part.loc[part.sum(axis=1).sort_values(ascending=False).index]
        sns.heatmap(part, ax=ax, annot=True, fmt=".0f", cmap="Reds", cbar=False, annot_kws={"size": 7}, vmin=0)
        ax.set(title=load_task(task).title, xlabel="", ylabel="")
    return fig


def alignment(before, after, labels: list[str], triples: dict[str, pd.DataFrame], margin: float) -> Figure:
    """Cosines of all pairs of sentence vectors before and after tuning, rows in class order; the hinge over their gaps."""
    fig, axes = plt.subplots(1, 3, figsize=(WIDE, 2.5), layout="constrained", width_ratios=(1, 1, 1.1))
    lowest = float(min(before.min(), after.min()))
    edges = [i for i in range(1, len(labels)) if labels[i] != labels[i - 1]]
    for ax, cosines, title in zip(axes, (before, after), ("before tuning", "after tuning"), strict=False):
        shown = ax.imshow(cosines, vmin=lowest, vmax=1, cmap="cividis", interpolation="nearest")
        for edge in edges:
            ax.axhline(edge - 0.5, color="white", linewidth=1)
            ax.axvline(edge - 0.5, color="white", linewidth=1)
        ax.set(title=title, xticks=[], yticks=[], xlabel="rows, class by class")
        ax.title.set_size(8)
    fig.colorbar(shown, ax=axes[1], shrink=0.8, label="cosine")
    low = min(frame["gap"].min() for frame in triples.values())
    line = [min(low, 0.0) - 0.05, margin + 0.1]
    axes[2].plot([line[0], margin, line[1]], [margin - line[0], 0, 0], color="#777777", linewidth=0.8)
    for (name, frame), marker in zip(triples.items(), "ox", strict=False):
        few = frame.sample(min(len(frame), 150), random_state=0)
        label = f"{name}: mean {frame['hinge'].mean():.2f}"
        axes[2].plot(few["gap"], few["hinge"], marker, markersize=3, alpha=0.5, label=label)
    axes[2].set(xlabel="cos(positive) - cos(negative)", ylabel="hinge of a triple")
    axes[2].legend(frameon=False, fontsize=6)
    return fig
