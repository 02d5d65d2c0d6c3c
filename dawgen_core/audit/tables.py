"""The paper's tables from the ledger alone: mean over seeds, standard deviation, n."""

import math

import pandas as pd
from scipy import stats

from dawgen_core.data.profiles import load_task
from dawgen_core.params import PARAMS, Profile

TABLE_1 = [("Prompting", "none", "prompting"), ("Hand prompt", "none", "hand_prompt"), ("FT", "none", "fine_tuning"),
           ("Prompt Tuning", "none", "real"), ("Ours", "dawgen", "paired_surgery"),
           ("Prompt Tuning on oracle pairs", "oracle", "syn")]  # fmt: skip
TABLE_2 = [("Real+Syn", "pooled"), ("Real+Syn+LS", "pooled_smoothed"), ("Real->Syn", "real_then_syn"),
           ("Syn->Real", "syn_then_real"), ("(Real, Syn)", "paired")]  # fmt: skip
TABLE_3 = [("no", "no", "syn"), ("yes", "no", "paired"), ("yes", "yes", "paired_surgery")]
GENERATORS = {"mle": "MLE", "fewgen": "FewGen", "dawgen": "DawGen", "fewgen_original": "FewGen (its own net and batches)",
              "fewgen_released": "FewGen (released rows)", "oracle": "Oracle"}  # fmt: skip


def cell(values: pd.Series) -> str:
    """Accuracy in percent: mean ± sample standard deviation over seeds (n); one value has no spread."""
    values = values.dropna() * 100
    if not len(values):
        return "not run"
    if len(values) == 1:
        return f"{values.iloc[0]:.1f} (n=1)"
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f} (n={len(values)})"


def _row(ledger: pd.DataFrame, generator: str, method: str, tasks: list[str]) -> dict[str, str]:
    chosen = ledger[(ledger["generator"] == generator) & (ledger["method"] == method)]
    return {load_task(t).title: cell(chosen.loc[chosen["task"] == t, "accuracy"]) for t in tasks}


def table_1(ledger: pd.DataFrame, profile: Profile) -> pd.DataFrame:
    """Main results, first version: majority class, Prompting, FT, Prompt Tuning, Ours; in the pocket world its bounds."""
    share = ledger.groupby("task")["majority"].first() * 100
    majority = {load_task(t).title: f"{share[t]:.1f}" for t in profile.tasks}
    rows = [{"method": "Majority class", **majority}]
    there = set(zip(ledger["generator"], ledger["method"], strict=True))
    rows += [{"method": name, **_row(ledger, generator, method, profile.tasks)}
             for name, generator, method in TABLE_1 if (generator, method) in there]  # fmt: skip
    return pd.DataFrame(rows)


def table_2(ledger: pd.DataFrame, profile: Profile) -> pd.DataFrame:
    """Ways to combine real and synthetic rows, without surgery (the paper has no smoothed row for DawGen)."""
    return pd.DataFrame([
        {"generator": GENERATORS[generator], "strategy": name, **_row(ledger, generator, method, profile.tasks)}
        for generator in ("fewgen", "dawgen") for name, method in TABLE_2
    ])  # fmt: skip


def table_3(ledger: pd.DataFrame, profile: Profile) -> pd.DataFrame:
    """Ablation: generator x real data x surgery (Ours = DawGen, yes, yes)."""
    rows = []
    for generator in [g for g in GENERATORS if g in set(ledger["generator"]) and g != "oracle"]:
        for real, surgery, method in TABLE_3:
            row = _row(ledger, generator, method, profile.tasks)
            rows.append({"generator": GENERATORS[generator], "real": real, "gradient surgery": surgery} | row)
    return pd.DataFrame(rows)


# What is compared: name, generator, then (generator, method) of both sides in our ledger, then their lines in the paper
# (Table 3: generator, real, surgery; Table 1: method).
EFFECTS = [("real pairs beside synthetic", kind, (kind, "syn"), (kind, "paired"), TABLE_3[0], TABLE_3[1])
           for kind in ("fewgen", "dawgen")]  # fmt: skip
EFFECTS += [("surgery", kind, (kind, "paired"), (kind, "paired_surgery"), TABLE_3[1], TABLE_3[2])
            for kind in ("fewgen", "dawgen")]  # fmt: skip
EFFECTS += [(f"alignment, {words}", "dawgen", ("fewgen", line[2]), ("dawgen", line[2]), line, line)
            for words, line in zip(("synthetic only", "+ real", "+ real + surgery"), TABLE_3, strict=True)]  # fmt: skip
EFFECTS += [(f"Ours minus {name}", "dawgen", ("none", method), ("dawgen", "paired_surgery"), name, "Ours")
            for name, method in (("Prompt Tuning", "real"), ("FT", "fine_tuning"))]  # fmt: skip


