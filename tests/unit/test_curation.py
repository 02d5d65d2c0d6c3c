"""Curation: every arm on rows written by hand, equal counts, what fills up, and the table of all arms."""

import doctest

import numpy as np
import pandas as pd
import pytest
import torch

from dawgen_core import artifacts, params, tuning
from dawgen_core.artifacts import ArtifactError, Runs
from dawgen_core.audit import curated as table
from dawgen_core.audit import tracing
from dawgen_core.audit.ledger import conditions
from dawgen_core.beyond import curation
from dawgen_core.data import pretrained, recipes
from dawgen_core.data.profiles import load_profile, load_task, validated
from dawgen_core.data.rows import TaskRows
from dawgen_core.methods.given import Given, Outcome

WORDS = " ".join(f"word{i}" for i in range(20))


def written(*rows: tuple[str, str, str], **columns) -> pd.DataFrame:
    """Rows of (label, sentence 1, sentence 2)."""
    frame = pd.DataFrame(rows, columns=["label", "sentence1", "sentence2"])
    return frame.assign(row_id=[f"{label}#{i}" for i, label in enumerate(frame["label"])], source_row="corpus#7", **columns)


def kept(arm: str, rows: pd.DataFrame, n: int, **more) -> list[str]:
    return curation.curated(arm, rows, n, **more).rows["row_id"].tolist()


# ---------------------------------------------------------------- filters

ROWS = written(
    ("a", "A dog runs.", "It runs"), ("b", "A cat sits.", "it runs!"), ("a", "A hen sits.", "It  RUNS."),
    ("a", "a dog runs", "A dog, runs!"), ("b", WORDS, f"{WORDS} more"), ("a", "So it is.", "No."),
    ("b", "So it is.", f"So {WORDS}"), ("b", "So it is.", "Yes."),
)  # fmt: skip


def test_none_keeps_the_first_rows_of_each_class_in_their_order_and_all_columns():
    found = curation.curated("none", ROWS, 2)
    assert found.rows.equals(ROWS.iloc[[0, 1, 2, 4]].reset_index(drop=True))
    assert found.counts == {label: {"candidates": 4, "accepted": 2, "passed": 4, "topped_up": 0} for label in "ab"}


@pytest.mark.parametrize(
    ("arm", "stays"),
    [
        ("none", [True] * 8),
        ("exact", [True, True, False, True, True, True, True, True]),  # row 2 says what row 0 says; row 1 has another label
        ("near_duplicate", [True, True, False, True, True, True, False, True]),  # row 6: 20 of 22 words are row 4's
        ("anti_copy", [True, True, True, False, False, True, True, True]),  # row 3, bare; row 4: 20 of 21 words
    ],
)
def test_which_rows_a_filter_lets_stay(arm, stays):
    assert curation.FILTERS[arm](ROWS).tolist() == stays


def test_the_oracle_keeps_right_labels_and_drops_what_it_cannot_read():
    rows = ROWS.assign(label_right=pd.array([True, False, None, True, True, False, None, True], dtype="boolean"))
    assert curation.FILTERS["oracle"](rows).tolist() == [True, False, False, True, True, False, False, True]
    found = curation.curated("oracle", rows, 3)
    assert found.rows["row_id"].tolist() == ["a#0", "b#1", "a#2", "a#3", "b#4", "b#7"]
    assert found.counts["a"] == {"candidates": 4, "accepted": 3, "passed": 2, "topped_up": 1}
    with pytest.raises(ValueError, match="oracle: expected the column label_right, found none; only the pocket world"):
        curation.curated("oracle", ROWS, 3)


def test_where_too_few_may_stay_dropped_rows_fill_up_in_their_order_and_are_counted():
    rows = written(*[("a", f"First {i}.", text) for i, text in enumerate(["x", "X", "x.", "y", "x", "z"])])
    assert curation.curated("exact", rows, 3).counts["a"] == {"candidates": 6, "accepted": 3, "passed": 3, "topped_up": 0}
    found = curation.curated("exact", rows, 5)  # x, y and z stay; of the three others the first two are taken back
    assert found.rows["row_id"].tolist() == ["a#0", "a#1", "a#2", "a#3", "a#5"]
    assert found.counts["a"] == {"candidates": 6, "accepted": 5, "passed": 3, "topped_up": 2}


# ---------------------------------------------------------------- scores


