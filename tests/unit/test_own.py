"""Somebody's own pairs: what is refused and how it is said, the split, the proposed texts."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from dawgen_core.app import fit, fit_report, fit_told, reproduce
from dawgen_core.data import own, pretrained, profiles
from dawgen_core.params import ROOT
from dawgen_core.tasks import TaskError

TEXT = ("a", "b")


def table(n: int = 16, labels: tuple[str, ...] = ("same", "different"), seed: int = 0) -> pd.DataFrame:
    """n pairs of each label, all of different words."""
    random, rows = np.random.default_rng(seed), []
    for label in labels:
        for _ in range(n):
            texts = [" ".join(f"w{i}" for i in random.integers(10**6, size=6)) for _ in range(2)]
            rows.append((*texts, label))
    return pd.DataFrame(rows, columns=["a", "b", "y"])


@pytest.fixture
def read(tmp_path):
    """The file of a frame, read."""

    def read(frame: pd.DataFrame, **options) -> own.Own:
        path = tmp_path / "pairs.csv"
        frame.to_csv(path, index=False)
        return own.read(path, TEXT, "y", **options)

    return read


# ---------------------------------------------------------------- reading


def test_rows_and_plain_label_names(read):
    found = read(table(8, ("ja / nein", "Straße", "日本", "ja  nein")))
    assert list(found.names) == ["Strae", "ja_nein", "ja_nein_2", "label_3"] and len(found.rows) == 32
    assert sorted(found.names.values()) == ["Straße", "ja / nein", "ja nein", "日本"]
    assert set(found.rows["label"]) == set(found.names) and found.remarks == []


def test_pairs_stand_once_and_never_under_two_labels(read):
    frame = table(10)
    frame = pd.concat([frame, frame.head(2), frame.iloc[[5]].assign(a=lambda f: f["a"].str.upper() + " !")])
    frame = pd.concat([frame, frame.iloc[[11]].assign(y="same")], ignore_index=True)
    found = read(frame)
    assert len(found.rows) == 20 - 1 and not found.rows.duplicated().any()
    assert found.remarks == ["2 rows are left out: their pair stands under more than one label",
                             "3 rows are left out: their pair stands there before"]  # fmt: skip


def test_a_wrong_encoding_is_noticed(read):
    frame = table(8)
    frame.loc[[0, 3], "a"] += " cafÃ©"
    frame.loc[4, "b"] += " \ufffd"
    assert read(frame).remarks[0].startswith("3 texts look as if they were read in a wrong encoding once")


@pytest.mark.parametrize(("change", "message"), [
    (lambda f: f.rename(columns={"b": "c"}), "expected the columns a, b, y, found no b among a, c, y; use --text and"),
    (lambda f: f.assign(a=f["a"].where(f.index != 3, " ")), r"text in column a, found none in 1 of 32 rows \(row 4;"),
    (lambda f: f.assign(y=f["y"].where(f.index != 0, "")), r"text in column y, found none in 1 of 32 rows \(row 1;"),
    (lambda f: f.assign(y=f["y"].where(f.index != 0, "Same")), "expected labels that differ by more than case and spaces, "
     r"found 'Same' \(1 rows\) and 'same' \(15 rows\); make them one"),
    (lambda f: f.assign(y="same"), "expected 2 to 20 different labels, found 1 .*is --label the right column"),
    (lambda f: f.assign(y=f["a"]), "expected 2 to 20 different labels, found 32 "),
    (lambda f: f.head(0), "expected rows with a, b, y, found none"),
])  # fmt: skip
def test_what_is_wrong_is_named(read, change, message):
    with pytest.raises(TaskError, match=message):
        read(change(table()))


def test_other_rows_must_have_the_same_labels(read):
    names = read(table()).names
    assert read(table(2, seed=1), names=names).names == names
    with pytest.raises(TaskError, match="expected the labels different, same, found other"):
        read(table(2, ("same", "other")), names=names)
    with pytest.raises(TaskError, match="expected three different columns, found --text a a --label y"):
        own.read("x.csv", ("a", "a"), "y")


# ---------------------------------------------------------------- the split


@pytest.mark.parametrize(("n", "train", "dev", "test", "rest"), [
    (8, 5, 1, 2, 0), (16, 10, 2, 4, 0), (40, 16, 5, 10, 9), (43, 16, 16, 11, 0), (100, 16, 16, 25, 43),
])  # fmt: skip
def test_how_many_rows_of_a_label_go_where(read, n, train, dev, test, rest):
    parts = own.split(read(table(n)), 16, seed=0)
    counts = {name: getattr(parts, name)["label"].value_counts() for name in ("train", "dev", "test", "rest")}
    assert {name: set(found) or {0} for name, found in counts.items()} == {
        "train": {train}, "dev": {dev}, "test": {test}, "rest": {rest}}  # fmt: skip
    whole = pd.concat([parts.train, parts.dev, parts.test, parts.rest])
    assert len(whole) == 2 * n and not whole.duplicated().any()


def test_the_split_is_seeded_and_few_rows_are_refused(read):
    rows = read(table(30))
    one, same, other = (own.split(rows, 16, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(one.train, same.train)
    assert not one.train.equals(other.train)
    with pytest.raises(TaskError, match="expected at least 8 different pairs of every label, found 7 of 'different'"):
        own.split(read(table(7)), 16, seed=0)


def test_at_most_a_thousand_rows_are_held_out_in_the_file_s_proportions(read):
    frame = pd.concat([table(6000, ("same",)), table(2000, ("different",), seed=1)])
    counts = own.split(read(frame), 16, seed=0).test["label"].value_counts()
    assert counts.to_dict() == {"same": 750, "different": 250}


def test_given_test_rows_are_held_out_less_what_is_tuned_on(read):
    rows = read(table(16))
    train = own.split(rows, 16, 0, read(table(4, seed=9), names=rows.names)).train
    leaked = train.head(3).assign(sentence2=lambda f: f["sentence2"].str.upper())
    test = own.Own(pd.concat([read(table(4, seed=9), names=rows.names).rows, leaked]), rows.names)
    parts = own.split(rows, 16, 0, test)
    assert len(parts.test) == 8 and len(parts.train) == 2 * 14 and len(parts.dev) == 4
    assert rows.remarks == ["3 held-out rows are left out: they stand among the others, or nearly"]


# ---------------------------------------------------------------- texts


def texts(read, profile: str, *labels: str, both: bool = False, words=None):
    found, study = read(table(8, labels)), profiles.load_profile(profile)
    tokenizer = None if study.classifier.is_tiny or profile == "paper" else pretrained.load_tokenizer(study.classifier)
    return own.classifier_texts(found, study, tokenizer, words), *own.generator_texts(found, study, both)


def test_labels_that_say_what_the_task_is_get_its_texts(read):
    classifier, generator, decoding = texts(read, "paper", "Not duplicate", "Duplicate")
    assert classifier.verbalizer == {"Duplicate": "yes", "Not_duplicate": "no"} and "equivalent" in classifier.template
    assert generator.prefix["Not_duplicate"].startswith("Sentence 1 is different from") and generator.mode == "given_first"
    assert decoding["Not_duplicate"].repetition_penalty == 1.5
    classifier, generator, _ = texts(read, "pocket", "contradiction", "neutral", "entailment")
    assert classifier.verbalizer == {"contradiction": "no", "entailment": "yes", "neutral": "neutral"}
    assert generator.prefix["neutral"] == "furthermore :" and classifier.hand is None


def test_other_labels_get_words_of_the_classifier_each_its_own(read):
    classifier, generator, _ = texts(read, "pocket", "0", "1")
    assert classifier.verbalizer == {"0": "no", "1": "yes"} and len(set(generator.prefix.values())) == 2
    classifier, _, _ = texts(read, "pocket", *(f"topic {i}" for i in range(12)))
    assert len(set(classifier.verbalizer.values())) == 12
    classifier, _, _ = texts(read, "pocket", "0", "1", words={"1": "same"})
    assert classifier.verbalizer == {"0": "no", "1": "same"}
    with pytest.raises(TaskError, match="--words: expected labels of 0, 1, found 2"):
        texts(read, "pocket", "0", "1", words={"2": "same"})


def test_a_generator_of_both_sentences_is_not_greedy(read):
    for profile in ("paper", "pocket"):
        _, generator, decoding = texts(read, profile, "same", "different", both=True)
        assert generator.mode == "both" and all(rule.temperature > 0 for rule in decoding.values())


# ---------------------------------------------------------------- what is proposed, what is said


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "my pairs.csv"
    table(16).to_csv(path, index=False)
    return path


def test_a_proposal_writes_nothing_and_a_folder_is_written_once(pairs, tmp_path):
    options = {"profile": "smoke", "out": tmp_path / "run", "per_class": 24}
    plan = fit.proposed(pairs, TEXT, "y", **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my pairs.csv"]
    assert plan.values["shots"] == 10 and plan.values["prompt_tuning"]["eval_every"] == 24
    assert plan.lines[0] == "pairs        32 of my pairs.csv (different 16, same 16)"
    assert plan.lines[-1] == "warning      the models are tiny and random: nothing but plumbing"
    fit.set_up(plan)
    before = {path: path.stat().st_mtime_ns for path in plan.folder.rglob("*")}
    fit.set_up(fit.proposed(pairs, TEXT, "y", **options))
    assert before == {path: path.stat().st_mtime_ns for path in plan.folder.rglob("*")}
    study, task = profiles.load_profile(str(plan.folder / "run.yaml")), profiles.load_task("own_run")
    assert study.source == "local" and study.data_dir == str(plan.folder / "rows") and task.reject_containing == ["\n"]
    with pytest.raises(ValueError, match="made from, found other per_class; choose another --out, or --again"):
        fit.set_up(fit.proposed(pairs, TEXT, "y", **options | {"per_class": 23}))
    table(17).to_csv(pairs, index=False)
    with pytest.raises(ValueError, match="found other contents of file; choose"):
        fit.set_up(fit.proposed(pairs, TEXT, "y", **options))
    fit.set_up(fit.proposed(pairs, TEXT, "y", **options), again=True)


def test_a_run_named_like_a_known_task_leaves_that_as_it_is(pairs, tmp_path):
    known = profiles.load_task("mrpc")
    fit.set_up(fit.proposed(pairs, TEXT, "y", profile="smoke", out=tmp_path / "mrpc"))
    profiles.load_profile(str(tmp_path / "mrpc" / "mrpc.yaml"))
    assert profiles.load_task("mrpc") == known and profiles.load_task("own_mrpc").title == "mrpc"
    (tmp_path / "mrpc" / "tasks" / "own_mrpc.yaml").rename(tmp_path / "mrpc" / "tasks" / "mrpc.yaml")
    with pytest.raises(ValueError, match="expected a task of a name of its own, found one that params/tasks has"):
        profiles.load_profile(str(tmp_path / "mrpc" / "mrpc.yaml"))


def test_a_run_at_work_is_not_started_over(pairs, tmp_path):
    first, other = (fit.proposed(pairs, TEXT, "y", profile="smoke", out=tmp_path / "mine", seed=seed) for seed in (13, 14))
    fit.set_up(first)
    with FileLock(tmp_path / "mine" / ".lock"), pytest.raises(reproduce.BusyError, match="found one at work in .*mine"):
        fit.set_up(other, again=True)
    assert (tmp_path / "mine" / "rows").is_dir()
    fit.set_up(other, again=True)
    assert json.loads((tmp_path / "mine" / "fit.json").read_text())["options"]["seed"] == 14


def test_a_profile_by_its_path_is_the_same_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert profiles.as_asked("mine.yaml") == str(tmp_path / "mine.yaml") and profiles.as_asked("smoke") == "smoke"


def test_how_long_is_said_in_proportion_to_what_a_published_run_took(pairs):
    def seconds(**options) -> int:
        line = fit_told.lasting(fit.proposed(pairs, TEXT, "y", profile="smoke", **options).values, 2)
        assert line.endswith("scaled from what the published run of smoke took (one thread a job)")
        return int(re.search(r"about (\d+) s ", line)[1]) - int(len(fit_told.STEPS) * fit_told.START)

    assert 5 <= seconds(seeds=3) <= 90 and 1.8 <= seconds(seeds=6) / seconds(seeds=3) <= 2.2
    other = str(ROOT / "dawgen_core" / "pocket" / "weights" / "pocket-t5")
    no_run = fit.proposed(pairs, TEXT, "y", profile="smoke", classifier=other)
    assert fit_told.lasting(no_run.values, 2).startswith("time         not known: no run with")


def test_a_folder_of_something_else_is_not_touched(pairs, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    plan = fit.proposed(pairs, TEXT, "y", profile="smoke", out=tmp_path / "mine")
    with pytest.raises(ValueError, match="expected a new folder or one that `dawgen fit` made"):
        fit.made_before(plan)  # what --check asks
    for again in (False, True):
        with pytest.raises(ValueError, match="expected a new folder or one that `dawgen fit` made"):
            fit.set_up(plan, again=again)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(("options", "message"), [
    ({"shots": 0}, "--shots: expected 1 or more, at most 1,000,000, found 0"), ({"seeds": 0}, "--seeds: expected 1 or more"),
    ({"per_class": -1}, "--per-class: expected 1 or more"), ({"profile": "papper"}, "papper.yaml, found none; known here"),
    ({"out": "/tmp/a b"}, "--out: expected a folder named in letters"), ({"seed": -1}, "--seed: expected 0 or more"),
    ({"test": "no.csv"}, "expected a file of rows at no.csv"),
    ({"template": "{first} [MASK]"}, "template: expected {first}, {second} and"),
])  # fmt: skip
def test_wrong_options_are_named(pairs, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        fit.set_up(fit.proposed(pairs, TEXT, "y", **{"profile": "smoke", "out": tmp_path / "run"} | options))
    assert not (tmp_path / "run").exists()


def test_a_label_word_of_several_tokens_is_named_at_once(pairs):
    names = fit.proposed(pairs, TEXT, "y").asked["names"].values()
    words = dict(zip(names, ("magnificent", "no", "maybe"), strict=False))
    with pytest.raises(ValueError, match="verbalizer: expected a word that is one token of dawgen_core.*'magnificent'"):
        fit.proposed(pairs, TEXT, "y", words=words)


def test_words_that_pocket_models_do_not_know_are_a_warning(pairs):
    said = "warning      100% of the words are unknown to dawgen_core/pocket"
    assert fit.proposed(pairs, TEXT, "y").lines[-1].startswith(said)


def marks(**shares: float) -> dict[str, np.ndarray]:
    """Answers of ten seeds to 100 pairs; the first ones are right."""
    known = dict.fromkeys([*fit_report.METHODS, fit_report.MAJORITY], 0.5) | {
        {"ours": fit_report.OURS, "plain": fit_report.PLAIN}[name]: share for name, share in shares.items()}  # fmt: skip
    return {name: np.tile(np.arange(100) < 100 * share, (10, 1)) for name, share in known.items()}


def test_the_verdict_says_whether_it_helped_and_what_to_use_instead():
    helped = fit_report.verdict(marks(ours=0.9, plain=0.6))
    assert helped[0].startswith("The synthetic pairs helped: +30.0 points") and len(helped) == 2
    assert helped[1] == "The prompt that is saved, of the first seed, has 90 of 100 right (90.0%, 82.6% to 94.5%)."
    harmed = fit_report.verdict(marks(ours=0.75, plain=0.99))
    assert harmed[0].startswith("The synthetic pairs did harm: -24.0 points")
    assert harmed[2].startswith("Use “prompt tuning on the real pairs” instead (dawgen predict --prompt real): +24.0 points")
    unknown = fit_report.verdict(marks(ours=0.9, plain=0.89))
    assert unknown[0].startswith("Whether the synthetic pairs helped cannot be told: +1.0 points")
    assert unknown[2].startswith("Label more pairs")
    chance = fit_report.verdict(marks(ours=0.51, plain=0.4))
    assert chance[-1].startswith("It is not shown to be better than always saying the most frequent label")
    beaten = fit_report.verdict(marks(ours=0.51, plain=0.8))
    assert beaten[-2] == chance[-1]
    assert beaten[-1].startswith("“prompt tuning on the real pairs” is shown to be better than that: 80.0% (dawgen predict")
