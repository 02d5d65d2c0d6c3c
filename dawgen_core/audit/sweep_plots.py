"""The figures and tables of notebook 06: what changes with shots, pairs, their quality, the generator, an option."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dawgen_core.audit.figures import WIDE
from dawgen_core.audit.statistics import crossing, t_interval
from dawgen_core.audit.tables import interval
from dawgen_core.data.profiles import load_task

NAMES = {"real": "Prompt Tuning", "fine_tuning": "FT", "lora": "LoRA", "paired_surgery": "with surgery (Ours)",
         "paired": "without surgery"}  # fmt: skip
MARKS = ("o-", "s--", "^:", "D-.", "v-")  # told apart in greyscale by mark and dash
DAMAGES = {"flips": "labels flipped", "copies": "sentence 2 = sentence 1", "duplicates": "one row repeated",
           "off_topic": "sentence 2 of another row"}  # fmt: skip


def _curve(ax: Axes, part: pd.DataFrame, mark: str, label: str) -> None:
    """Means over seeds with Student's 95 % intervals, in percent."""
    points = part.groupby("x")["accuracy"].agg(list)
    mean = np.array([100 * np.mean(values) for values in points])
    spans = [t_interval(100 * np.array(v)) if len(v) > 1 else (m, m) for v, m in zip(points, mean, strict=True)]
    ax.errorbar(points.index, mean, yerr=np.abs(np.array(spans).T - mean), fmt=mark, markersize=3.5, linewidth=1.1,
                elinewidth=0.7, capsize=2, label=label)  # fmt: skip


def _panels(found: pd.DataFrame, n: int = 0) -> tuple[Figure, list[Axes], list[str]]:
    tasks = list(found["task"].unique())
    fig, axes = plt.subplots(1, n or len(tasks), figsize=(WIDE, 2.6), squeeze=False, layout="constrained", sharey=True)
    return fig, list(axes[0]), tasks


def shots(found: pd.DataFrame) -> Figure:
    """Accuracy over labelled pairs per class: a panel per task, a line per method."""
    found = found[found["sweep"] == "shots"]
    fig, axes, tasks = _panels(found)
    for ax, task in zip(axes, tasks, strict=True):
        for mark, (method, part) in zip(MARKS, found[found["task"] == task].groupby("method", sort=False), strict=False):
            _curve(ax, part, mark, "Ours" if method == "paired_surgery" else NAMES.get(method, method))
        ax.set_xscale("log", base=2)
        ax.set_xticks(sorted(found["x"].unique()), [f"{x:g}" for x in sorted(found["x"].unique())])
        ax.set(title=load_task(task).title, xlabel="labelled pairs per class")
    axes[0].set_ylabel("test accuracy (%)")
    axes[0].legend(frameon=False, fontsize=7)
    return fig


def crossings(found: pd.DataFrame, shots: int = 16) -> pd.DataFrame:
    """How many labelled pairs per class each method needs to reach what Ours reaches with `shots`, with 95 % intervals."""
    found, rows = found[found["sweep"] == "shots"], []
    for task, part in found.groupby("task", sort=False):
        ours = part[(part["method"] == "paired_surgery") & (part["x"] == shots)].set_index("seed")["accuracy"]
        for method, own in part[part["method"] != "paired_surgery"].groupby("method", sort=False):
            curve = own.pivot(index="seed", columns="x", values="accuracy").loc[ours.index]
            at, low, high = crossing(list(curve.columns), curve.to_numpy(), ours.to_numpy())
            least, most = min(curve.columns), max(curve.columns)
            said = [f"more than {most:g}" if np.isinf(v) else f"at most {least:g}" if v <= least else f"{v:.0f}"
                    for v in (at, low, high)]  # fmt: skip
            rows.append({"task": load_task(task).title, "method": NAMES.get(method, method), "pairs per class": said[0],
                         "95 % (bootstrap of seeds)": f"{said[1]} to {said[2]}", "n": len(ours)})  # fmt: skip
    return pd.DataFrame(rows)