def p_of(*first: float) -> torch.Tensor:
    """Logits whose softmax gives the first of two classes these probabilities."""
    return torch.tensor([[p, 1 - p] for p in first], dtype=torch.float64).log()


@pytest.fixture
def given(smoke, mrpc, mrpc_rows, classifier) -> Given:
    train, dev = mrpc_rows.few_shot(13)
    limits = smoke.prompt_tuning.model_copy(update={"steps": 12, "eval_every": 12, "eval_batch_size": 7})
    return Given(mrpc, classifier, train, dev, train.head(0), 13, limits)


LABELLED = [("not_equivalent", f"First {i}.", f"second {i}") for i in range(3)]
LABELLED += [("equivalent", f"First {i}.", f"second {i}") for i in range(3)]
TWO = written(*LABELLED)


def test_confidence_keeps_the_rows_whose_own_label_is_likeliest(given, monkeypatch):
    logits = p_of(0.2, 0.9, 0.6, 0.9, 0.2, 0.3)  # of the first class; the last three rows have the second
    monkeypatch.setattr(curation, "_tuned_on_real", lambda *_: Outcome({"best": logits, "last": -logits}, 0))
    assert curation.confidence(given, TWO).round(6).tolist() == [0.2, 0.9, 0.6, 0.1, 0.8, 0.7]
    found = curation.curated("confidence", TWO, 2, lambda: given)
    assert found.rows["row_id"].tolist() == ["not_equivalent#1", "not_equivalent#2", "equivalent#4", "equivalent#5"]
    assert found.counts["equivalent"] == {"candidates": 3, "accepted": 2}  # a score drops nothing


def test_of_equal_scores_the_first_written_are_kept(given, monkeypatch):
    monkeypatch.setattr(curation, "_tuned_on_real", lambda *_: Outcome({"best": p_of(*[0.5] * 6)}, 0))
    assert kept("confidence", TWO, 2, given=lambda: given) == [TWO["row_id"][i] for i in (0, 1, 3, 4)]


def test_the_prompt_behind_confidence_is_tuned_on_the_real_rows_and_never_on_the_written(given):
    alone = tuning.Condition("real", 13, given.encoded(given.train), None, given.encoded(given.dev))
    start = curation.initial_prompt(given.classifier, given.limits.prompt_tokens)
    (one,) = tuning.tune_prompts(start[None], [alone], given.classifier, given.words(), given.limits, progress=False)
    (logits,) = tuning.predict(one.best_PD[None], [given.encoded(TWO)], given.classifier, given.words(), 99)
    own = logits.softmax(-1)[range(6), given.numbers(TWO)]
    assert np.allclose(curation.confidence(given, TWO), own, atol=1e-5)


def test_the_average_of_predictions_by_pencil():
    # momentum 0.9: z1 = 0.1 * 1 = 0.1; z2 = 0.09 + 0.1 * 0 = 0.09; / (1 - 0.81) = 9 / 19; the later one weighs more
    first, last = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert curation.moving_average([first, last]).round(9).tolist() == [round(9 / 19, 9), round(10 / 19, 9)]
    assert curation.moving_average([first]).round(9).tolist() == [1.0, 0.0]  # corrected for its start at zero
    assert doctest.testmod(curation).failed == 0


def test_the_temporal_ensemble_averages_what_the_prompt_says_of_the_rows_while_it_is_tuned_on_them(given, monkeypatch):
    asked = []

    def tuned(start_GPD, made, classifier, words_C, limits, *, progress, on_dev):
        asked.append((start_GPD, made, limits))
        on_dev([p_of(0.1, 0.9, 0.5, 0.5, 0.5, 0.5)])
        on_dev([p_of(0.1, 0.1, 0.5, 0.5, 0.1, 0.9)])
        return [tuning.TunedPrompt(start_GPD[0], start_GPD[0], 0, 0.0, 0.0, [])]

    start = torch.full((8, 32), 0.25)
    monkeypatch.setattr(curation, "_tuned_on_real", lambda *_: Outcome({}, 0, state={"soft_prompt": start}))
    monkeypatch.setattr(tuning, "tune_prompts", tuned)
    # row 1: (9 * 0.9 + 10 * 0.1) / 19; row 4, of the second class: (9 * 0.5 + 10 * 0.9) / 19; row 5: (9 * 0.5 + 1) / 19
    expected = [0.1, 9.1 / 19, 0.5, 0.5, 13.5 / 19, 5.5 / 19]
    assert np.allclose(curation.temporal_ensemble(given, TWO), expected)
    ((stack, (condition,), limits),) = asked
    assert torch.equal(stack, start[None]) and condition.strategy == "syn" and condition.seed == 13
    assert condition.syn == condition.dev == given.encoded(TWO)
    assert limits.eval_every == 1 and given.limits.model_copy(update={"steps": 150}).steps // curation.CHECKPOINTS == 15


