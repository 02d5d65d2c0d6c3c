"""The pictures of notebook 00: what the package computed, drawn to be looked at."""

from collections.abc import Sequence

import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dawgen_core import surgery
from dawgen_core.audit.alignment import similarities, triples
from dawgen_core.audit.figures import WIDE

INK, GREY, WARM, COOL = "#222222", "#8a8a8a", "#d55e00", "#0072b2"  # the colours differ in greyscale too; so do the dashes


# ---------------------------------------------------------------- a soft prompt


def prompt_paths(path_SPD: Tensor, vocabulary_VD: Tensor, words: Sequence[str], losses: pd.DataFrame) -> Figure:
    """Where P's vectors go, step by step, among the words of the vocabulary; beside it the losses over the steps.

    path_SPD: P before every step and after the last. words: the word each of its vectors starts from. The plane holds most
    of the paths' spread (principal axes of their points). losses: a column per set of pairs, the index is the step.
    """
    fig, (plane, curve) = plt.subplots(1, 2, figsize=(WIDE, 2.7), layout="constrained", width_ratios=(1, 1.15))
    points_ND = path_SPD.flatten(0, 1)
    centre_D = points_ND.mean(0)
    axes_D2 = torch.linalg.svd(points_ND - centre_D, full_matrices=False).Vh[:2].T
    flat_V2, path_SP2 = (vocabulary_VD - centre_D) @ axes_D2, (path_SPD - centre_D) @ axes_D2
    plane.plot(*flat_V2.T, ".", color="#c4c4c4", markersize=2)
    for walk_S2, colour, mark, word in zip(path_SP2.unbind(1), (COOL, WARM, INK), "osD", words, strict=False):
        plane.plot(*walk_S2.T, "-", color=colour, linewidth=1.1)
        plane.plot(*walk_S2[0], mark, color="white", markeredgecolor=colour, markersize=5)
        plane.plot(*walk_S2[-1], mark, color=colour, markersize=5)
        plane.annotate(f"“{word}”", walk_S2[0], (5, 4), textcoords="offset points", fontsize=7, color=colour)
    plane.set(xticks=[], yticks=[])
    plane.set_xlabel("grey: all words; open mark: where it starts; full: where it ends", fontsize=6)
    plane.set_title(f"{len(words)} vectors leave their words", fontsize=8)
    for (name, values), dash, colour in zip(losses.items(), ("-", "--"), (INK, WARM), strict=False):
        curve.plot(losses.index, values, dash, color=colour, linewidth=1.3)
        end = losses.index[-1], values.iloc[-1]
        curve.annotate(name, end, (4, 2), textcoords="offset points", fontsize=7, color=colour)
    curve.set(xlabel="step", ylabel="cross-entropy (nats)", xlim=(0, 1.35 * losses.index[-1]), ylim=(0, None))
    curve.set_title("what it learns from, and what it never sees", fontsize=8)
    return fig


def accuracies(table: pd.DataFrame, chance: float, note: str = "") -> Figure:
    """A dot per row of the table at its accuracy, rows of one name side by side; an interval where there are low and high,
    else a bar at the mean. Dotted: chance, the accuracy of always saying the most frequent label."""
    names = list(dict.fromkeys(table["name"]))
    fig, ax = plt.subplots(figsize=(WIDE, 0.75 + 0.36 * len(names)), layout="constrained")
    for place, name in enumerate(names):
        own = 100 * table.loc[table["name"] == name, ["accuracy", *({"low", "high"} & set(table.columns))]]
        ax.plot(own["accuracy"], [place] * len(own), "o", color=COOL, markersize=5, alpha=0.75, zorder=3)
        if "low" in own:
            for low, high in zip(own["low"], own["high"], strict=True):
                ax.plot([low, high], [place, place], "-", color=INK, linewidth=1)
        else:
            ax.plot([own["accuracy"].mean()] * 2, [place - 0.25, place + 0.25], "-", color=INK, linewidth=1.5)
    ax.axvline(100 * chance, color=GREY, linewidth=0.9, linestyle=":")
    ax.annotate("majority class", (100 * chance, 1), (3, 1), xycoords=("data", "axes fraction"), textcoords="offset points",
                fontsize=6, color=GREY)  # fmt: skip
    ax.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5), xlabel=f"test accuracy (%). {note}")
    ax.xaxis.label.set_size(7)
    return fig


