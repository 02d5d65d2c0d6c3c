"""The paper's tables from the ledger alone: mean over seeds, standard deviation, n."""

import pandas as pd

from dawgen_core.data.profiles import load_task
from dawgen_core.params import PARAMS, Profile

TABLE_1 = [("Prompting", "none", "prompting"), ("Prompt Tuning", "none", "real"), ("Ours", "dawgen", "paired_surgery")]
TABLE_2 = [("Real+Syn", "pooled"), ("Real+Syn+LS", "pooled_smoothed"), ("Real->Syn", "real_then_syn"),
           ("Syn->Real", "syn_then_real"), ("(Real, Syn)", "paired")]  # fmt: skip
TABLE_3 = [("no", "no", "syn"), ("yes", "no", "paired"), ("yes", "yes", "paired_surgery")]
GENERATORS = {"mle": "MLE", "fewgen": "FewGen", "dawgen": "DawGen", "fewgen_original": "FewGen (its own net and batches)",
              "fewgen_released": "FewGen (released rows)"}  # fmt: skip


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
    """Main results, first version: majority class, Prompting, Prompt Tuning, Ours."""
    share = ledger.groupby("task")["majority"].first() * 100
    majority = {load_task(t).title: f"{share[t]:.1f}" for t in profile.tasks}
    rows = [{"method": "Majority class", **majority}]
    rows += [{"method": name, **_row(ledger, generator, method, profile.tasks)} for name, generator, method in TABLE_1]
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
    for generator in [g for g in GENERATORS if g in set(ledger["generator"])]:
        for real, surgery, method in TABLE_3:
            row = _row(ledger, generator, method, profile.tasks)
            rows.append({"generator": GENERATORS[generator], "real": real, "gradient surgery": surgery} | row)
    return pd.DataFrame(rows)


def effects(ledger: pd.DataFrame, profile: Profile) -> pd.DataFrame:
    """Differences of Table 3 in points: the paper's (on AVG) beside ours (on the mean over tasks), for the same backbone."""
    backbone = "Flan-T5-large" if "flan" in profile.classifier.model.lower() else "T5-large"
    published = pd.read_csv(PARAMS / "published" / "table3_ablation.csv")
    published = published[published["backbone"] == backbone].set_index(["generator", "real", "gradient_surgery"])["AVG"]
    mean = 100 * ledger.groupby(["generator", "method", "task"])["accuracy"].mean().groupby(level=[0, 1]).mean()
    steps = {"real pairs beside synthetic": (TABLE_3[0], TABLE_3[1]), "surgery": (TABLE_3[1], TABLE_3[2])}
    rows = []
    for name, (before, after) in steps.items():
        for kind in [k for k in ("fewgen", "dawgen") if (k, after[2]) in mean.index]:
            printed = published[GENERATORS[kind], *after[:2]] - published[GENERATORS[kind], *before[:2]]
            ours = mean[kind, after[2]] - mean[kind, before[2]]
            rows.append({"effect": name, "generator": GENERATORS[kind], f"paper ({backbone}, AVG)": round(printed, 2),
                         f"this run ({profile.profile})": round(ours, 2)})  # fmt: skip
    return pd.DataFrame(rows)


MEASURE = "Test accuracy in percent, mean ± standard deviation over seeds (n), tuned prompts chosen on dev."


def caption(ledger: pd.DataFrame, profile: Profile, what: str, measure: str = MEASURE) -> str:
    """What a table shows, on which rows, with which models: every table says it."""
    rows = ledger.groupby("task", sort=False)["shown_as"].first()
    shown = "; ".join(f"{load_task(task).title}: {rows[task]}" for task in profile.tasks)
    models = "RANDOM TINY MODELS, the numbers mean nothing" if profile.random_models else profile.classifier.model
    return f"{what} {measure} Profile `{profile.profile}` ({models}). Test sets: {shown}."