def test_a_prompt_that_diverges_stops_the_ensemble(given):
    wild = given.limits.model_copy(update={"lr": 1e30, "clip_norm": 1e30})
    with pytest.raises(tuning.DivergedError, match="expected finite"):
        curation.temporal_ensemble(curation.replace(given, limits=wild), TWO)


def test_rows_are_drawn_in_proportion_to_their_weights(given, monkeypatch):
    # weights 1, 2, 5 in the first class: each is the one row that is kept in 1/8, 2/8 and 5/8 of the draws
    log_w = {0.0: np.log([1.0, 2.0, 5.0]), 1.0: np.zeros(3)}
    monkeypatch.setattr(curation, "mean_states", lambda _, rows: (rows["label"] == "equivalent").to_numpy(float)[:, None])
    monkeypatch.setattr(curation, "log_ratio", lambda real, own: log_w[own[0, 0]])
    seeds, counts = 1000, np.zeros((2, 3))
    for seed in range(seeds):
        score = curation.two_sample(curation.replace(given, seed=seed), TWO).reshape(2, 3)
        counts[[0, 1], score.argmax(1)] += 1
    assert np.abs(counts / seeds - [[1 / 8, 2 / 8, 5 / 8], [1 / 3] * 3]).max() < 0.05  # an error of 0.016 at most


def test_the_density_ratio_by_a_classifier_that_has_not_seen_the_row():
    random = np.random.default_rng(0)
    real, own = random.normal(1.0, 1.0, (40, 1)), random.normal(-1.0, 1.0, (200, 1))
    found = curation.log_ratio(real, own)
    assert np.corrcoef(found, own[:, 0])[0, 1] > 0.95  # the true one is linear here: log N(x; 1, 1) - log N(x; -1, 1) = 2 x
    odd = own.copy()
    odd[0] = 50.0  # moves the classifiers of the four folds that read it, and not the one of its own fold
    moved = curation.log_ratio(real, odd) != found
    assert moved[0] and not moved[1:40].any() and moved[40:].all()
    assert len(curation.log_ratio(real[:2], own)) == 200  # two real rows: two folds


def test_mean_states_are_means_over_a_row_s_own_tokens(given):
    whole = curation.mean_states(given, TWO)
    assert whole.shape == (6, 32)
    for i in (0, 5):  # alone: no padding and no neighbours
        assert np.allclose(curation.mean_states(given, TWO.iloc[[i]]), whole[[i]], atol=1e-6)
    ids = torch.tensor([given.encoded(TWO).ids[0]])
    states = given.classifier.model.encoder(input_ids=ids).last_hidden_state[0]
    assert np.allclose(states.mean(0).detach(), whole[0], atol=1e-6)


# ---------------------------------------------------------------- what arms do to rows whose truth is known


@pytest.fixture(scope="module")
def pocket() -> Given:
    study, task = load_profile("pocket"), load_task("pocket_mrpc")
    model = pretrained.load_classifier(study.classifier, study.compute)
    train, dev = TaskRows(task, study).few_shot(13)
    limits = study.prompt_tuning.model_copy(update={"steps": 30, "eval_every": 30})
    return Given(task, model, train, dev, train.head(0), 13, limits)


@pytest.mark.parametrize("arm", ["confidence", "temporal_ensemble"])
def test_wrong_labels_are_fewer_among_kept_rows(pocket, arm):
    """A quarter of right rows gets the other label."""
    rows = TaskRows(pocket.task, load_profile("pocket")).released_synthetic("oracle", 13, 40)
    wrong, labels = np.arange(len(rows)) % 4 == 3, pocket.task.labels
    rows = rows.assign(right=~wrong, label=[labels[1 - labels.index(y)] if w else y
                                            for y, w in zip(rows["label"], wrong, strict=True)])  # fmt: skip
    found = curation.curated(arm, rows, 15, lambda: pocket).rows
    assert len(found) == 30 and found["right"].mean() > rows["right"].mean() + 0.05


