"""The tables, from ledgers written by hand."""

import doctest

import pandas as pd
import pytest

from dawgen_core.audit import anatomy, tables
from dawgen_core.data.profiles import changes, load_profile
from dawgen_core.params import PARAMS


@pytest.fixture(scope="module")
def ledger() -> pd.DataFrame:
    """Two tasks, two seeds; every strategy of Table 2 has its own accuracy, FewGen's rows are 0; mrpc lacks one strategy."""
    rows = []
    for n, (_, method) in enumerate(tables.TABLE_2):
        for task, generator, seed in [(t, g, s) for t in ("mrpc", "sick") for g in ("fewgen", "dawgen") for s in (13, 21)]:
            accuracy = 0.0 if generator == "fewgen" else 0.5 + n / 10 + (seed == 21) / 50
            rows.append({"task": task, "seed": seed, "generator": generator, "method": method, "accuracy": accuracy})
    rows = pd.DataFrame(rows)
    return rows[(rows["task"] != "mrpc") | (rows["method"] != "syn_then_real")]


def test_table_2_has_the_paper_s_rows_in_the_paper_s_order(ledger):
    published = pd.read_csv(PARAMS / "published" / "table2_combination.csv")
    printed = published[published["backbone"] == "T5-large"]
    table = tables.table_2(ledger, load_profile("smoke"))
    assert table.columns.tolist() == ["generator", "strategy", "MRPC", "SICK", "AVG"]
    ours = table[(table["generator"] != "DawGen") | (table["strategy"] != "Real+Syn+LS")]  # the paper has no such cell
    assert ours[["generator", "strategy"]].values.tolist() == printed[["generator", "strategy"]].values.tolist()


def test_table_2_by_pencil(ledger):
    # DawGen's pooled rows: 50 and 52 %, mean 51, sample sd sqrt(1 + 1) = 1.4; each next strategy 10 points more
    table = tables.table_2(ledger, load_profile("smoke")).set_index("generator").loc["DawGen"]
    assert set(tables.table_2(ledger, load_profile("smoke"))["SICK"][:5]) == {"0.0 ± 0.0 (n=2)"}  # FewGen's
    assert table["SICK"].tolist() == [f"{mean}.0 ± 1.4 (n=2)" for mean in (51, 61, 71, 81, 91)]
    assert table["MRPC"].tolist() == [*table["SICK"].iloc[:3], "not run", table["SICK"].iloc[4]]
    smoothed_once = ledger[(ledger["method"] != "pooled_smoothed") | (ledger["seed"] == 13)]
    assert tables.table_2(smoothed_once, load_profile("smoke"))["SICK"].iloc[6] == "60.0 (n=1)"


# ---------------------------------------------------------------- Table 1


def row(task: str, seed: int | None, generator: str, method: str, accuracy: float, majority: float = 0.5) -> dict:
    return {"task": task, "seed": seed, "generator": generator, "method": method, "accuracy": accuracy, "majority": majority}


EVERYTHING = [("none", "prompting"), ("none", "hand_prompt"), ("none", "fine_tuning"), ("none", "real"),
              ("dawgen", "paired_surgery"), ("dawgen", "syn"), ("oracle", "syn")]  # fmt: skip


def study(*conditions: tuple[str, str]) -> pd.DataFrame:
    """Two tasks; seeded conditions at 60 and 64 %, the others once at 40 %; the majority class is 50 and 57 %."""
    rows = []
    for generator, method in conditions:
        once = method in ("prompting", "hand_prompt")
        for task, majority in (("mrpc", 0.5), ("sick", 0.571)):
            for seed, accuracy in [(None, 0.4)] if once else [(13, 0.6), (21, 0.64)]:
                rows.append(row(task, seed, generator, method, accuracy, majority))
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def test_table_1_has_the_rows_that_were_run():
    smoke = load_profile("smoke")
    whole = tables.table_1(study(*EVERYTHING), smoke)
    assert whole["method"].tolist() == ["Majority class", "Chance", "Prompting", "Hand prompt", "FT", "Prompt Tuning",
                                        "Ours", "Prompt Tuning on oracle pairs"]  # fmt: skip
    fewer = tables.table_1(study(*EVERYTHING[:1], *EVERYTHING[3:6]), smoke)
    assert fewer["method"].tolist() == ["Majority class", "Chance", "Prompting", "Prompt Tuning", "Ours"]