# ---------------------------------------------------------------- a false friend


def false_friends(leaning: pd.DataFrame, labels: tuple[str, str], named: Sequence[str], friend: str = "") -> Figure:
    """Every word by how it leans in the few-shot rows (`here`) and in the others (`elsewhere`), in points of a share.

    An honest word lies on the diagonal; one that leans in these rows alone, a false friend, on the horizontal axis. Words
    of `named` are written out, those at one place together; `friend` among them stands out.
    """
    fig, ax = plt.subplots(figsize=(WIDE, 3.0), layout="constrained")
    points = 100 * leaning
    most = 1.12 * points.abs().to_numpy().max()
    ax.axhline(0, color=GREY, linewidth=0.7)
    ax.axvline(0, color=GREY, linewidth=0.7)
    ax.plot([-most, most], [-most, most], ":", color=GREY, linewidth=0.9)
    ax.plot(points["here"], points["elsewhere"], "o", color=COOL, markersize=3, alpha=0.45)
    places: dict[tuple[float, float], list[str]] = {}
    for word in named:
        places.setdefault(tuple(points.loc[word, ["here", "elsewhere"]].round(6)), []).append(word)
    for (here, elsewhere), there in places.items():
        look = {"fontsize": 8, "color": WARM, "weight": "bold"} if friend in there else {"fontsize": 7, "color": INK}
        ax.plot(here, elsewhere, "o", color=WARM if friend in there else COOL, markersize=6 if friend in there else 4)
        up = 6 if elsewhere >= 0 else -11
        ax.annotate(", ".join(there), (here, elsewhere), (0, up), textcoords="offset points", ha="center", **look)
    tall = 1.5 * points["elsewhere"].abs().max() + 1
    ax.set(xlim=(-most, most), ylim=(-tall, tall), ylabel="in all other pairs",
           xlabel=f"more in {labels[0]}  ←  in the few-shot pairs (points)  →  more in {labels[1]}")  # fmt: skip
    ax.annotate("diagonal: leans alike in both", (tall, tall), (4, -3), textcoords="offset points", va="top", fontsize=6,
                color=GREY)  # fmt: skip
    return fig


# ---------------------------------------------------------------- alignment


def alignment_plane(
    vectors: dict[str, Tensor], labels: Sequence[int], names: Sequence[str], margin: float = 1.0, anchor: int = 0
) -> Figure:
    """Sentence vectors in a plane and the hinge (E5) of their triples, for each named reading of the same rows.

    The vectors are unit vectors, drawn by their shadow on the plane that holds most of all of them (no centring): the angle
    between two is then nearly the angle whose cosine counts, and the circle is where a vector lies that is wholly in the
    plane. Lines join the anchor row to its least similar positive and its most similar negative: its hardest triple.
    """
    unit = {name: F.normalize(z_BD.float(), dim=-1) for name, z_BD in vectors.items()}
    axes_D2 = torch.linalg.svd(torch.cat(list(unit.values())), full_matrices=False).Vh[:2].T
    axes_D2 = axes_D2 * torch.where(torch.cat(list(unit.values())).mean(0) @ axes_D2 < 0, -1.0, 1.0)
    fig, panels = plt.subplots(1, len(unit) + 1, figsize=(WIDE, 2.75), layout="constrained",
                               width_ratios=[1] * len(unit) + [1.2])  # fmt: skip
    marks = dict(zip(range(len(names)), zip("o^sDvP", (COOL, WARM, INK) * 2, strict=True), strict=False))
    *planes, hinge = panels
    found = {name: triples(z_BD, list(labels), margin) for name, z_BD in vectors.items()}
    for ax, (name, unit_BD) in zip(planes, unit.items(), strict=True):
        _plane(ax, unit_BD @ axes_D2, labels, marks, _hardest(unit_BD, labels, anchor))
        mean, share = found[name]["hinge"].mean(), (found[name]["hinge"] > 0).mean()
        ax.set_title(f"{name}\nmean hinge {mean:.2f}, {share:.0%} pull", fontsize=7)
    lowest = min(0.0, *(frame["gap"].min() for frame in found.values())) - 0.1
    for (name, frame), dash, grey in zip(found.items(), ("-", "--", "-."), (INK, "#666666", "#999999"), strict=False):
        height = [(i + 1) / len(frame) for i in range(len(frame))]
        hinge.plot(frame["gap"].sort_values(), height, dash, color=grey, linewidth=1.3, label=name)
    hinge.axvspan(lowest, margin, color=WARM, alpha=0.10, linewidth=0)
    hinge.axvline(margin, color=WARM, linewidth=1)
    hinge.set(xlim=(lowest, 2.0), ylim=(0, 1.02), yticks=[0, 0.5, 1])
    hinge.set_xlabel("cos(positive) − cos(negative)", fontsize=7)
    hinge.set_title(f"share of triples up to a gap\nleft of the margin {margin:g}: they pull", fontsize=7)
    hinge.legend(frameon=True, framealpha=1, edgecolor="none", fontsize=6, loc="lower right")
    hinge.tick_params(labelsize=6)
    _key(fig, marks, names)
    return fig


