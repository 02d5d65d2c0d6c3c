"""Style and deterministic saving of figures and tables: same numbers, same bytes."""

import re
from pathlib import Path

import matplotlib
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from dawgen_core.artifacts import replacing

WIDE = 6.8  # inches: a page's text
TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def style() -> None:
    """The look of every figure: quiet axes, colours that differ in greyscale, one hash salt for SVG."""
    sns.set_theme(context="paper", style="ticks", palette="colorblind")
    matplotlib.rcParams.update({
        "svg.hashsalt": "dawgen", "svg.fonttype": "none", "font.family": "DejaVu Sans",
        "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 110, "savefig.dpi": 200,
    })  # fmt: skip


def save_figure(fig: Figure, stem: Path) -> list[Path]:
    """STEM.svg and STEM.png, without dates, written atomically."""
    paths = []
    for suffix, metadata in ((".svg", {"Date": None, "Creator": None}), (".png", {"Software": None})):
        path = stem.with_name(stem.name + suffix)
        with replacing(path) as part:
            fig.savefig(part, format=suffix[1:], metadata=metadata, bbox_inches="tight")
        paths.append(path)
    return paths


def save_table(frame: pd.DataFrame, stem: Path, caption: str) -> list[Path]:
    """STEM.csv (plain), STEM.md and STEM.tex (with its caption), written atomically."""
    csv, md, tex = (stem.with_name(stem.name + suffix) for suffix in (".csv", ".md", ".tex"))
    with replacing(csv) as part:
        frame.to_csv(part, index=False, lineterminator="\n")
    with replacing(md) as part:
        part.write_text(f"{caption}\n\n{frame.to_markdown(index=False, disable_numparse=True)}\n", encoding="utf-8")
    with replacing(tex) as part:
        text = frame.to_latex(index=False, escape=True, column_format="l" * len(frame.columns), caption=_tex(caption),
                              label=f"tab:{stem.name}")  # fmt: skip
        part.write_text(text.replace("±", r"$\pm$"), encoding="utf-8")
    return [csv, md, tex]


def _tex(text: str) -> str:
    return re.sub(r"([#$%&_{}])|([\\~^])", lambda found: f"\\{found[1]}" if found[1] else TEX[found[2]], text)