def test_table_1_by_pencil():
    # mean of 60 and 64: 62, sample sd sqrt(4 + 4) = 2.8
    table = tables.table_1(study(*EVERYTHING), load_profile("smoke")).set_index("method")
    assert table.columns.tolist() == ["trained", "MRPC", "SICK", "AVG"]
    assert table.loc["Majority class"].tolist() == ["0", "50.0", "57.1", "53.5"]  # 53.55 is just below in binary
    assert table.loc["Chance"].tolist() == ["0", "50.0", "33.3", "41.7"]
    assert table.loc["Hand prompt"].tolist() == ["", *["40.0 (n=1)"] * 3]
    for name in ("FT", "Ours", "Prompt Tuning on oracle pairs"):
        assert table.loc[name].tolist() == ["", *["62.0 ± 2.8 (n=2)"] * 3]


def test_the_average_is_of_each_seed_s_tasks():
    # seed 13: 60 and 70, mean 65; seed 21: 64 and 62, mean 63: 64 and sd sqrt(2) = 1.4, where the tasks' own are 2.8 and 5.7
    rows = [row("mrpc", 13, "none", "real", 0.60), row("sick", 13, "none", "real", 0.70),
            row("mrpc", 21, "none", "real", 0.64), row("sick", 21, "none", "real", 0.62)]  # fmt: skip
    ledger, smoke = pd.DataFrame(rows).astype({"seed": "Int64"}), load_profile("smoke")
    line = tables.table_1(ledger, smoke).set_index("method").loc["Prompt Tuning"]
    assert line[["MRPC", "SICK", "AVG"]].tolist() == ["62.0 ± 2.8 (n=2)", "66.0 ± 5.7 (n=2)", "64.0 ± 1.4 (n=2)"]
    assert tables.table_1(ledger.iloc[:3], smoke).set_index("method").loc["Prompt Tuning", "AVG"] == "65.0 (n=1)"
    f1 = tables.table_1(ledger.assign(macro_f1=0.5), smoke, "macro_f1").set_index("method")
    assert list(f1.index) == ["Prompt Tuning"] and f1.loc["Prompt Tuning", "AVG"] == "50.0 ± 0.0 (n=2)"


def test_rules_of_surgery_where_more_than_one_was_run():
    rows = [row("mrpc", 13, kind, method, 0.6) for kind in ("fewgen", "dawgen") for _, method in tables.RULES]
    found = tables.surgery_rules(pd.DataFrame(rows).astype({"seed": "Int64"}), load_profile("smoke"))
    assert found[["generator", "rule"]].values.tolist() == [[g, r] for g in ("FewGen", "DawGen") for r, _ in tables.RULES]
    assert tables.surgery_rules(study(*EVERYTHING), load_profile("smoke")).empty


def test_oracle_rows_stand_in_table_1_only():
    ledger, smoke = study(*EVERYTHING), load_profile("smoke")
    assert "Prompt Tuning on oracle pairs" in set(tables.table_1(ledger, smoke)["method"])
    assert set(tables.table_3(ledger, smoke)["generator"]) == {"DawGen"}


# ---------------------------------------------------------------- effects

PAPER, HERE = "paper (T5-large, AVG)", "this run (smoke)"
COMPARED = [(kind, method) for kind in ("fewgen", "dawgen") for method in ("syn", "paired", "paired_surgery")]
COMPARED += [("none", "real"), ("none", "fine_tuning")]


def compared(leave_out: tuple = (), **changes: float) -> pd.DataFrame:
    """Every condition at 50 % on two tasks and three seeds, but where changes say otherwise ("dawgen_syn": +0.1)."""
    rows = [row(task, seed, generator, method, 0.5 + changes.get(f"{generator}_{method}", 0.0))
            for generator, method in COMPARED if (generator, method) not in leave_out
            for task in ("mrpc", "sick") for seed in (13, 21, 42)]  # fmt: skip
    return pd.DataFrame([*rows, row("mrpc", None, "none", "prompting", 0.1)]).astype({"seed": "Int64"})


def effects(ledger: pd.DataFrame, profile: str = "smoke") -> pd.DataFrame:
    return tables.effects(ledger, load_profile(profile)).set_index(["effect", "generator"])


