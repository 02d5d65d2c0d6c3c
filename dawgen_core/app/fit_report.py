"""What a finished `dawgen fit` says: figures with intervals, whether the synthetic pairs helped, audit, cards."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint
from tabulate import tabulate

from dawgen_core import artifacts
from dawgen_core.app import receipts
from dawgen_core.app.fitted import about_of
from dawgen_core.artifacts import NO_GENERATOR, Runs
from dawgen_core.audit import page, report, statistics
from dawgen_core.data import profiles
from dawgen_core.data.rows import TaskRows
from dawgen_core.params import ROOT, Profile

OURS = "Ours: real and synthetic pairs, surgery"
PLAIN = "prompt tuning on the real pairs"
METHODS = {OURS: ("dawgen", "paired_surgery"), PLAIN: (NO_GENERATOR, "real"),
           "prompt tuning on synthetic pairs only": ("dawgen", "syn"),
           "real and synthetic pairs, no surgery": ("dawgen", "paired"),
           "fine-tuning the whole model": (NO_GENERATOR, "fine_tuning"),
           "TF-IDF + logistic regression": (NO_GENERATOR, "tfidf_logistic")}  # fmt: skip
MAJORITY = "always the most frequent label"
USED = {PLAIN: " (dawgen predict --prompt real)", "fine-tuning the whole model": " (not saved here: scripts of your own)",
        "TF-IDF + logistic regression": " (not saved here: scikit-learn makes it in seconds)"}  # fmt: skip
PLENTY = 50  # labelled pairs per label from which they serve the audit as a reference
Marks = NDArray[np.bool_]  # [S, B]: seeds by held-out pairs, 1 where right


def write(folder: Path) -> dict[str, Any]:
    """Report, cards, prompts and pairs into the run folder; what it says, as in fit.json."""
    profile = profiles.load_profile(str(folder / f"{folder.name}.yaml"))
    runs, first, task = Runs.of(profile, str(folder.parent)), profile.seeds[0], profile.tasks[0]
    about = about_of(folder)
    right, folders = {}, {}
    for name, key in METHODS.items():
        folders[name] = [runs.condition(task, seed, *key) for seed in profile.seeds]
        results = [artifacts.verified(path, "condition") for path in folders[name]]
        frames = [pd.read_parquet(path / "predictions.parquet") for path in folders[name]]
        right[name] = np.stack([(frame["predicted_best"] == frame["label"]).to_numpy() for frame in frames])
    labels, weights = frames[0]["label"], results[0]["inputs"]["weights"]
    right[MAJORITY] = np.tile(labels == labels.value_counts().idxmax(), (len(profile.seeds), 1))
    table = pd.DataFrame([_line(name, marks) for name, marks in right.items()])
    for name, part in ((OURS, "prompt"), (PLAIN, "prompt_real")):
        _copied(folders[name][0], folder / part, ("adapter_model.safetensors", "adapter_config.json"))
    synthetic = runs.synthetic(task, first, "dawgen")
    _copied(synthetic, folder / "synthetic", ("synthetic.parquet", "README.md"))
    audited = _audit(profile, task, pd.read_parquet(synthetic / "synthetic.parquet"), first)
    red = [_flagged(row) for row in audited.red.itertuples()]
    about |= {"results": table.to_dict("records"), "verdict": verdict(right), "weights": weights,
              "red": red, "warnings": audited.warnings, "commit": receipts.commit()}  # fmt: skip
    card = _card(folder, profile, about)
    with artifacts.replacing(folder / "README.md") as part:
        part.write_text(card, encoding="utf-8")
    named = {"task": folder.name, "source": "DawGen"}
    examples = audited.rows[["label", "sentence1", "sentence2", "flags"]].assign(**named, seed=first)
    examples["label"] = examples["label"].map(about["names"])
    measures = audited.measures.assign(**named)
    measures["label"] = measures["label"].map(lambda name: about["names"].get(name, name))
    cards = {"Model card": card, "Data card": (folder / "synthetic" / "README.md").read_text(encoding="utf-8")}
    page.write(folder / "report.html", f"{folder.name}: a classifier and its synthetic pairs",
               f"{text(about)}\n\nBelow: what is in the synthetic pairs that it was tuned on.", measures, examples, cards)
    artifacts.write_json(folder / "fit.json", about)
    return about


def text(about: dict[str, Any]) -> str:
    """Figures and verdict, for people."""
    red = [f"Audit of the synthetic pairs: {len(about['red'])} red flags, first {about['red'][0]}."] if about["red"] else []
    return "\n".join([_table(about, "simple"), *_intervals(about), "", *about["verdict"], *red])


def _table(about: dict[str, Any], form: str) -> str:
    lines = [[line["method"], f"{line['accuracy']:.1%}", f"{line['low']:.1%} to {line['high']:.1%}"]
             for line in about["results"]]  # fmt: skip
    n, n_seeds = about["results"][0]["n"], about["results"][0]["seeds"]
    heads = ["method", f"right of {n} held out{f', mean of {n_seeds} seeds' if n_seeds > 1 else ''}", "95 % interval"]
    return tabulate(lines, heads, form, disable_numparse=True)


def _intervals(about: dict[str, Any]) -> list[str]:
    """What the table's intervals are, where a reader may wonder at their width."""
    n_seeds = about["results"][0]["seeds"]
    return [f"Intervals are of the mean over {n_seeds} seeds, drawn with the held-out pairs: few seeds, wide intervals "
            "(--seeds)."] if n_seeds > 1 else []  # fmt: skip