def test_the_draw_by_weights_prefers_rows_like_the_real_ones(pocket):
    """Half of the rows have the second sentence of another one."""
    own = TaskRows(pocket.task, load_profile("pocket")).released_synthetic("oracle", 13, 60)
    other = own.assign(sentence2=own["sentence2"].tolist()[7:] + own["sentence2"].tolist()[:7])
    rows = pd.concat([own.assign(alike=True), other.assign(alike=False)], ignore_index=True)
    assert curation.curated("two_sample", rows, 20, lambda: pocket).rows["alike"].mean() > 0.75


# ---------------------------------------------------------------- all arms


@pytest.fixture
def rows_of_all(mrpc_rows) -> pd.DataFrame:
    """Thirty rows of each class that nobody has seen."""
    rows = mrpc_rows.pool().groupby("label", sort=False).tail(30).reset_index(drop=True)
    return rows.assign(label_right=pd.array([i % 3 != 0 for i in range(len(rows))], dtype="boolean"))


@pytest.mark.parametrize("arm", params.ARMS)
def test_every_arm_keeps_as_many_of_each_class_and_the_same_ones_again(arm, given, rows_of_all):
    found, again = (curation.curated(arm, rows_of_all, 11, lambda: given) for _ in range(2))
    assert found.rows["label"].value_counts().to_dict() == {"not_equivalent": 11, "equivalent": 11}
    assert found.rows.equals(again.rows) and found.counts == again.counts
    source = rows_of_all[rows_of_all["row_id"].isin(found.rows["row_id"])].reset_index(drop=True)
    assert found.rows.equals(source)  # whole rows, each once, in their order
    assert all(count["accepted"] == 11 and count["candidates"] == 30 for count in found.counts.values())
    whole = curation.curated(arm, rows_of_all, 30, lambda: given).rows
    assert whole.equals(rows_of_all)


@pytest.mark.parametrize("arm", [arm for arm in params.ARMS if arm != "oracle"])
def test_no_arm_but_the_oracle_s_reads_a_verdict(arm, given, rows_of_all):
    turned = rows_of_all.assign(label_right=~rows_of_all["label_right"])
    assert kept(arm, rows_of_all, 11, given=lambda: given) == kept(arm, turned, 11, given=lambda: given)
    assert kept("oracle", rows_of_all, 11) != kept("oracle", turned, 11)


def test_filters_ask_for_no_classifier(rows_of_all):
    for arm in curation.FILTERS:
        curation.curated(arm, rows_of_all, 5, lambda: pytest.fail("asked for a classifier"))


def test_draws_follow_the_seed(given, rows_of_all):
    one, other = (kept("two_sample", rows_of_all, 11, given=lambda s=s: curation.replace(given, seed=s)) for s in (13, 21))
    assert one != other


def test_bad_arms_and_too_few_rows_are_refused():
    assert set(curation.ARMS) == set(params.ARMS) == set(table.ARMS)
    with pytest.raises(ValueError, match="curation: expected one of none, exact.*found 'best'"):
        curation.curated("best", ROWS, 2)
    with pytest.raises(ValueError, match="curation, a: expected at least 5 rows to choose from, found 4"):
        curation.curated("none", ROWS, 5)


# ---------------------------------------------------------------- as kinds of a profile


def curating(study: params.Profile, **change) -> params.Profile:
    """The profile with other curation values, checked. Errors: ParamsError."""
    values = study.model_dump()
    curation_ = {"of": "dawgen", "arms": ["none"], "kept_per_class": 2} | change
    values["generation"] |= {"curation": curation_}
    return validated(params.Profile, values, "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": ["none", "oracle"]}, "expected `oracle` with source pocket only, found embedded"),
        ({"arms": ["exact"]}, r"curation.arms: expected none and no repeats, found \['exact'\]"),
        ({"arms": ["none", "none"]}, "curation.arms: expected none and no repeats"),
        ({"arms": ["none", "best"]}, "curation.arms.1: .*found 'best'"),
        ({"of": "gpt"}, r"curation.of: expected one of \['mle', .*found 'gpt'"),
        ({"kept_per_class": 25}, "kept_per_class: expected at most 24, found 25"),
        ({"kept_per_class": 0}, "kept_per_class: .*greater than or equal to 1, found 0"),
        ({"kept_per_class": None}, "kept_per_class: .*integer"),
        ({"n": 3}, "curation.n: Extra inputs"),
    ],
)
def test_bad_values_are_named(smoke, change, message):
    with pytest.raises(params.ParamsError, match=message):
        curating(smoke, **change)