# T5-large, column AVG: the printed numbers, subtracted by hand
PRINTED = {
    ("real pairs beside synthetic", "FewGen"): "+9.85",  # 59.51 - 49.66
    ("real pairs beside synthetic", "DawGen"): "+6.25",  # 59.99 - 53.74
    ("surgery", "FewGen"): "+1.74",  # 61.25 - 59.51
    ("surgery", "DawGen"): "+2.36",  # 62.35 - 59.99
    ("alignment, synthetic only", "DawGen"): "+4.08",  # 53.74 - 49.66
    ("alignment, + real", "DawGen"): "+0.48",  # 59.99 - 59.51
    ("alignment, + real + surgery", "DawGen"): "+1.10",  # 62.35 - 61.25
    ("Ours minus Prompt Tuning", "DawGen"): "+18.86",  # 62.35 - 43.49, as printed (its row means 43.56)
    ("Ours minus FT", "DawGen"): "+3.81",  # 62.35 - 58.54
}


def test_published_effects_by_pencil():
    assert effects(compared())[PAPER].to_dict() == PRINTED


def test_the_backbone_of_the_profile_chooses_the_published_effects():
    # Flan-T5-large: 77.19 - 74.94, 77.19 - 78.68
    profile = load_profile("flan").model_copy(update={"tasks": ["mrpc", "sick"]})
    found = tables.effects(compared(), profile).set_index(["effect", "generator"])["paper (Flan-T5-large, AVG)"]
    assert (found["surgery", "DawGen"], found["Ours minus FT", "DawGen"]) == ("+2.25", "-1.49")


def test_every_effect_compares_its_own_conditions():
    # one condition at a time is 10 points better: it shows where it stands behind (+10) or in front (-10), and nowhere else
    keys = list(PRINTED)
    behind = {"fewgen_syn": [], "dawgen_syn": [4], "fewgen_paired": [0], "dawgen_paired": [1, 5],
              "fewgen_paired_surgery": [2], "dawgen_paired_surgery": [3, 6, 7, 8], "none_real": [], "none_fine_tuning": []}
    in_front = {"fewgen_syn": [0, 4], "dawgen_syn": [1], "fewgen_paired": [2, 5], "dawgen_paired": [3],
                "fewgen_paired_surgery": [6], "dawgen_paired_surgery": [], "none_real": [7], "none_fine_tuning": [8]}
    for name in behind:
        found = effects(compared(**{name: 0.1}))[HERE]
        expected = ["+10.00" if i in behind[name] else "-10.00" if i in in_front[name] else "+0.00" for i in range(9)]
        assert [found[key] for key in keys] == expected, name


def test_an_effect_is_paired_by_seed_and_a_mean_over_tasks():
    # surgery, DawGen: seed 13: (2 + 4) / 2 = 3; seed 21: (0 + 2) / 2 = 1; seed 42: (-1 + 5) / 2 = 2; mean 2, sd 1:
    # t of 2 degrees of freedom is 4.303, half the interval 4.303 / sqrt(3) = 2.48; the levels of the seeds play no part
    ledger = compared()
    gains = {(13, "mrpc"): 2, (13, "sick"): 4, (21, "mrpc"): 0, (21, "sick"): 2, (42, "mrpc"): -1, (42, "sick"): 5}
    levels = {13: 0.2, 21: 0.5, 42: 0.8}
    for (seed, task), gain in gains.items():
        here = (ledger["seed"] == seed) & (ledger["task"] == task) & (ledger["generator"] == "dawgen")
        ledger.loc[here & (ledger["method"] == "paired"), "accuracy"] = levels[seed]
        ledger.loc[here & (ledger["method"] == "paired_surgery"), "accuracy"] = levels[seed] + gain / 100
    found = effects(ledger).loc[("surgery", "DawGen")]
    assert found[[HERE, "95 % interval", "n"]].tolist() == ["+2.00", "-0.48 to +4.48", 3]
    shuffled = effects(ledger.sample(frac=1.0, random_state=0)).loc[("surgery", "DawGen")]
    assert shuffled.tolist() == found.tolist()


def test_a_seed_that_lacks_a_task_is_left_out():
    # seed 42 is 30 points better in what is left of it; without it both seeds gain 4
    ledger = compared(dawgen_paired_surgery=0.04)
    ours = (ledger["generator"] == "dawgen") & (ledger["method"] == "paired_surgery") & (ledger["seed"] == 42)
    ledger.loc[ours, "accuracy"] = 0.8
    found = effects(ledger[~(ours & (ledger["task"] == "sick"))])
    assert found.loc[("surgery", "DawGen"), [HERE, "95 % interval", "n"]].tolist() == ["+4.00", "+4.00 to +4.00", 2]
    assert found.loc[("surgery", "FewGen"), "n"] == 3


