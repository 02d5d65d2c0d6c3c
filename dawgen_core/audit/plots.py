"""The figures of the study."""

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from dawgen_core.audit.tables import GENERATORS, TABLE_3
from dawgen_core.figures import WIDE
from dawgen_core.tasks import load_task

BOXES = {
    "real": (0.9, 2.6, "16 real pairs\nper class", "#ffffff"),
    "q": (3.0, 3.4, "prompt $Q_\\ell$ per label\n(tuned: weights $W$, alignment)", "#f3d9a4"),
    "lm": (3.0, 1.8, "generator (CTRL)\nfrozen", "#d6dce4"),
    "syn": (5.3, 2.6, "1000 synthetic\npairs per class", "#ffffff"),
    "surgery": (7.4, 2.6, "gradient surgery\n$d_{syn}$ loses what conflicts\nwith $d_{real}$", "#cfe8d5"),
    "p": (9.6, 3.4, "soft prompt $P$\n(tuned)", "#f3d9a4"),
    "t5": (9.6, 1.8, "classifier (T5)\nfrozen", "#d6dce4"),
}
ARROWS = [("real", "q"), ("q", "lm"), ("lm", "syn"), ("syn", "surgery"), ("surgery", "p"), ("p", "t5")]


def framework() -> Figure:
    """The method in one picture: what is tuned (warm), what is frozen (grey), what flows where."""
    fig, ax = plt.subplots(figsize=(WIDE, 2.5))
    for x, y, text, colour in BOXES.values():
        ax.text(x, y, text, ha="center", va="center", fontsize=7,
                bbox={"boxstyle": "round,pad=0.45", "fc": colour, "ec": "#444444", "linewidth": 0.8})  # fmt: skip
    for start, end in ARROWS:
        (x0, y0, *_), (x1, y1, *_) = BOXES[start], BOXES[end]
        ax.annotate("", xy=(x1, y1), xytext=(x0, y0), arrowprops={
            "arrowstyle": "-|>", "color": "#444444", "shrinkA": 30 if x0 != x1 else 16, "shrinkB": 34 if x0 != x1 else 16,
        })  # fmt: skip
    ax.annotate("", xy=(7.4, 1.95), xytext=(0.9, 2.05), arrowprops={
        "arrowstyle": "-|>", "color": "#444444", "connectionstyle": "bar,fraction=-0.19", "shrinkA": 2, "shrinkB": 2})  # fmt: skip
    ax.text(4.3, 0.55, "real pairs train $P$ too", ha="center", fontsize=7, color="#444444")
    for x, title in ((2.0, "1  tune the generator's prompts"), (5.3, "2  generate"), (8.5, "3  tune the classifier's prompt")):
        ax.text(x, 4.35, title, ha="center", fontsize=8, weight="bold")
    ax.set(xlim=(0, 10.6), ylim=(0.2, 4.6))
    ax.axis("off")
    return fig


def ablation(ledger: pd.DataFrame, tasks: list[str], note: str) -> Figure:
    """Table 3 as points: every seed a dot, the mean a bar; the majority class as a line."""
    names = {"syn": "synthetic only", "paired": "+ real", "paired_surgery": "+ real + surgery"}
    chosen = ledger[ledger["method"].isin([m for *_, m in TABLE_3])].copy()
    chosen["accuracy"] *= 100
    chosen["generator"] = chosen["generator"].map(GENERATORS)
    fig, axes = plt.subplots(1, len(tasks), figsize=(WIDE, 2.7), sharey=True, squeeze=False, layout="constrained")
    order = [g for g in GENERATORS.values() if g in set(chosen["generator"])]
    for ax, task in zip(axes[0], tasks, strict=True):
        part = chosen[chosen["task"] == task].assign(setting=lambda d: d["method"].map(names))
        look = {"data": part, "x": "generator", "y": "accuracy", "hue": "setting", "order": order,
                "hue_order": list(names.values()), "ax": ax, "dodge": True}  # fmt: skip
        sns.stripplot(**look, size=3, jitter=False, legend=False)
        sns.pointplot(**(look | {"dodge": 0.53}), linestyle="none", marker="_", markersize=9, errorbar=None, legend=ax is axes[0][0])
        ax.axhline(100 * part["majority"].iloc[0], color="#777777", linewidth=0.8, linestyle=":")
        ax.set(title=load_task(task).title, xlabel="", ylabel="test accuracy (%)")
        ax.tick_params(axis="x", rotation=30)
    handles, labels = axes[0][0].get_legend_handles_labels()
    axes[0][0].get_legend().remove()
    fig.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    fig.supxlabel(f"dots: seeds; bars: means; dotted: majority class. {note}", fontsize=7)
    return fig


def conflict(trace: pd.DataFrame, window: int) -> Figure:
    """Share of conflicting steps and cosine of the two gradients over training, running means per generator."""
    fig, axes = plt.subplots(1, 2, figsize=(WIDE, 2.4), layout="constrained")
    for ax, column, name in ((axes[0], "conflict", "share of conflicting steps"), (axes[1], "cosine", "cosine(real, synthetic)")):
        for kind, part in trace.groupby("generator", sort=False):
            mean = part.groupby("step")[column].mean().rolling(window, min_periods=1).mean()
            ax.plot(mean.index, mean, label=GENERATORS.get(kind, kind), linewidth=1.2)
        ax.axhline(0.5 if column == "conflict" else 0.0, color="#777777", linewidth=0.8, linestyle=":")
        ax.set(xlabel="step", ylabel=name)
    axes[0].legend(frameon=False, fontsize=7)
    return fig