def _flagged(row) -> str:
    """`exact copies of sentence 1 (same): 12.0% (limit 4.0%)`."""
    of = f"{row.measure} ({row.label})" if row.label else row.measure
    limit = f" (limit {row.limit:.1%})" if np.isfinite(row.limit) else ""
    of += f", {row.note}" if row.measure.startswith("label told by") else ""
    return f"{of}: {row.value:.1%}{limit}" if row.unit == "share" else of


def verdict(right: dict[str, Marks]) -> list[str]:
    """Did the synthetic pairs help, against the same prompt without them? And what does as well or better with less?"""
    ours = right[OURS]
    (gain, low, high), (n_seeds, n) = difference(ours, right[PLAIN]), ours.shape
    seeds = f"{n_seeds} seeds" if n_seeds > 1 else "one seed: another may say otherwise"
    apart = f"{100 * gain:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f}, {n} held-out pairs, {seeds})"
    said = ("The synthetic pairs helped" if low > 0 else "The synthetic pairs did harm" if high < 0 else
            "Whether the synthetic pairs helped cannot be told")  # fmt: skip
    lines = [f"{said}: {apart}, against prompt tuning on the real pairs alone."]
    if n_seeds > 1:
        low_1, high_1 = proportion_confint(int(ours[0].sum()), n, method="wilson")
        lines.append(f"The prompt that is saved, of the first seed, has {ours[0].sum()} of {n} right ({ours[0].mean():.1%}, "
                     f"{low_1:.1%} to {high_1:.1%}).")  # fmt: skip
    simpler = {name: marks for name, marks in right.items() if name != OURS and "synthetic" not in name}
    best = max(simpler, key=lambda name: simpler[name].mean())
    if difference(ours[:1], right[MAJORITY][:1])[1] <= 0:
        lines.append("It is not shown to be better than always saying the most frequent label: do not use it as it is; "
                     "label more pairs, above all to hold out.")  # fmt: skip
        if best != MAJORITY and difference(simpler[best], right[MAJORITY])[1] > 0:
            lines.append(f"“{best}” is shown to be better than that: {simpler[best].mean():.1%}{USED.get(best, '')}.")
    elif simpler[best].mean() >= ours.mean():
        gain, low, high = difference(simpler[best], ours)
        lines.append(f"Use “{best}” instead{USED.get(best, '')}: {100 * gain:+.1f} points "
                     f"({100 * low:+.1f} to {100 * high:+.1f})"
                     f"{'' if low > 0 else ', which is no worse as far as can be told, and simpler'}.")  # fmt: skip
    elif low <= 0:
        more = ", or tune on more seeds (--seeds 10)" if 1 < n_seeds < 10 else ""
        lines.append(f"Label more pairs, above all to hold out{more}: that is what would decide it.")
    return lines