def test_what_an_arm_keeps_is_a_kind_like_any_other(smoke):
    study = curating(smoke, of="fewgen", arms=["none", "anti_copy"])
    assert study.curated == {"fewgen_none": "none", "fewgen_anti_copy": "anti_copy"}
    assert study.kinds("mrpc") == [*smoke.generator_tuning.kinds, "fewgen_none", "fewgen_anti_copy"]
    assert curating(smoke, arms=[]).curated == {} == load_profile("pocket").curated
    assert "dawgen_oracle" in load_profile("curation").kinds("pocket_snli")  # the pocket world has an oracle
    found = [key[1:] for key in conditions(study, "mrpc", [21]) if key[1].startswith("fewgen_a")]
    assert found == [("fewgen_anti_copy", strategy) for strategy in ("syn", "paired", "paired_surgery")]


def finish(folder, rows: pd.DataFrame, inputs: dict, counts: dict | None = None) -> None:
    artifacts.begin(folder)
    artifacts.write_table(folder / "synthetic.parquet", rows)
    artifacts.finish(folder, "synthetic", inputs, {"counts": counts}, {})


def test_a_curated_set_is_stale_when_what_it_comes_from_changes(smoke, mrpc, tmp_path):
    runs, study = Runs(tmp_path), curating(smoke)
    base = runs.synthetic("mrpc", 13, "dawgen")
    with pytest.raises(ArtifactError, match="found none; run notebook 02_generation first"):
        recipes.synthetic(study, mrpc, runs, 13, "dawgen_none")
    finish(base, TWO, {"made": "first"})
    recipe = recipes.synthetic(study, mrpc, runs, 13, "dawgen_none")
    assert recipe["arm"] == "none" and recipe["kept_per_class"] == 2
    assert recipe["rows"] == artifacts.digest(base / "result.json")
    folder = runs.synthetic("mrpc", 13, "dawgen_none")
    finish(folder, TWO, recipe)
    assert artifacts.done(folder, "synthetic", recipe)
    finish(base, TWO, {"made": "again"})
    fewer = curating(smoke, kept_per_class=1)
    steps = study.model_copy(update={"prompt_tuning": study.prompt_tuning.model_copy(update={"steps": 3})})
    for changed in (study, fewer, steps):
        with pytest.raises(ArtifactError, match="found a stale one"):
            artifacts.verified(folder, "synthetic", recipes.synthetic(changed, mrpc, runs, 13, "dawgen_none"))


def test_curation_is_no_input_of_the_rows_that_it_chooses_among(smoke, mrpc, tmp_path):
    runs = Runs(tmp_path)
    artifacts.write_json(runs.generator("mrpc", 13, "dawgen") / "result.json", {})
    found = [recipes.synthetic(study, mrpc, runs, 13, "dawgen") for study in (smoke, curating(smoke, arms=[]))]
    assert found[0] == found[1] and "curation" not in found[0]["settings"]


def test_a_row_that_does_not_stand_in_its_source_is_caught(smoke, tmp_path, monkeypatch):
    monkeypatch.setattr(tracing, "_traced", lambda *_: None)
    study = curating(smoke).model_copy(update={"tasks": ["mrpc"], "seeds": [13]})
    runs, rows = Runs(tmp_path), TaskRows(load_task("mrpc"), study)
    for part, frame in zip(("train", "dev"), rows.few_shot(13), strict=True):
        (folder := runs.few_shot("mrpc", 13)).mkdir(parents=True, exist_ok=True)
        artifacts.write_table(folder / f"{part}.parquet", frame)
    for kind in study.kinds("mrpc"):
        artifacts.write_table(runs.synthetic("mrpc", 13, kind) / "synthetic.parquet", TWO.iloc[[0, 4]])
    path = runs.synthetic("mrpc", 13, "dawgen_none") / "synthetic.parquet"
    with pytest.raises(FileNotFoundError, match="predictions"):  # all rows were traced: the next thing is missing
        tracing.trace(runs, study)
    artifacts.write_table(path, TWO.iloc[[0, 4]].assign(sentence2="other"))
    with pytest.raises(ArtifactError, match="expected the rows of the source"):
        tracing.trace(runs, study)


