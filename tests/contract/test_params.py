"""Profiles, task files, published numbers and embedded rows, as committed."""

import embedded_rows
import pandas as pd
import pytest

from dawgen_core.app import entry
from dawgen_core.audit.ledger import conditions
from dawgen_core.data.profiles import load_profile, load_task
from dawgen_core.methods import METHODS
from dawgen_core.params import PARAMS, STRATEGIES, ParamsError

PROFILES = sorted(p.stem for p in PARAMS.glob("*.yaml") if p.stem != "claims")
TASKS = sorted(p.stem for p in (PARAMS / "tasks").glob("*.yaml"))
PAPER_TASKS = ["qqp", "mrpc", "mnli", "snli", "qnli", "rte", "sick"]
TITLES = ["QQP", "MRPC", "MNLI", "SNLI", "QNLI", "RTE", "SICK"]
YES_NO = {"yes", "no"}


# ---------------------------------------------------------------- profiles and tasks


def test_what_there_is():
    assert {"smoke", "real_smoke", "paper", "flan"} <= set(PROFILES)
    assert {*PAPER_TASKS, "my_task"} <= set(TASKS)


@pytest.mark.parametrize("name", PROFILES)
def test_profile_loads_with_its_tasks(name):
    profile = load_profile(name)
    for task in map(load_task, profile.tasks):
        assert profile.source in task.sources
        source = task.sources[profile.source]
        known = {*source.synthetic, *(["oracle"] if source.twin else [])}  # a twin's right pairs are drawn, not listed
        assert set(profile.extra_synthetic.get(task.task, [])) <= known
    assert sum(profile.seed_groups(), []) == profile.seeds


@pytest.mark.parametrize("name", PROFILES)
def test_every_value_of_a_profile_has_its_mark(name):
    marks, profile = entry.marks(name), load_profile(name).model_dump()
    assert marks.loc[marks["mark"] == "", "key"].tolist() == []
    shown = dict(zip(marks["key"], marks["value"], strict=True))

    def check(value, path: str) -> None:
        if path in shown:
            assert str(shown.pop(path)) == str(value), path
        elif isinstance(value, dict) and value:
            for key, one in value.items():
                check(one, f"{path}.{key}" if path else key)
        else:  # not given: the default
            assert value in (None, {}), f"{path} = {value!r} has no mark"

    check(profile, "")
    assert not shown, "marks of values that the profile does not have"


@pytest.mark.parametrize("name", TASKS)
def test_task_loads(name):
    task = load_task(name)
    assert task.task == name and task.sources


@pytest.mark.parametrize("name", PAPER_TASKS)
def test_label_words_and_labels_of_the_paper_tasks(name):
    task = load_task(name)
    words = task.classifier.verbalizer
    assert set(words.values()) == (YES_NO | {"neutral"} if len(task.labels) == 3 else YES_NO)
    assert all(words[label] == "yes" for label in ("entailment", "duplicate", "equivalent") if label in words)
    assert all(words[label] == "no" for label in words if label.startswith("not_") or label == "contradiction")
    assert task.title == TITLES[PAPER_TASKS.index(name)]


def test_two_tasks_have_embedded_rows():
    assert [name for name in TASKS if "embedded" in load_task(name).sources] == load_profile("smoke").tasks


def test_conditions_of_the_paper_profile():
    profile = load_profile("paper")
    methods = sum(METHODS[name].module.SEEDED for name in profile.methods)
    assert set(profile.methods) == set(METHODS) - {"hand_prompt", "ppt", "ppt_kept", "ours_from_ppt"}
    per_seed = methods + 1 + 3 * 3 + 3 * 4  # real; three kinds x Table 3, x the four other ways of Table 2
    assert profile.tasks == PAPER_TASKS and len(profile.seeds) == 5
    assert len(conditions(profile, "mrpc", profile.seeds)) == 2 + 5 * per_seed