def test_what_was_not_run_has_no_line():
    without_ft = effects(compared(leave_out=(("none", "fine_tuning"),)))
    assert list(without_ft.index) == list(PRINTED)[:-1]
    no_fewgen = effects(compared(leave_out=tuple(key for key in COMPARED if key[0] == "fewgen")))
    assert list(no_fewgen.index) == [list(PRINTED)[i] for i in (1, 3, 7, 8)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], "-"),
        ([1.0], "-"),
        ([1.0, 3.0], "-10.71 to +14.71"),  # mean 2, sd sqrt 2; t = 12.706: 12.706 * 1.4142 / 1.4142
        ([2.0, 2.0, 2.0], "+2.00 to +2.00"),
        ([-3.0, -1.0, 1.0, 3.0, 5.0], "-2.93 to +4.93"),  # mean 1, sd 3.162; t = 2.776: 2.776 * 3.162 / 2.236 = 3.93
    ],
)
def test_interval_by_pencil(values, expected):
    assert tables.interval(pd.Series(values)) == expected


def test_examples():
    assert doctest.testmod(tables) == (0, 1)  # none failed of one


# ---------------------------------------------------------------- the oracle's table


def test_what_the_oracle_says_by_pencil():
    # seed 13: fewgen 1 of 2 right, dawgen 2 of 2; seed 21: fewgen 1 of 1 (the other cannot be read), dawgen 1 of 2
    verdicts = {("fewgen", 13): [True, False], ("dawgen", 13): [True, True],
                ("fewgen", 21): [True, None], ("dawgen", 21): [True, False]}  # fmt: skip
    sets = {("pocket_snli", seed, kind): pd.DataFrame({
        "label": ["neutral"] * 2, "label_right": pd.Series(right, dtype=object), "wrong": "", "relation": "",
        "in_grammar": [one is not None for one in right]}) for (kind, seed), right in verdicts.items()}  # fmt: skip
    study = load_profile("pocket").model_copy(update={"tasks": ["pocket_snli"]})
    table = tables.oracle(anatomy.judged(sets), study)
    assert table["generator"].tolist() == ["FewGen", "DawGen", "DawGen minus FewGen"] * 2
    # means 50 and 100, 100 and 50: sd 35.4; gains +50 and -50: mean 0, half interval 12.706 * 70.71 / sqrt(2)
    assert table["pocket snli"].tolist() == [
        "75.0 ± 35.4 (n=2)", "75.0 ± 35.4 (n=2)", "+0.0 (-635.31 to +635.31)",
        "75.0 ± 35.4 (n=2)", "100.0 ± 0.0 (n=2)", "+25.0 (-292.66 to +342.66)",
    ]  # fmt: skip


def test_without_verdicts_the_oracle_says_nothing():
    plain = pd.DataFrame({"label": ["neutral"], "sentence2": ["a b"]})
    assert tables.oracle(anatomy.judged({("sick", 13, "mle"): plain}), load_profile("smoke")).empty


def test_captions_of_the_pocket_world_say_what_its_classifier_met_before():
    study = load_profile("pocket")
    rows = pd.DataFrame({"task": study.tasks, "shown_as": ["a", "b"]})
    assert "sister tasks in four other domains" in tables.caption(rows, study, "Table.")
    study = load_profile("smoke")
    assert "sister tasks" not in tables.caption(pd.DataFrame({"task": study.tasks, "shown_as": ["a", "b"]}), study, "Table.")


def test_a_caption_says_what_a_profile_changes_where_that_is_little(tmp_path):
    def said(text: str) -> str:
        (tmp_path / "margin.yaml").write_text(f"extends: smoke\nprofile: margin\nabout: a test\n{text}")
        study = load_profile(str(tmp_path / "margin.yaml"))
        shown = ["x"] * len(study.tasks)
        return tables.caption(pd.DataFrame({"task": study.tasks, "shown_as": shown}), study, "Table 3.")

    few = said("tasks: [mrpc]\ngenerator_tuning: {margin: 0.5}\nmethods: {pet: null}\n")
    assert ("Profile `margin`, which is `smoke` but for tasks mrpc (mrpc, sick); generator_tuning.margin 0.5 (1.0); "
            "methods.pet nothing (some) (RANDOM TINY MODELS") in few  # fmt: skip
    many = "generator_tuning: {margin: 0.5, steps: 3, lr: 0.1, clip_norm: 0.5, virtual_lr: 0.5, eos: learned, net_lr: 0.1}\n"
    assert "Profile `margin` (RANDOM TINY MODELS" in said(many)
    assert changes(load_profile("smoke")) == []