# ---------------------------------------------------------------- the table


def accuracies(smoke, **gains: dict[int, float]) -> pd.DataFrame:
    """50 % everywhere, but for arms with a gain in points per seed (on both tasks)."""
    rows = [{"task": task, "seed": seed, "generator": kind, "method": method,
             "accuracy": 0.5 + gains.get(f"{kind}_{method}", {}).get(seed, 0.0) / 100}
            for kind in ("dawgen_none", "dawgen_exact") for method in ("paired", "paired_surgery")
            for task in ("mrpc", "sick") for seed in (13, 21, 42)]  # fmt: skip
    rows.append({"task": "mrpc", "seed": None, "generator": "none", "method": "prompting", "accuracy": 0.1})
    return pd.DataFrame(rows).astype({"seed": "Int64"})


@pytest.fixture
def shown(smoke, tmp_path):
    """The table of two arms, three seeds and two tasks; exact had to fill up one row of each class."""
    study = curating(smoke, arms=["none", "exact"]).model_copy(update={"seeds": [13, 21, 42]})
    runs = Runs(tmp_path)
    for task in study.tasks:
        for seed in study.seeds:
            for kind, filled in (("dawgen_none", 0), ("dawgen_exact", 1)):
                right = pd.array([True, kind == "dawgen_exact" or seed == 13], dtype="boolean")
                rows = written(("a", "x", "y"), ("b", "x", "y"), label_right=right)
                if filled:
                    rows["row_id"] = [rows["row_id"][0], "another"]
                finish(runs.synthetic(task, seed, kind), rows, {}, {c: {"accepted": 2, "topped_up": filled} for c in "ab"})

    def show(**gains) -> pd.DataFrame:
        return table.curation(accuracies(smoke, **gains), study, runs)

    return show


def test_the_table_of_arms_by_pencil(shown):
    # gains 3, 1, 2: mean 2, sd 1; t of 2 degrees of freedom 4.303: half the interval 4.303 / sqrt(3) = 2.48;
    # sign flips: 2 of the 8 patterns have a mean as far from zero: p = 0.25, and 1.0 for the line without a difference;
    # Holm over the two: 0.25 * 2 = 0.5
    found = shown(dawgen_exact_paired_surgery={13: 3, 21: 1, 42: 2})
    assert found.columns.tolist() == ["arm", "gradient surgery", "MRPC", "SICK", "AVG", "minus none", "95 % interval",
                                      "p (Holm)", "unlike none", "topped up", "right labels"]  # fmt: skip
    half, better, whole = "50.0 ± 0.0 (n=3)", "52.0 ± 1.0 (n=3)", "100.0 ± 0.0 (n=3)"
    assert found.values.tolist() == [
        ["none", "no", half, half, half, "-", "-", "-", "0.0%", "0 of 24", "66.7 ± 28.9 (n=3)"],  # seed 13: 100, others: 50
        ["none", "yes", half, half, half, "-", "-", "-", "0.0%", "0 of 24", "66.7 ± 28.9 (n=3)"],
        ["no duplicates", "no", half, half, half, "+0.00", "+0.00 to +0.00", "1.000", "25.0%", "12 of 24", whole],
        ["no duplicates", "yes", better, better, better, "+2.00", "-0.48 to +4.48", "0.500", "25.0%", "12 of 24", whole],
    ]  # fmt: skip


def test_an_arm_is_held_against_none_with_the_same_surgery_seed_by_seed(shown):
    found = shown(dawgen_none_paired={13: 10, 21: 20, 42: 30}, dawgen_exact_paired={13: 12, 21: 22, 42: 32})
    assert found["minus none"].tolist() == ["-", "-", "+2.00", "+0.00"]
    assert found["95 % interval"].tolist()[2] == "+2.00 to +2.00"  # however far the seeds lie apart


def test_a_profile_without_arms_has_no_table(smoke, tmp_path):
    plain = curating(smoke, arms=[])
    assert table.curation(accuracies(smoke), plain, Runs(tmp_path)).empty