def difference(one: Marks, other: Marks) -> tuple[float, float, float]:
    """Of two shares of the same rows: `statistics.bootstrap` over seeds and rows; over the rows alone where there is one
    seed."""
    apart = one.astype(float) - other.astype(float)
    if len(apart) > 1:
        interval = statistics.bootstrap([apart])
    else:
        drawn = np.random.default_rng(0).choice(apart[0], (4000, apart.shape[1])).mean(1)
        interval = np.percentile(drawn, [2.5, 97.5])
    low, high = np.clip(interval, -1, 1)
    return float(apart.mean()), float(low), float(high)


def _line(name: str, marks: Marks) -> dict[str, Any]:
    """Wilson's interval for one set of answers; for several seeds that of `difference`, from nothing."""
    n_seeds, n = marks.shape
    if n_seeds == 1 or (marks == marks[0]).all():
        low, high = proportion_confint(int(marks[0].sum()), n, method="wilson")
    else:
        _, low, high = difference(marks, np.zeros_like(marks))
    mean = float(marks.mean())
    low, high = max(0.0, min(float(low), mean)), min(1.0, max(float(high), mean))  # rounding at 0 and 1
    return {"method": name, "accuracy": mean, "low": low, "high": high, "n": n, "seeds": n_seeds}


def _audit(profile: Profile, task: str, synthetic: pd.DataFrame, seed: int) -> report.Audit:
    """Against the user's other labelled pairs where there are plenty of each label."""
    rows = TaskRows(profiles.load_task(task), profile)
    (train, dev), pool = rows.few_shot(seed), rows.pool()
    real = pool if pool["label"].value_counts().min() >= PLENTY else None
    return report.audit(synthetic, real, test=rows.test(), few_shot=train, dev=dev, seed=seed)


def _copied(source: Path, target: Path, names: tuple[str, ...]) -> None:
    target.mkdir(exist_ok=True)
    for name in names:
        with artifacts.replacing(target / name) as part:
            shutil.copyfile(source / name, part)


def _card(folder: Path, profile: Profile, about: dict[str, Any]) -> str:
    """The model card: what it is, how it was made, how good it is, how to use it, what it is not."""
    red = "".join(f"- {line}\n" for line in [*about["red"], *about["warnings"]]) or "- no red flag\n"
    lines = "\n".join(f"    {line}" for line in about["lines"])
    place = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    random = "\n**Random model.** Its answers mean nothing.\n" if profile.random_models else ""
    base = "" if profile.classifier.is_tiny else f"base_model: {profile.classifier.model}\n"
    return f"""---
library_name: peft
{base}tags: [prompt-tuning, text-classification, synthetic]
---

# {folder.name}: which label does a pair of texts get?
{random}
A soft prompt for a frozen {profile.classifier.model}, tuned on {profile.shots} labelled pairs per label and on
{profile.generation.per_class} synthetic ones per label, with gradient surgery (Guo et al., COLM 2024), by `dawgen fit`.

```python
from dawgen_core.app.fitted import Fitted

classifier = Fitted.load("{place}")
print(classifier.predict([("one text", "another text")]))
```

From the shell: `dawgen predict {place} new.csv`. `prompt/` is in PEFT's own format: the text goes into the template
below, `[MASK]` is T5's first sentinel, and the classes are scored by the label words at that place.

## How it was made

{lines}

## How good it is

{_table(about, "github")}

{" ".join(_intervals(about))}

{" ".join(about["verdict"])}

## What is wrong with its synthetic pairs

{red}
[report.html](report.html) shows all figures and the pairs themselves.

## Limits

- Measured on held-out pairs of the same file: other text, other answers. The prompt here is that of the first seed.
- Probabilities are not calibrated.
- What the models and the pairs carry of error and prejudice, the classifier carries on.
"""
