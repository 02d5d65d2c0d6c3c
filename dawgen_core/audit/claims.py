"""The paper's claims (`params/claims.yaml`) and what a run says of each: holds, does not hold, cannot tell."""

from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError, model_validator

from dawgen_core.artifacts import Runs
from dawgen_core.audit import statistics
from dawgen_core.data.profiles import load_task, read_yaml
from dawgen_core.params import PARAMS, Name, ParamsError, Positive, Profile, Rate, Record

FILE = PARAMS / "claims.yaml"
Arm = Annotated[list[Name], Field(min_length=2, max_length=2)]
BACKBONES = ("T5-large", "Flan-T5-large")


class Claim(Record):
    """Arm against arm, each (generator, method); on some tasks and backbones of the paper only, where it says so."""

    says: str
    arm: Arm
    against: Arm
    source: Literal["table 1", "table 2", "table 3"]
    kind: Literal["better", "comparable"] = "better"
    tasks: list[Name] | None = None
    backbones: list[Literal[BACKBONES]] = list(BACKBONES)


class Claims(Record):
    """All claims and the rule by which each is decided."""

    alpha: Annotated[float, Field(gt=0, lt=0.5)]
    seeds: Positive
    smallest_effect: Rate
    margin: Rate
    fit: list[Name]
    claims: dict[Name, Claim]

    @model_validator(mode="after")
    def _decidable(self) -> "Claims":
        if (least := 2.0 ** (1 - self.seeds)) >= self.alpha:
            raise ValueError(f"seeds: expected enough for p < {self.alpha}, found {self.seeds} (smallest p {least})")
        return self


def load() -> Claims:
    """Errors: ParamsError with the key and what was found."""
    try:
        return Claims.model_validate(read_yaml(FILE))
    except ValidationError as error:
        lines = [f"{FILE.name}, {'.'.join(map(str, e['loc']))}: {e['msg']}, found {e['input']!r}" for e in error.errors()]
        raise ParamsError("\n".join(lines)) from error


def backbone_of(profile: Profile) -> str:
    """The paper's backbone that a profile's classifier stands for."""
    return BACKBONES["flan" in profile.classifier.model.lower()]


def decide(claim: Claim, rule: Claims, points: pd.Series, p: float) -> str:
    """The verdict from one difference per seed, in points, and its p-value after correction."""
    low, high = statistics.t_interval(points)
    if len(points) < rule.seeds or not np.isfinite([low, high]).all():
        return "cannot tell"
    if claim.kind == "comparable":
        return "holds" if low > -rule.margin else "does not hold" if high < -rule.margin else "cannot tell"
    if high < rule.smallest_effect or (p < rule.alpha and points.mean() < 0):
        return "does not hold"
    return "holds" if p < rule.alpha else "cannot tell"


def tasks_of(claim: Claim, profile: Profile, among: list[str] | None = None) -> list[str]:
    """The profile's tasks that a claim is about (and that are among these); twins stand for their originals."""
    names = {task: task.removeprefix("pocket_") for task in profile.tasks}
    return [t for t, name in names.items() if (claim.tasks is None or name in claim.tasks) and (not among or name in among)]


def differences(ledger: pd.DataFrame, claim: Claim, tasks: list[str]) -> pd.DataFrame | None:
    """Arm minus other in points, [seeds, tasks]; a method that draws nothing has one value for all seeds. None: not run."""
    arms = [_arm(ledger, generator, method, tasks) for generator, method in (claim.arm, claim.against)]
    if any(arm is None for arm in arms):
        return None
    if list(arms[1].index) == [-1]:  # it draws nothing: one value for all seeds
        return (100 * (arms[0] - arms[1].iloc[0])).dropna()
    seeds = [seed for seed in arms[0].index if seed in arms[1].index]
    return (100 * (arms[0].loc[seeds] - arms[1].loc[seeds])).dropna()


def _arm(ledger: pd.DataFrame, generator: str, method: str, tasks: list[str]) -> pd.DataFrame | None:
    chosen = ledger[(ledger["generator"] == generator) & (ledger["method"] == method) & ledger["task"].isin(tasks)]
    if set(chosen["task"]) != set(tasks) or not tasks:
        return None
    return chosen.assign(seed=chosen["seed"].fillna(-1)).pivot(index="seed", columns="task", values="accuracy")[tasks]


