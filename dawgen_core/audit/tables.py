"""The paper's tables from the ledger alone: mean over seeds, standard deviation, n."""

import pandas as pd

from dawgen_core.audit.statistics import t_interval
from dawgen_core.data.profiles import changes, load_task
from dawgen_core.methods import METHODS
from dawgen_core.params import PARAMS, Profile

OWN = {"real": "Prompt Tuning", "paired_surgery": "Ours", "syn": "Prompt Tuning on oracle pairs"}
BEFORE = {"soft_verbalizer": ("none", "real"), "ours_from_ppt": ("dawgen", "paired_surgery")}  # where tables put them
MACRO_F1 = "Macro-F1 in percent, mean ± standard deviation over seeds (n)."
RULES = [("none", "paired"), ("one-sided (Ours)", "paired_surgery"), ("symmetric (PCGrad)", "paired_symmetric"),
         ("drop", "paired_drop")]  # fmt: skip
TABLE_2 = [("Real+Syn", "pooled"), ("Real+Syn+LS", "pooled_smoothed"), ("Real->Syn", "real_then_syn"),
           ("Syn->Real", "syn_then_real"), ("(Real, Syn)", "paired")]  # fmt: skip
TABLE_3 = [("no", "no", "syn"), ("yes", "no", "paired"), ("yes", "yes", "paired_surgery")]
MOST_CHANGES = 6  # named in a caption
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


def _row(ledger: pd.DataFrame, generator: str, method: str, tasks: list[str], value: str = "accuracy") -> dict[str, str]:
    """A cell per task and AVG: per seed the mean over tasks, then as any cell; "not run" where a task lacks all seeds."""
    chosen = ledger[(ledger["generator"] == generator) & (ledger["method"] == method)]
    cells = {load_task(t).title: cell(chosen.loc[chosen["task"] == t, value]) for t in tasks}
    if len(tasks) == 1:
        return cells
    per_seed = chosen.assign(seed=chosen["seed"].fillna(-1)).pivot_table(index="seed", columns="task", values=value)
    whole = per_seed.reindex(columns=tasks).mean(axis=1, skipna=False)
    return cells | {"AVG": cell(whole)}


def rows_of_table_1(ledger: pd.DataFrame) -> list[tuple[str, str, str]]:
    """(name, generator, method) of what was run: methods in their order, Prompt Tuning, Ours and the oracle among them."""
    there, rows = set(zip(ledger["generator"], ledger["method"], strict=True)), []
    for name, row in METHODS.items():
        if name in BEFORE:
            rows.append((OWN[BEFORE[name][1]], *BEFORE[name]))
        rows.append((row.title, "dawgen" if "synthetic" in row.reads else "none", name))
    return [one for one in [*rows, (OWN["syn"], "oracle", "syn")] if one[1:] in there]


def table_1(ledger: pd.DataFrame, profile: Profile, value: str = "accuracy") -> pd.DataFrame:
    """Main results: majority class and chance, every compared method, Prompt Tuning, Ours; in the pocket world its bounds.

    value: `accuracy`, or `macro_f1` (which majority and chance have not).
    """
    rows = []
    if value == "accuracy":
        share = ledger.groupby("task")["majority"].first() * 100
        chance = {task: 100 / len(load_task(task).labels) for task in profile.tasks}
        for name, level in (("Majority class", share), ("Chance", chance)):
            cells = {load_task(task).title: f"{level[task]:.1f}" for task in profile.tasks}
            mean = sum(level[t] for t in profile.tasks) / len(profile.tasks)
            rows.append({"method": name, "trained": "0", **cells, **({"AVG": f"{mean:.1f}"} if len(cells) > 1 else {})})
    for name, generator, method in rows_of_table_1(ledger):
        chosen = ledger[(ledger["generator"] == generator) & (ledger["method"] == method)]
        trained = f"{chosen['trainable'].mean():,.0f}" if "trainable" in chosen else ""
        rows.append({"method": name, "trained": trained, **_row(ledger, generator, method, profile.tasks, value)})
    return pd.DataFrame(rows)


def table_2(ledger: pd.DataFrame, profile: Profile) -> pd.DataFrame:
    """Ways to combine real and synthetic rows, without surgery (the paper: FewGen, DawGen; no smoothed row for DawGen)."""
    return pd.DataFrame([
        {"generator": GENERATORS[generator], "strategy": name, **_row(ledger, generator, method, profile.tasks)}
        for generator in ("mle", "fewgen", "dawgen") for name, method in TABLE_2
        if generator != "mle" or ((ledger["generator"] == "mle") & (ledger["method"] == "pooled")).any()
    ])  # fmt: skip


def table_3(ledger: pd.DataFrame, profile: Profile) -> pd.DataFrame:
    """Ablation: generator x real data x surgery (Ours = DawGen, yes, yes)."""
    rows = []
    for generator in [g for g in GENERATORS if g in set(ledger["generator"]) and g != "oracle"]:
        for real, surgery, method in TABLE_3:
            row = _row(ledger, generator, method, profile.tasks)
            rows.append({"generator": GENERATORS[generator], "real": real, "gradient surgery": surgery} | row)
    return pd.DataFrame(rows)


def surgery_rules(ledger: pd.DataFrame, profile: Profile) -> pd.DataFrame:
    """What is done where the gradients conflict, real and synthetic rows in pairs; empty where one rule alone was run."""
    there = set(zip(ledger["generator"], ledger["method"], strict=True))
    kinds = [g for g in GENERATORS if (g, "paired_symmetric") in there]
    return pd.DataFrame([{"generator": GENERATORS[kind], "rule": name, **_row(ledger, kind, method, profile.tasks)}
                         for kind in kinds for name, method in RULES])  # fmt: skip


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
    return "{:+.2f} to {:+.2f}".format(*t_interval(values)) if len(values) > 1 else "-"


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
    changed = changes(profile)
    differs = f", which is `{profile.extends}` but for {'; '.join(changed)}" if 0 < len(changed) <= MOST_CHANGES else ""
    return f"{what} {measure} Profile `{profile.profile}`{differs} ({models}). Test sets: {shown}."