def test_oracle_rows_are_used_alone():
    profile = load_profile("pocket")
    per_seed = 1 + 1 + 3 * 3 + 1  # FT; real; three kinds x Table 3; oracle rows alone
    found = conditions(profile, "pocket_sick", profile.seeds)
    assert len(found) == 2 + 5 * per_seed == 62
    assert {method for _, generator, method in found if generator == "oracle"} == {"syn"}
    everything = profile.prompt_tuning.model_copy(update={"strategies": list(STRATEGIES)})
    whole = conditions(profile.model_copy(update={"prompt_tuning": everything}), "pocket_sick", [13])
    assert [key for key in whole if key[1] == "oracle"] == [(13, "oracle", "syn")]


def test_methods_that_draw_nothing_stand_once():
    profile = load_profile("pocket")
    by_method = {name: [seed for seed, _, method in conditions(profile, "pocket_mrpc", profile.seeds) if method == name]
                 for name in profile.methods}  # fmt: skip
    assert by_method == {"prompting": [None], "hand_prompt": [None], "fine_tuning": profile.seeds}
    later = conditions(profile, "pocket_mrpc", profile.seeds[1:])  # the first group of seeds made them
    assert [key for key in later if key[0] is None] == [] and (21, "none", "fine_tuning") in later
    assert conditions(profile.model_copy(update={"methods": {}}), "pocket_mrpc", [13])[0] == (13, "none", "real")


# ---------------------------------------------------------------- what papermill hands over

INJECTED = "# Parameters\nprofile = 'smoke'\n{line}\n"


def test_declared_parameters_pass():
    cells = ["", 'profile: str = "smoke"\nseeds: list = [13]', INJECTED.format(line="seeds = [21]")]
    entry.check_parameters(cells)
    entry.check_parameters(cells[:2])  # run by hand: nothing injected


def test_an_undeclared_parameter_is_named():
    cells = ["", 'profile: str = "smoke"', INJECTED.format(line="sedes = [13]")]
    with pytest.raises(ParamsError, match="expected profile; found unknown sedes"):
        entry.check_parameters(cells)


# ---------------------------------------------------------------- committed tables and rows


def published(name: str) -> pd.DataFrame:
    return pd.read_csv(PARAMS / "published" / f"{name}.csv")


@pytest.mark.parametrize(
    ("name", "rows"), [("table1_main", 17), ("table2_combination", 18), ("table3_ablation", 12), ("p_values_ours_vs_ft", 2)]
)
def test_published_tables_have_their_rows_and_columns(name, rows):
    table = published(name)
    assert len(table) == rows and [c for c in table.columns if c in TITLES] == TITLES
    assert set(table["backbone"]) == {"T5-large", "Flan-T5-large"}


@pytest.mark.parametrize("name", ["table1_main", "table2_combination", "table3_ablation"])
def test_printed_averages_are_the_means_of_their_rows(name):
    table = published(name)
    whole = table[table[TITLES].notna().all(axis=1)]
    off = (whole[TITLES].mean(axis=1) - whole["AVG"]).round(2)
    off = off[off.abs() > 0.02]
    if name == "table1_main":  # the one slip of the print: 43.49 where the row means 43.56
        (row,) = off.index
        assert tuple(table.loc[row, ["backbone", "method"]]) == ("T5-large", "Prompt Tuning") and off[row] == 0.07
    else:
        assert off.empty


def test_published_tables_agree_where_they_share_rows():
    columns = [*TITLES, "AVG"]
    one, two, three = map(published, ("table1_main", "table2_combination", "table3_ablation"))
    ours = one[one["method"] == "Ours"].set_index("backbone")[columns]
    full = three.query("generator == 'DawGen' and gradient_surgery == 'yes'").set_index("backbone")[columns]
    assert ours.equals(full)
    keys = ["backbone", "generator"]
    pairs = two[two["strategy"] == "(Real, Syn)"].set_index(keys)[columns]
    assert pairs.equals(three.query("real == 'yes' and gradient_surgery == 'no'").set_index(keys)[columns])


def test_embedded_rows_are_what_their_script_writes(tmp_path):
    embedded_rows.write(tmp_path)
    written = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    committed = PARAMS / "embedded"
    assert written == {p.relative_to(committed): p.read_bytes() for p in committed.rglob("*") if p.is_file()}
    assert len(written) == 6