def effects(ledger: pd.DataFrame, profile: Profile) -> pd.DataFrame:
    """Differences of accuracy in points: the paper's (on AVG) beside ours, paired by seed, each seed's mean over tasks, with
    the 95 % interval of Student's t over seeds."""
    backbone = "Flan-T5-large" if "flan" in profile.classifier.model.lower() else "T5-large"
    columns = ["generator", "method", "task"]
    per_seed = ledger.dropna(subset="seed").pivot_table(index="seed", columns=columns, values="accuracy")
    per_seed = 100 * per_seed.sort_index(axis=1)
    rows = []
    for name, kind, before, after, *lines in EFFECTS:
        if not {before, after} <= {column[:2] for column in per_seed.columns}:
            continue
        gain = (per_seed[after] - per_seed[before]).mean(axis=1, skipna=False).dropna()
        printed = _published(backbone, after[0], lines[1]) - _published(backbone, before[0], lines[0])
        found = {f"paper ({backbone}, AVG)": f"{printed:+.2f}", f"this run ({profile.profile})": f"{gain.mean():+.2f}"}
        found |= {"95 % interval": interval(gain), "n": len(gain)}
        rows.append({"effect": name, "generator": GENERATORS[kind], **found})
    return pd.DataFrame(rows)


def _published(backbone: str, generator: str, line: str | tuple[str, str, str]) -> float:
    """A cell of column AVG: of Table 1 by its method, of Table 3 by generator, real and surgery."""
    is_method = isinstance(line, str)
    table = pd.read_csv(PARAMS / "published" / f"{'table1_main' if is_method else 'table3_ablation'}.csv")
    table = table[table["backbone"] == backbone]
    keys = ["method"] if is_method else ["generator", "real", "gradient_surgery"]
    return float(table.set_index(keys)["AVG"].loc[line if is_method else (GENERATORS[generator], *line[:2])])


def interval(values: pd.Series) -> str:
    """The 95 % interval of a mean by Student's t, "-" for fewer than two values.

    >>> interval(pd.Series([1.0, 2.0, 3.0]))
    '-0.48 to +4.48'
    """
    if len(values) < 2:
        return "-"
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return f"{values.mean() - half:+.2f} to {values.mean() + half:+.2f}"


def oracle(judged: pd.DataFrame, profile: Profile) -> pd.DataFrame:
    """What the oracle says of generated pairs (`anatomy.judged`): right labels among pairs that can be read, pairs in the
    grammar; mean ± standard deviation over seeds; what alignment changes, with its 95 % interval. Empty without verdicts.
    """
    means = 100 * judged.groupby(["source", "task", "seed"])[["label_right", "in_grammar"]].mean().astype(float)
    kinds = [kind for kind in GENERATORS if kind in set(judged["source"]) and kind != "oracle"]
    rows = []
    for column, name in (("label_right", "right labels"), ("in_grammar", "in the grammar")):
        found = {(kind, task): means[column].loc[kind, task] for kind in kinds for task in profile.tasks}
        for kind in kinds:
            cells = {load_task(task).title: cell(found[kind, task] / 100) for task in profile.tasks}
            rows.append({"share of pairs": name, "generator": GENERATORS[kind]} | cells)
        if {"fewgen", "dawgen"} <= set(kinds):
            gains = {load_task(t).title: found["dawgen", t] - found["fewgen", t] for t in profile.tasks}
            cells = {title: f"{gain.mean():+.1f} ({interval(gain)})" for title, gain in gains.items()}
            rows.append({"share of pairs": name, "generator": "DawGen minus FewGen"} | cells)
    return pd.DataFrame(rows)


def caption(ledger: pd.DataFrame, profile: Profile, what: str, measure: str | None = None) -> str:
    """What a table shows, on which rows, with which models: every table says it."""
    rows = ledger.groupby("task", sort=False)["shown_as"].first()
    shown = "; ".join(f"{load_task(task).title}: {rows[task]}" for task in profile.tasks)
    models = "RANDOM TINY MODELS, the numbers mean nothing" if profile.random_models else profile.classifier.model
    if profile.source == "pocket":
        models += ", which met sister tasks in four other domains and, in the hand prompt, a form of its training"
    tuning = profile.prompt_tuning
    chosen = "the last of each tuning" if tuning.eval_every >= tuning.steps else "chosen on dev"
    measure = measure or f"Test accuracy in percent, mean ± standard deviation over seeds (n), tuned prompts {chosen}."
    return f"{what} {measure} Profile `{profile.profile}` ({models}). Test sets: {shown}."