def _key(fig: Figure, marks: dict[int, tuple[str, str]], names: Sequence[str]) -> None:
    """What the marks and lines of the planes mean, under the figure."""
    dots = [plt.Line2D([], [], marker=mark, color=colour, linestyle="none", markersize=4) for mark, colour in marks.values()]
    ring = plt.Line2D([], [], marker="o", markerfacecolor="none", color=INK, linestyle="none", markersize=7)
    lines = [plt.Line2D([], [], color=INK, linewidth=1, linestyle=dash) for dash in ("-", ":")]
    said = [*names[: len(dots)], "anchor", "to its farthest row of its label", "to its nearest row of another label"]
    fig.legend([*dots, ring, *lines], said, loc="outside lower center", ncols=len(said), frameon=False, fontsize=6,
               columnspacing=1, handletextpad=0.4)  # fmt: skip


def _plane(ax: Axes, flat_B2: Tensor, labels: Sequence[int], marks: dict, triple: tuple[int, int, int]) -> None:
    anchor, positive, negative = triple
    ax.add_patch(plt.Circle((0, 0), 1, fill=False, color="#c4c4c4", linewidth=0.8))
    ax.plot(0, 0, "+", color=GREY, markersize=5)
    for other, dash in ((positive, "-"), (negative, ":")):
        ax.plot(*torch.stack([flat_B2[anchor], flat_B2[other]]).T, dash, color=INK, linewidth=1)
    for number, (mark, colour) in marks.items():
        own_N2 = flat_B2[torch.tensor(labels) == number]
        ax.plot(*own_N2.T, mark, color=colour, markersize=3.5, alpha=0.6, markeredgewidth=0)
    ax.plot(*flat_B2[anchor], "o", markersize=8, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1)
    ax.set(xlim=(-1.08, 1.08), ylim=(-1.08, 1.08), xticks=[], yticks=[], aspect="equal")
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)


def _hardest(unit_BD: Tensor, labels: Sequence[int], anchor: int) -> tuple[int, int, int]:
    """(anchor, its least similar row of its class, its most similar row of another): the triple with the largest hinge."""
    cosine_B = similarities(unit_BD)[anchor]
    same_B = torch.tensor(labels) == labels[anchor]
    positive_B = same_B & (torch.arange(len(labels)) != anchor)
    positive = cosine_B.where(positive_B, torch.inf).argmin().item()
    return anchor, positive, cosine_B.where(~same_B, -torch.inf).argmax().item()


# ---------------------------------------------------------------- surgery


def two_gradients(angle: float, length: float) -> tuple[Tensor, Tensor]:
    """(d_real, d_syn) in the plane: a real gradient of length 1 and a synthetic one `angle` degrees away from it."""
    turn = torch.deg2rad(torch.tensor(float(angle), dtype=torch.float64))
    return torch.tensor([1.0, 0.0], dtype=torch.float64), length * torch.stack([turn.cos(), turn.sin()])