def rows_and_size(found: pd.DataFrame) -> Figure:
    """Left: accuracy over synthetic pairs per class. Right: over the generator's width. A mark per task."""
    fig, axes = plt.subplots(1, 2, figsize=(WIDE, 2.6), layout="constrained", sharey=True)
    part = found[found["sweep"] == "rows"]
    for mark, ((task, method), one) in zip(MARKS, part.groupby(["task", "method"], sort=False), strict=False):
        _curve(axes[0], one, mark, f"{load_task(task).title}, {NAMES[method]}")
    axes[0].set(xlabel="synthetic pairs per class", ylabel="test accuracy (%)", title="how many pairs")
    axes[0].legend(frameon=False, fontsize=6)
    part = found[(found["sweep"] == "size") & found["accuracy"].notna()]
    for mark, (task, one) in zip(MARKS, part.groupby("task", sort=False), strict=False):
        _curve(axes[1], one, mark, load_task(task).title)
    axes[1].set(xlabel="width of the generator", title="how large a generator")
    axes[1].set_xticks(sorted(part["x"].unique()))
    axes[1].legend(frameon=False, fontsize=7)
    return fig


def damage(found: pd.DataFrame) -> Figure:
    """Accuracy over the share of damaged pairs: a row per task, a panel per kind, with and without surgery."""
    part = found[found["sweep"] == "damage"]
    tasks = list(part["task"].unique())
    fig, axes = plt.subplots(len(tasks), 4, figsize=(WIDE, 0.6 + 1.7 * len(tasks)), squeeze=False, layout="constrained",
                             sharex=True, sharey="row")  # fmt: skip
    for ax, title in zip(axes[0], DAMAGES.values(), strict=True):
        ax.set_title(title, fontsize=7)
    for line, task in zip(axes, tasks, strict=True):
        for ax, kind in zip(line, DAMAGES, strict=True):
            here = part[(part["task"] == task) & (part["arm"] == kind)]
            for mark, (method, one) in zip(MARKS, here.groupby("method", sort=False), strict=False):
                _curve(ax, one.assign(x=100 * one["x"]), mark, NAMES[method])
        line[0].set_ylabel(f"{load_task(task).title}\ntest accuracy (%)")
    axes[0][0].legend(frameon=False, fontsize=6)
    fig.supxlabel("damaged synthetic pairs (%)", fontsize=8)
    return fig


SEEN = {"label_right": "right labels (%)", "in_grammar": "in the grammar (%)", "share": "of the cache (%)"}


def changes(found: pd.DataFrame, sweep: str, base: str) -> pd.DataFrame:
    """Per variant of a sweep: difference from the base, paired by seed, mean over tasks, its interval; labels beside."""
    part = found[found["sweep"] == sweep]
    wide = part.pivot_table(index="seed", columns=["arm", "task"], values="accuracy", sort=False)
    rows = []
    for arm in part["arm"].unique():
        own = part[part["arm"] == arm]
        if own["accuracy"].isna().any():
            lacking = ", ".join(load_task(task).title for task in own.loc[own["accuracy"].isna(), "task"].unique())
            rows.append({"variant": arm, "accuracy": f"set not filled: {lacking}", "difference": "", "n": 0})
            continue
        gain = 100 * (wide[arm] - wide[base]).mean(axis=1)
        said = ("", "") if arm == base else (f"{gain.mean():+.2f}", interval(gain))
        line = {"variant": arm, "accuracy": f"{100 * own['accuracy'].mean():.1f}"}
        line |= dict(zip(("difference", "95 % interval"), said, strict=True))
        for column, name in SEEN.items():
            if column in own and own[column].notna().any():
                line[name] = f"{100 * own[column].mean():.1f}"
        rows.append(line | {"n": len(gain)})
    return pd.DataFrame(rows).fillna("")


def sensitivity(table: pd.DataFrame) -> Figure:
    """Differences from the profile's options as points with their intervals, the largest first."""
    shown = table[table["difference"] != ""].assign(at=lambda t: t["difference"].astype(float)).sort_values("at")
    fig, ax = plt.subplots(figsize=(WIDE, 0.6 + 0.25 * len(shown)), layout="constrained")
    for y, row in enumerate(shown.itertuples()):
        ax.plot(row.at, y, "o", color="#222222", markersize=4)
        if "to" in (span := shown["95 % interval"].iloc[y]):
            ax.plot([float(v) for v in span.split(" to ")], [y, y], color="#222222", linewidth=0.9)
    ax.axvline(0, color="#777777", linewidth=0.8, linestyle=":")
    ax.set_yticks(range(len(shown)), shown["variant"])
    ax.set_ylim(-0.6, len(shown) - 0.4)
    ax.set_xlabel("points of accuracy against the profile's options (95 % over seeds)")
    return fig
