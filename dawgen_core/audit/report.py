"""The audit of a set of labelled pairs: every measure with its interval, next to real rows of equal size, and its flag."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dawgen_core.audit import copies, diversity, labelling, limits, shortcuts, two_sample
from dawgen_core.audit.intervals import Drawn, Figure, Mean, Share

NAN = float("nan")


class AuditError(ValueError):
    """Rows that cannot be audited; says what was expected and what was found."""


class Measure(NamedTuple):
    """group: where it stands; unit: share or number; worse: higher, lower or either; level: the flag past the limit."""

    group: str
    unit: str
    worse: str
    level: str


Figures = dict[tuple[str, str], Figure]  # by measure and label ("" for all rows)

MEASURES = {
    "in the test set": Measure("leaks", "share", "higher", "red"),
    "nearly in the test set": Measure("leaks", "share", "higher", "amber"),
    "in the few-shot set": Measure("leaks", "share", "higher", "amber"),
    "in dev": Measure("leaks", "share", "higher", "amber"),
    "in the reference": Measure("leaks", "share", "higher", "amber"),
    "wrong labels (oracle)": Measure("labels", "share", "higher", "red"),
    "outside the grammar (oracle)": Measure("labels", "share", "higher", "red"),
    "agreement with a classifier of real rows": Measure("labels", "share", "lower", "red"),
    "wrong labels, estimated": Measure("labels", "share", "higher", ""),
    "suspected labels (confident learning)": Measure("labels", "share", "higher", "amber"),
    "exact copies of sentence 1": Measure("copies", "share", "higher", "red"),
    "copies but for punctuation": Measure("copies", "share", "higher", "red"),
    "near copies of sentence 1": Measure("copies", "share", "higher", "red"),
    "sentence 2 repeated": Measure("duplicates", "share", "higher", "red"),
    "sentence 2 nearly repeated": Measure("duplicates", "share", "higher", "red"),
    "same pair, another label": Measure("duplicates", "share", "higher", "red"),
    **dict.fromkeys((f"label told by {view}" for view in shortcuts.VIEWS), Measure("shortcuts", "share", "higher", "red")),
    "strongest give-away": Measure("shortcuts", "share", "higher", "red"),
    "told from real by sentence 1": Measure("distribution", "number", "higher", "amber"),
    "told from real by sentence 2": Measure("distribution", "number", "higher", "amber"),
    "told from real by overlap": Measure("distribution", "number", "higher", "amber"),
    "told from real by lengths": Measure("distribution", "number", "higher", "amber"),
    "distance of the model's states (MMD)": Measure("distribution", "number", "higher", ""),
    "words of sentence 1": Measure("diversity", "number", "either", "amber"),
    "words of sentence 2": Measure("diversity", "number", "either", "amber"),
    "distinct-1": Measure("diversity", "number", "lower", "amber"),
    "distinct-2": Measure("diversity", "number", "lower", "amber"),
    "distinct-3": Measure("diversity", "number", "lower", "amber"),
    "self-BLEU": Measure("diversity", "number", "higher", "amber"),
    "compression ratio": Measure("diversity", "number", "higher", "amber"),
    "vocabulary growth": Measure("diversity", "number", "lower", "amber"),
    "most frequent opening": Measure("diversity", "share", "higher", "amber"),
}  # fmt: skip
FIXED = {**dict.fromkeys((name for name, what in MEASURES.items() if what.group == "leaks"), limits.LEAKED),
         "wrong labels (oracle)": limits.WRONG, "outside the grammar (oracle)": limits.WRONG}  # fmt: skip
COPIES = {"exact copies of sentence 1": "exact", "copies but for punctuation": "bare", "near copies of sentence 1": "near"}
REPEATS = {"sentence 2 repeated": "exact", "sentence 2 nearly repeated": "near"}
ORACLE = {"wrong labels (oracle)": "label_right", "outside the grammar (oracle)": "in_grammar"}
NOTES = {"wrong labels, estimated": "if these pairs are as hard as real ones",
         "in the test set": "left out of all else", "in the reference": "asked of classifiers that have not seen them",
         **dict.fromkeys((f"label told by {view}" for view in shortcuts.VIEWS), "accuracy over chance")}  # fmt: skip
TOLD = {"told from real by sentence 1": "sentence 1 only", "told from real by sentence 2": "sentence 2 only",
        "told from real by overlap": "overlap only", "told from real by lengths": "lengths only"}  # fmt: skip
COLUMNS = ["label", "group", "measure", "unit", "value", "low", "high", "reference", "difference", "difference_low",
           "difference_high", "limit", "flag", "note", "n", "n_per_class"]  # fmt: skip
BY_CLASS = ("labels", "shortcuts")  # groups whose figures are means over classes: as uncertain as the smallest one


@dataclass
class Audit:
    """measures: a row each (COLUMNS), red flags first; n: rows behind the figure, n_per_class: those that its limit is for.
    rows: all, with `flags`. telling: `shortcuts.telling`. audited: rows per class that the figures are of (but leaks).
    warnings: what could not be judged, in sentences."""

    measures: pd.DataFrame
    rows: pd.DataFrame
    telling: pd.DataFrame
    audited: dict[str, int]
    warnings: list[str]

    @property
    def red(self) -> pd.DataFrame:
        """The measures with a red flag."""
        return self.measures[self.measures["flag"] == "red"]


@dataclass
class Side:
    """Rows of one side, with what is asked for often: bare sentences, copies, and whom each sentence 2 repeats."""

    rows: pd.DataFrame
    bare: pd.DataFrame
    copied: pd.DataFrame
    kinds: pd.DataFrame

    @classmethod
    def of(cls, rows: pd.DataFrame, progress: bool = False) -> "Side":
        """Looks everything up, once."""
        return cls(rows, shortcuts.plain(rows), copies.copies(rows), copies.kinds(rows["sentence2"], progress=progress))

    def part(self, index: pd.Index) -> "Side":
        """Some of its rows."""
        return Side(*(frame.loc[index] for frame in (self.rows, self.bare, self.copied, self.kinds)))


@dataclass
class Reference:
    """Real rows to hold several sets against: what was measured for a size is kept."""

    rows: pd.DataFrame
    _seen: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = _checked(self.rows, "the reference")
        self.pairs = copies.Pairs(self.rows)

    def matched(self, rows: pd.DataFrame, seed: int) -> tuple[pd.Index, Side, Figures]:
        """As many rows of each class on both sides, drawn with the seed: those of the set, the real ones, their figures."""
        n, m = (frame["label"].value_counts() for frame in (rows, self.rows))
        sizes = {label: int(min(n[label], m[label])) for label in sorted(n.index)}
        key = (seed, *sizes.items())
        if key not in self._seen:
            side = Side.of(self.rows.loc[_drawn(self.rows, sizes, seed)])
            self._seen[key] = side, measured(side, seed + 1)
        return _drawn(rows, sizes, seed), *self._seen[key]

    def too_small(self, rows: pd.DataFrame) -> str:
        """Why it can not judge these rows: a class has fewer real rows than a limit is known for, and than there are to
        audit. Errors: AuditError for other labels."""
        n, m = (frame["label"].value_counts() for frame in (rows, self.rows))
        if set(n.index) != set(m.index):
            raise AuditError(f"expected rows and reference to have the same labels, found {sorted(n.index)} "
                             f"and {sorted(m.index)}")  # fmt: skip
        few = [f"{m[label]} of class {label}" for label in sorted(m.index) if m[label] < min(limits.fewest(), n[label])]
        wanted = f"expected {limits.fewest()} or more of every class"
        return f"the reference has too few rows and is not used: {wanted}, found {', '.join(few)}" if few else ""


def audit(
    rows: pd.DataFrame, real: pd.DataFrame | Reference | None = None, *, test: pd.DataFrame | copies.Pairs | None = None,
    few_shot: pd.DataFrame | None = None, dev: pd.DataFrame | None = None,
    vectors: tuple[NDArray, NDArray] | None = None, seed: int = 0, progress: bool = False,
) -> Audit:  # fmt: skip
    """Measures labelled pairs (sentence1, sentence2, label), where there are real rows against as many of them per class.

    Rows that stand in `test` are counted and left out of all else. vectors: [B, D] of both sides by a frozen model, for MMD.
    Columns label_right and in_grammar hold an oracle's verdicts, if any. With fewer than 50 rows per class there are
    figures and, but for leaks and the oracle's, no flags; with fewer real rows the figures stand alone. Errors: AuditError.
    """
    rows, found = _checked(rows, "the rows"), []
    marks, stay = pd.DataFrame(index=rows.index), np.ones(len(rows), bool)
    if test is not None:
        test = test if isinstance(test, copies.Pairs) else copies.Pairs(_checked(test, "the test set", labelled=False))
        marks["in the test set"] = ~(stay := ~test.held(rows))
        marks["nearly in the test set"] = stay & test.nearly_held(rows, progress=progress)
    for name, other in (("the few-shot set", few_shot), ("dev", dev)):
        if other is not None:
            marks[f"in {name}"] = copies.Pairs(_checked(other, name, labelled=False)).held(rows)
    found += [_row(name, "", Share(held), note=NOTES.get(name, "")) for name, held in marks.items()]
    if not stay.any():
        raise AuditError("expected rows that do not stand in the test set, found none")
    whole, warnings = Side.of(rows[stay], progress), []
    own, other, theirs = whole, None, {}
    if real is not None:
        real = real if isinstance(real, Reference) else Reference(real)
        held = Share(pd.Series(real.pairs.held(whole.rows), index=whole.rows.index))
        marks["in the reference"] = held.marks.reindex(rows.index, fill_value=False)
        found.append(_row("in the reference", "", held, note=NOTES["in the reference"]))
        warnings += [why] if (why := real.too_small(whole.rows)) else []
        if not why:
            index, other, theirs = real.matched(whole.rows, seed)
            own = whole.part(index)
    figures, sizes = measured(own, seed), own.rows["label"].value_counts().sort_index().to_dict()
    found += [_row(*key, figure, theirs.get(key), sizes, NOTES.get(key[0], "")) for key, figure in figures.items()]
    few = shortcuts.sample(own.bare, seed=seed)
    told = shortcuts.telling(few, other and shortcuts.sample(other.bare, seed=seed))
    for label, part in told.groupby("label", sort=True):
        top = part.iloc[0]
        note = f"“{top['ngram']}”: in {top['in_class']:.1%} of the class, in {top['elsewhere']:.1%} elsewhere"
        against = None if other is None else Drawn(top["real_gap"])
        figure = Drawn(top["gap"], n=int(few["label"].eq(label).sum()))
        found.append(_row("strongest give-away", label, figure, against, sizes, note))
    if other is not None:
        both = _compared(own, other, real.rows, seed)
        found += [_row(name, "", *pair, sizes, NOTES.get(name, "")) for name, pair in both.items()]
    if vectors is not None:
        apart = Drawn(two_sample.mmd(*vectors), n=len(vectors[0]))
        found.append(_row("distance of the model's states (MMD)", "", apart, None, sizes))
    if short := [f"{n} of class {label}" for label, n in sizes.items() if n < limits.fewest()]:
        warnings.append(f"too few rows to judge: expected {limits.fewest()} or more of every class, "
                        f"found {', '.join(short)}; a figure without a limit raises no flag")  # fmt: skip
    marks = marks.join(_marks(whole)).fillna(False)
    suspected = figures.get(("suspected labels (confident learning)", ""))
    if suspected is not None:
        marks["suspected label"] = suspected.marks.reindex(marks.index, fill_value=False)
    return Audit(_in_order(found), rows.assign(flags=_joined(marks.astype(bool))), told, sizes, warnings)


def measured(side: Side, seed: int = 0) -> Figures:
    """Everything that one set says by itself."""
    out: Figures = {}
    for label in ["", *sorted(side.rows["label"].unique())]:
        part = side.part(side.rows.index[side.rows["label"].eq(label) | (not label)])
        out |= {(name, label): Share(part.copied[column]) for name, column in COPIES.items()}
        out |= {(name, label): Share(part.kinds[column].duplicated()) for name, column in REPEATS.items()}
        for name in ("sentence1", "sentence2"):
            out[f"words of sentence {name[-1]}", label] = Mean(part.rows[name].str.split().str.len())
        described = diversity.describe(part.bare["sentence2"])
        out |= {(name, label): Drawn(value, n=len(part.rows)) for name, value in described.items()}
    out["same pair, another label", ""] = Share(_two_labels(side.bare))
    for name, column in ORACLE.items():
        if column in side.rows and side.rows[column].notna().any():
            out[name, ""] = Share(~side.rows[column].dropna().astype(bool))
    few = shortcuts.sample(side.bare, seed=seed)
    if few["label"].nunique() > 1:
        seen = {view: Drawn(*shortcuts.view(view, few, seed), len(few)) for view in shortcuts.VIEWS}
        out |= {(f"label told by {view}", ""): figure for view, figure in seen.items()}
        suspected = labelling.suspects(few)
        if suspected is not None:
            out["suspected labels (confident learning)", ""] = Share(pd.Series(suspected, index=few.index))
    return out


def _compared(own: Side, other: Side, real: pd.DataFrame, seed: int) -> dict[str, tuple[Figure, Figure | None]]:
    """What only both sides together say: how well they are told apart, what a classifier of real rows says of the labels."""
    out, few = {}, [shortcuts.sample(side.bare, shortcuts.MOST // 2, seed) for side in (own, other)]
    for name, view in TOLD.items():
        out[name] = Drawn(*two_sample.auc(*few, view, seed=seed), len(few[0])), Drawn(0.5, np.full(1, 0.5))
    part, n_classes = shortcuts.sample(own.bare, seed=seed), own.rows["label"].nunique()
    if n_classes > 1 and real["label"].value_counts().min() >= labelling.PLENTY:
        plenty = shortcuts.plain(shortcuts.sample(real, seed=seed))
        right_B, right_R = labelling.agreement(part, plenty)
        one = Drawn(*shortcuts.balanced(right_B, part["label"].to_numpy(), seed=seed), len(part))
        two = Drawn(*shortcuts.balanced(right_R, plenty["label"].to_numpy(), seed=seed + 1))
        out["agreement with a classifier of real rows"] = one, two
        rates = [labelling.error_rate(a, b, n_classes) for a, b in zip(one.draws, two.draws, strict=True)]
        error = labelling.error_rate(one.value, two.value, n_classes)
        out["wrong labels, estimated"] = Drawn(error, np.array(rates), len(part)), None
    return out


def _row(
    measure: str, label: str, own: Figure, other: Figure | None = None, sizes: dict | None = None, note: str = ""
) -> list:  # fmt: skip
    """A line of the table: figure, reference, difference, limit, flag. sizes: audited rows per class."""
    what, (value, low, high) = MEASURES[measure], own.shown()
    n = per_class(what.group, label, sizes) if sizes else 0
    reference, apart = (NAN, (NAN, NAN)) if other is None else (other.shown()[0], own.apart(other))
    alone = reference != reference
    limit = FIXED.get(measure, limits.limit(measure, "class" if label else "all", "alone" if alone else "against", n))
    seen = value if alone or measure in FIXED else limits.excess(what.worse, value - reference)
    return [label, what.group, measure, what.unit, value, low, high, reference, value - reference, *apart, limit,
            what.level if seen > limit else "", note, own.n, n]  # fmt: skip


def per_class(group: str, label: str, sizes: dict[str, int]) -> int:
    """The rows per class whose limit a figure is held against: its own class's; of the smallest class where every class
    counts alike; else as many as there are on average."""
    if group in BY_CLASS:
        return min(sizes.values())
    return sizes[label] if label else sum(sizes.values()) // len(sizes)


def _in_order(found: list[list]) -> pd.DataFrame:
    """Red flags first, then amber, then the order of MEASURES."""
    frame, rank, place = pd.DataFrame(found, columns=COLUMNS), {"red": 0, "amber": 1, "": 2}, list(MEASURES).index
    order = frame.assign(rank=frame["flag"].map(rank), place=frame["measure"].map(place))
    return frame.loc[order.sort_values(["rank", "place", "label"], kind="stable").index].reset_index(drop=True)


def _drawn(rows: pd.DataFrame, sizes: dict[str, int], seed: int) -> pd.Index:
    parts = [rows[rows["label"] == label].sample(size, random_state=seed).index for label, size in sizes.items()]
    return rows.index[rows.index.isin(np.concatenate(parts))]


def _checked(rows: pd.DataFrame, name: str, labelled: bool = True) -> pd.DataFrame:
    """With a fresh index and labels as text; of others than the audited rows, labels may be lacking."""
    wanted = ["sentence1", "sentence2", *["label"] * labelled]
    missing = set(wanted) - set(rows.columns)
    if missing or not len(rows):
        raise AuditError(f"{name}: expected rows with {', '.join(wanted)}, "
                         f"found {'no ' + ', '.join(sorted(missing)) if missing else 'no rows'}")  # fmt: skip
    for column in ("sentence1", "sentence2"):
        good = rows[column].map(lambda text: isinstance(text, str) and bool(text.strip()))
        if not good.all():
            place = int(np.argmin(good))
            raise AuditError(f"{name}, row {place}: expected text in {column}, found {rows[column].iloc[place]!r}")
    if not labelled:
        return rows.reset_index(drop=True)
    good = rows["label"].notna() & rows["label"].astype(str).str.strip().ne("")
    if not good.all():
        place = int(np.argmin(good))
        raise AuditError(f"{name}, row {place}: expected a label, found {rows['label'].iloc[place]!r}")
    return rows.assign(label=rows["label"].map(_text)).reset_index(drop=True)


def _text(label: object) -> str:
    """A label as text: 1 and 1.0 (a column of numbers with a gap elsewhere) are the same."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def _marks(side: Side) -> pd.DataFrame:
    """The flags of single rows."""
    copied, repeated = side.copied, side.kinds.apply(pd.Series.duplicated)
    marks = {"exact copy": copied["exact"], "copy": copied["bare"] & ~copied["exact"],
             "near copy": copied["near"] & ~copied["bare"], "repeated": repeated["exact"],
             "nearly repeated": repeated["near"] & ~repeated["exact"],
             "another label too": _two_labels(side.bare)}  # fmt: skip
    if "label_right" in side.rows:
        marks["wrong label"] = side.rows["label_right"].eq(False).fillna(False)
    if "in_grammar" in side.rows:
        marks["outside the grammar"] = side.rows["in_grammar"].eq(False).fillna(False)
    return pd.DataFrame(marks).astype(bool)


def _two_labels(bare: pd.DataFrame) -> pd.Series:
    return bare.groupby(["sentence1", "sentence2"], sort=False)["label"].transform("nunique") > 1


def _joined(marks: pd.DataFrame) -> list[str]:
    names = np.array(marks.columns)
    return [",".join(names[row]) for row in marks.to_numpy()]