def surgery_plane(angle: float = 135.0, length: float = 1.0, eps: float = 1.0) -> Figure:
    """Two gradients in a plane before and after surgery, and how far the update goes along the real one at every angle.

    All that is drawn comes from `surgery.project_conflicting` and `surgery.combine`; d_real has length 1.
    """
    fig, (plane, curve) = plt.subplots(1, 2, figsize=(WIDE, 3.0), layout="constrained", width_ratios=(1.25, 1))
    real_2, syn_2 = two_gradients(angle, length)
    left_2 = surgery.project_conflicting(syn_2, onto_real_N=real_2)
    update_2, report = surgery.combine(real_2, syn_2, eps=eps)
    plane.axvspan(-99, 0, color=WARM, alpha=0.10, linewidth=0)
    plane.axvline(1, color=GREY, linewidth=0.9, linestyle=":")
    plane.annotate("$d$ ends on this line\nor right of it", (1, 1), (4, -2), xycoords=("data", "axes fraction"), fontsize=6,
                   textcoords="offset points", va="top", color=GREY)  # fmt: skip
    if report.conflict:
        plane.plot(*torch.stack([syn_2, left_2]).T, ":", color=WARM, linewidth=1.3, gid="removed")
    _arrow(plane, syn_2, "d_syn", "$d_{syn}$", WARM, "--", (0, 5))
    if report.conflict:
        _arrow(plane, left_2, "projected", "after surgery", COOL, "-", (0, 4))
    _arrow(plane, real_2, "d_real", "$d_{real}$", INK, "-", (-14, -12))
    _arrow(plane, update_2, "update", "$d$", INK, "-", (9, 1), width=2.6)
    reach = 1.25 * max(1.2, *(one_2.abs().max().item() for one_2 in (syn_2, update_2)))
    plane.set(xlim=(-reach, reach), ylim=(-0.3 * reach, reach), aspect="equal")
    plane.axis("off")
    plane.annotate("against $d_{real}$", (0, 1), (-4, -4), xycoords=("data", "axes fraction"), textcoords="offset points",
                   ha="right", va="top", fontsize=7, color=WARM)  # fmt: skip
    said = "conflict" if report.conflict else "no conflict"
    plane.set_title(f"{angle:g}°, length {length:g}, ε = {eps:g}: {said}", fontsize=8)
    _progress(curve, angle, length, eps)
    return fig


def _progress(ax: Axes, angle: float, length: float, eps: float) -> None:
    """<d, d_real> / |d_real|^2 over the angle, with and without surgery; a dot at the angle of the plane."""
    real_A2, syn_A2 = map(torch.stack, zip(*(two_gradients(a, length) for a in range(181)), strict=True))
    for rule, name, dash, colour in (("none", "without surgery", "--", WARM), ("one_sided", "with surgery", "-", COOL)):
        along_A = torch.linalg.vecdot(surgery.combine(real_A2, syn_A2, eps=eps, rule=rule)[0], real_A2)
        ax.plot(range(181), along_A, dash, color=colour, linewidth=1.3, label=name, gid=rule)
        here = surgery.combine(*two_gradients(angle, length), eps=eps, rule=rule)[0][0]
        ax.plot(angle, here, "o", color=colour, markersize=5)
    ax.axhline(0, color=GREY, linewidth=0.7)
    ax.axvline(90, color=GREY, linewidth=0.7, linestyle=":")
    ax.set(xticks=range(0, 181, 45), xlabel="angle between the two (degrees)")
    ax.set_ylabel(r"$\langle d, d_{real}\rangle \; / \; |d_{real}|^2$", fontsize=8)
    ax.set_title("how far the update follows the real gradient", fontsize=8)
    ax.legend(frameon=False, fontsize=7)


def _arrow(
    ax: Axes, to_2: Tensor, gid: str, text: str, colour: str, dash: str, away: tuple[int, int], width: float = 1.5
) -> None:
    """An arrow from the origin, its name `away` points from its head."""
    look = {"arrowstyle": "-|>", "color": colour, "linewidth": width, "linestyle": dash, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", to_2.tolist(), (0, 0), arrowprops=look, gid=gid)
    ax.annotate(text, to_2.tolist(), away, textcoords="offset points", fontsize=8, color=colour, ha="center")