def judged(ledger: pd.DataFrame, profile: Profile, runs: Runs) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(one line per claim, one per claim and task): published effect, ours with its interval, p, verdict, runs used."""
    rule, backbone, lines, by_task = load(), backbone_of(profile), [], []
    asked = [claim for claim in rule.claims.values() if backbone in claim.backbones]
    found = [differences(ledger, claim, tasks_of(claim, profile)) for claim in asked]
    raw = [float("nan") if one is None or claim.kind == "comparable" else statistics.sign_flip(one.mean(axis=1))
           for claim, one in zip(asked, found, strict=True)]  # fmt: skip
    for claim, one, p, holm in zip(asked, found, raw, statistics.holm(raw), strict=True):
        line = {"claim": claim.says, f"paper ({backbone})": published(claim, backbone)}
        if one is None or one.empty:
            lines.append(line | {"this run": "not run", "verdict": "cannot tell", "n": 0})
            continue
        tasks, points = list(one.columns), one.mean(axis=1)
        low, high = statistics.t_interval(points)
        wide = statistics.bootstrap(_rights(ledger, claim, tasks, list(one.index), runs))
        lines.append(line | {
            "this run": f"{points.mean():+.2f}", "95 % over seeds": f"{low:+.2f} to {high:+.2f}",
            "95 % over seeds and rows": f"{100 * wide[0]:+.2f} to {100 * wide[1]:+.2f}", "p (sign flip)": _number(p, 3),
            "p (Holm over claims)": _number(holm, 3),
            "p (paired t)": "-" if claim.kind == "comparable" else _number(statistics.paired_t(points), 3),
            "detectable": _number(statistics.detectable(points), 2), "n": len(points),
            "verdict": decide(claim, rule, points, holm), "on fit tasks": _on_fit(ledger, claim, rule, profile),
        })  # fmt: skip
        each = [statistics.sign_flip(one[task]) for task in tasks]
        for task, p_task, adjusted in zip(tasks, each, statistics.holm(each), strict=True):
            by_task.append({
                "claim": claim.says, "task": load_task(task).title, "this run": f"{one[task].mean():+.2f}",
                "95 % over seeds": "{:+.2f} to {:+.2f}".format(*statistics.t_interval(one[task])),
                "p (sign flip)": _number(p_task, 3), "p (Holm)": _number(adjusted, 3), "n": len(one),
            })  # fmt: skip
    return pd.DataFrame(lines).fillna(""), pd.DataFrame(by_task)


def _on_fit(ledger: pd.DataFrame, claim: Claim, rule: Claims, profile: Profile) -> str:
    """The effect and the verdict (its p-value uncorrected) on the tasks where right pairs are known to help."""
    found = differences(ledger, claim, tasks_of(claim, profile, rule.fit))
    if found is None or found.empty:
        return "-"
    points = found.mean(axis=1)
    return f"{points.mean():+.2f}: {decide(claim, rule, points, statistics.sign_flip(points))}"


def p_values(ledger: pd.DataFrame, profile: Profile, runs: Runs) -> pd.DataFrame:
    """Ours against FT, task by task, as the paper's table of p-values, with what each test can carry.

    The two-sample t-test is the likeliest reading of the paper's; the other two pair the arms by seed; Holm over the tasks.
    McNemar's test asks rows, not seeds: it says in how many seeds the two trained models differ, nothing of the methods.
    """
    claim, backbone = load().claims["ours_ft"], backbone_of(profile)
    printed = pd.read_csv(PARAMS / "published" / "p_values_ours_vs_ft.csv").set_index("backbone").loc[backbone]
    arms = {task: [_arm(ledger, g, m, [task]) for g, m in (claim.arm, claim.against)] for task in profile.tasks}
    if any(arm is None for pair in arms.values() for arm in pair):
        return pd.DataFrame()
    rows = []
    for task, (ours, ft) in arms.items():
        seeds = [seed for seed in ours.index if seed in ft.index]
        one, other = 100 * ours.loc[seeds, task], 100 * ft.loc[seeds, task]
        names = [runs.name(runs.condition(task, seed, *arm)) for arm in (claim.arm, claim.against) for seed in seeds]
        right = [right_answers(runs, name) for name in names]
        differ = sum(statistics.of_these_prompts(a, b) < 0.05 for a, b in zip(right, right[len(seeds) :], strict=False))
        value = printed.get(load_task(task).title.upper().removeprefix("POCKET "))
        rows.append({"task": load_task(task).title, f"paper ({backbone})": "" if pd.isna(value) else f"{value:g}",
                     "Ours - FT": f"{(one - other).mean():+.2f}", "two-sample t": statistics.unpaired_t(one, other),
                     "paired t": statistics.paired_t(one - other), "sign flip": statistics.sign_flip(one - other),
                     "seeds whose models differ (McNemar)": f"{differ} of {len(seeds)}"})  # fmt: skip
    frame = pd.DataFrame(rows)
    frame.insert(6, "sign flip, Holm", statistics.holm(frame["sign flip"]))
    tests = ["two-sample t", "paired t", "sign flip", "sign flip, Holm"]
    return frame.assign(**{name: [_number(p, 3) for p in frame[name]] for name in tests})


def _number(value: float, digits: int) -> str:
    """A number as text, "-" where there is none to tell."""
    return f"{value:.{digits}f}" if np.isfinite(value) else "-"


def _rights(ledger: pd.DataFrame, claim: Claim, tasks: list[str], seeds: list[int], runs: Runs) -> list[np.ndarray]:
    """Per task [S, B]: arm minus other, each 1 where a test row was answered rightly."""
    names = ledger.set_index([ledger["task"], ledger["seed"].fillna(-1), ledger["generator"], ledger["method"]])["name"]
    out = []
    for task in tasks:
        sides = []
        for arm in (claim.arm, claim.against):
            own = [(task, seed, *arm) if (task, seed, *arm) in names.index else (task, -1, *arm) for seed in seeds]
            sides.append(np.stack([right_answers(runs, names[key]) for key in own]).astype(float))
        out.append(sides[0] - sides[1])
    return out


def right_answers(runs: Runs, name: str) -> np.ndarray:
    """Which test rows a condition answered rightly, [B], in the order of row ids."""
    columns = ["row_id", "label", "predicted_best"]
    frame = pd.read_parquet(runs.root / name / "predictions.parquet", columns=columns).sort_values("row_id")
    return (frame["predicted_best"] == frame["label"]).to_numpy()


ROWS = {"syn": ("no", "no"), "paired": ("yes", "no"), "paired_surgery": ("yes", "yes")}
NAMES = {"fewgen": "FewGen", "dawgen": "DawGen"}
STRATEGY = {"pooled": "Real+Syn", "paired": "(Real, Syn)"}
METHOD = {"paired_surgery": "Ours", "real": "Prompt Tuning", "prompting": "Prompting", "in_context": "In-Context",
          "fine_tuning": "FT", "pft": "PFT", "pft_soft_prompt": "PFT + soft prompt", "ppt": "PPT (T5-XXL)",
          "spot": "SPoT (8-shot, copied)", "optima": "OPTIMA (8-shot, copied)"}  # fmt: skip
FILES = {"table 1": "table1_main", "table 2": "table2_combination", "table 3": "table3_ablation"}


def published(claim: Claim, backbone: str) -> str:
    """The paper's difference: on AVG, or mean over the claim's tasks."""
    table = pd.read_csv(PARAMS / "published" / f"{FILES[claim.source]}.csv")
    table = table[table["backbone"] == backbone]
    cells = ["AVG"] if claim.tasks is None else [task.upper() for task in claim.tasks]
    values = [table.loc[_line(table, claim.source, *arm), cells].mean(axis=1).item() for arm in (claim.arm, claim.against)]
    return f"{values[0] - values[1]:+.2f}"


def _line(table: pd.DataFrame, source: str, generator: str, method: str) -> pd.Series:
    if source == "table 1":
        return table["method"] == METHOD[method]
    own = table["generator"] == NAMES[generator]
    if source == "table 2":
        return own & (table["strategy"] == STRATEGY[method])
    return own & (table["real"] == ROWS[method][0]) & (table["gradient_surgery"] == ROWS[method][1])
