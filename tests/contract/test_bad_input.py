"""Wrong input is named before any long work: what was expected, what was found, what to do; one's own rows load."""

import gzip
import json
import pickle
import shutil

import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from dawgen_core import artifacts, backbones
from dawgen_core.app import entry
from dawgen_core.app.preflight import preflight
from dawgen_core.artifacts import ArtifactError, Runs
from dawgen_core.backbones import BackboneError
from dawgen_core.data import adapters, pretrained
from dawgen_core.data.profiles import load_profile, load_task
from dawgen_core.data.rows import TaskRows
from dawgen_core.data.sources import Source
from dawgen_core.params import Backbone, ParamsError
from dawgen_core.tasks import TaskError

pytestmark = pytest.mark.usefixtures("at_once")
SMOKE, MRPC = "smoke.yaml", "tasks/mrpc.yaml"
TRAIN, SENTENCES = "embedded/mrpc/train.jsonl", "embedded/mrpc/sentences.txt"


def edit(path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def edit_row(path, number: int, **values) -> None:
    """Change fields of one JSON line; None takes the field out."""
    lines = path.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[number]) | values
    lines[number] = json.dumps({k: v for k, v in row.items() if v is not None})
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


# ---------------------------------------------------------------- profiles

BAD_PROFILES = {
    "malformed YAML": ("shots: 16", "shots: [16", "smoke.yaml: expected YAML, found"),
    "a tab": ("compute:\n", "compute:\n\t", "smoke.yaml: expected YAML, found"),
    "duplicate key": ("shots: 16", "shots: 16\nshots: 8", "line 12: expected each key once, a plain word, found 'shots'"),
    "duplicate nested key": ("  margin: 1.0", "  margin: 1.0\n  margin: 2.0", "each key once, a plain word, found 'margin'"),
    "unknown key": ("shots: 16", "shot: 16", "(?s)shots: Field required.*shot: Extra inputs are not permitted.*mean shots?"),
    "text for a number": ("virtual_lr: 2.0e-2", "virtual_lr: 5e-3", r"generator_tuning.virtual_lr: .*'5e-3'.*write 5\.0e-3"),
    "a number for a whole one": ("shots: 16", "shots: 16.5", "shots: .* integer, found 16.5"),
    "negative rate": ("lr: 0.3", "lr: -0.3", r"prompt_tuning.lr: .*greater than 0, found -0\.3"),
    "unknown choice": ("schedule: cosine", "schedule: linear", "schedule: .*'cosine' or 'constant', found 'linear'"),
    "unknown loss reading": ("discrimination: log_ratio", "discrimination: log", "'log_ratio'.*found 'log'"),
    "seeds twice": ("seeds: [13, 21]", "seeds: [13, 13]", r"seeds: expected at least one and no repeats, found \[13, 13\]"),
    "no task": ("tasks: [mrpc, sick]", "tasks: []", r"tasks: expected at least one and no repeats, found \[\]"),
    "missing task file": ("tasks: [mrpc, sick]", "tasks: [mrpc, sock]", "a file params/tasks/sock.yaml, found none"),
    "task with a path": ("tasks: [mrpc, sick]", "tasks: [../mrpc]", r"tasks.0: .*found '\.\./mrpc'"),
    "another name inside": ("profile: smoke", "profile: smoky", "profile: expected smoke, found smoky"),
    "closed sentences, real models": ("random_models: true", "random_models: false", "`close` is for random models"),
    "first sentences too long": ("max_first_tokens: 64", "max_first_tokens: 96", "expected less than 96, found 96"),
    "more tokens than positions": ("max_tokens: 96", "max_tokens: 300", "expected at most the generator's 256 positions"),
    "an oracle elsewhere": ("two_sample]", "two_sample, oracle]", "`oracle` with source pocket only, found embedded"),
    "arms without none": ("arms: [none, exact", "arms: [exact", "curation.arms: expected none and no repeats, found"),
    "more kept than written": ("kept_per_class: 16", "kept_per_class: 25", "kept_per_class: expected at most 24, found 25"),
    "no number to keep": ("    kept_per_class: 16  # ours: plumbing\n", "", "curation.kept_per_class: Field required"),
    "a circle": ("profile: smoke", "extends: smoke\nprofile: smoke", "extends: expected no circle, found smoke -> smoke"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_PROFILES)
def test_bad_profile(kind, copied_params):
    old, new, message = BAD_PROFILES[kind]
    edit(copied_params / SMOKE, old, new)
    with pytest.raises(ParamsError, match=message):
        load_profile("smoke")


def test_missing_profile(copied_params):
    with pytest.raises(ParamsError, match=r"smokey.yaml, found none; known here: curation, flan, .*smoke"):
        load_profile("smokey")


@pytest.mark.parametrize("content", [b"profile: caf\xe9\n", b"- a\n- b\n", b""], ids=["not UTF-8", "a list", "empty"])
def test_profile_that_is_not_a_mapping_in_utf8(content, copied_params):
    (copied_params / SMOKE).write_bytes(content)
    with pytest.raises(ParamsError, match=r"smoke.yaml: expected (UTF-8 text|keys with values), found"):
        load_profile("smoke")


# ---------------------------------------------------------------- task files

BAD_TASKS = {
    "a label without its word": ('equivalent: "yes"', 'equals: "yes"', "verbalizer: expected one entry for each"),
    "one word for two labels": ('equivalent: "yes"', 'equivalent: "no"', "expected a different word for each label"),
    "no [MASK]": ("? [MASK]", "?", r"template: expected {first}, {second} and \[MASK\] exactly once"),
    "a label that is no folder": ("labels: [not_equivalent", "labels: [not/equivalent", "labels.0: .*found 'not/eq"),
    "another name inside": ("task: mrpc", "task: rte", "task: expected mrpc, found rte"),
    "not there": ("train: {file: mrpc/train.jsonl,", "train: {", "train.file: expected a value"),
    "penalty below one": ("repetition_penalty: 1.5", "repetition_penalty: 0.5", "greater than or equal to 1, found 0.5"),
}


@pytest.mark.parametrize("kind", BAD_TASKS)
def test_bad_task(kind, copied_params):
    old, new, message = BAD_TASKS[kind]
    edit(copied_params / MRPC, old, new)
    with pytest.raises((ParamsError, TaskError), match=message):
        load_task("mrpc")


HAND = """  hand:
    template: "{first} ? {second} . [MASK]"
    verbalizer: {not_equivalent: "no", equivalent: "yes"}

generator:
"""
BAD_HANDS = {
    "no [MASK]": (" [MASK]", "", r"classifier.hand.template: expected .* \[MASK\] exactly once, found \['{first}', '{sec"),
    "[MASK] twice": ("[MASK]", "[MASK] [MASK]", r"classifier.hand.template: .*found \['\[MASK\]', '\[MASK\]'"),
    "no {second}": ("{second}", "it", r"classifier.hand.template: .*found \['\[MASK\]', '{first}'\]"),
    "{first} twice": ("{second}", "{second} {first}", r"classifier.hand.template: .*'{first}', '{first}', '{second}'\]"),
    "an unknown place": ("{first} ?", "{first} {third} ?", r"classifier.hand.template: expected .*'{third}'\]"),
    "a label without its word": (', equivalent: "yes"', "", "classifier.hand.verbalizer: expected one entry for each of"),
    "a label too many": ('"yes"}', '"yes", same: "so"}', "classifier.hand.verbalizer: expected one entry for each of"),
    "one word for two labels": ('"yes"}', '"no"}', "classifier.hand.verbalizer: expected a different word for each label"),
    "unknown key": ("    template:", "    templates:", "(?s)hand.template: Field required.*hand.templates: Extra inputs"),
}


@pytest.mark.parametrize("kind", BAD_HANDS)
def test_bad_hand_prompt(kind, copied_params):
    old, new, message = BAD_HANDS[kind]
    edit(copied_params / MRPC, "\ngenerator:\n", HAND)
    assert load_task("mrpc").classifier.hand.template == "{first} ? {second} . [MASK]"
    assert old in HAND
    edit(copied_params / MRPC, HAND, HAND.replace(old, new, 1))
    with pytest.raises((ParamsError, TaskError), match=message):
        load_task("mrpc")


def test_a_task_needs_no_hand_prompt():
    assert load_task("mrpc").classifier.hand is None


def test_missing_task():
    with pytest.raises(ParamsError, match="sock.yaml, found none; known here: mnli, mrpc"):
        load_task("sock")


def test_task_without_the_source_of_the_profile(smoke):
    with pytest.raises(TaskError, match="task mnli: expected a source 'embedded', found local, hub"):
        TaskRows(load_task("mnli"), smoke)


# ---------------------------------------------------------------- rows


def mrpc_rows() -> TaskRows:
    return TaskRows(load_task("mrpc"), load_profile("smoke"))


BAD_ROWS = {
    "unknown label": ({"label": "same"}, r"train.jsonl, row \d+: expected a label of \['not_equivalent', .*found 'same'"),
    "no label": ({"label": None}, r"row \d+: expected the columns .*'label'\], found \['sentence1', 'sentence2'\]"),
    "missing column": ({"sentence2": None}, r"row \d+: expected the columns .*found \['sentence1', 'label'\]"),
    "empty text": ({"sentence1": " "}, r"row \d+: expected text in both fields, found ' '"),
    "a number for a text": ({"sentence2": 7}, r"row \d+: expected text in both fields, found 7"),
    "another label": ({"label": "equivalent"}, "train.jsonl: expected label counts .*40.*found .*41"),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_bad_row(kind, copied_params):
    change, message = BAD_ROWS[kind]
    lines = (copied_params / TRAIN).read_text(encoding="utf-8").splitlines()
    number = next(i for i, line in enumerate(lines) if json.loads(line)["label"] == "not_equivalent")
    edit_row(copied_params / TRAIN, number, **change)
    with pytest.raises(TaskError, match=message):
        mrpc_rows().pool()


BAD_FILES = {
    "a row dropped": (lambda text: text.partition(b"\n")[2], "expected 80 rows, found 79"),
    "a row twice": (lambda text: text + text.partition(b"\n")[0] + b"\n", "expected 80 rows, found 81"),
    "bad JSON line": (lambda text: text.replace(b"{", b"", 1), "train.jsonl, line 1: expected one JSON object, found '"),
    "a list for a row": (lambda text: b"[1]\n" + text, "line 1: expected one JSON object, found list"),
    "not UTF-8": (lambda text: text.replace(b"said", "caf\u00e9".encode("latin-1"), 1), "expected UTF-8 text, found a byte"),
    "nothing": (lambda text: b"", "expected 80 rows, found 0"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_file(kind, copied_params):
    change, message = BAD_FILES[kind]
    path = copied_params / TRAIN
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(TaskError, match=message):
        mrpc_rows().pool()


def test_missing_file(copied_params):
    (copied_params / TRAIN).unlink()
    with pytest.raises(TaskError, match="expected a file of rows at .*train.jsonl, found none"):
        mrpc_rows().pool()


def test_first_sentences_one_short(copied_params):
    path = copied_params / SENTENCES
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]), encoding="utf-8")
    with pytest.raises(TaskError, match="sentences.txt: expected 150 lines, found 149"):
        mrpc_rows().first_sentences(5, torch.Generator())


def test_pool_with_31_rows_of_a_class(copied_params):
    path = copied_params / TRAIN
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    kept = [r for r in rows if r["label"] == "equivalent"] + [r for r in rows if r["label"] != "equivalent"][:31]
    path.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    edit(copied_params / MRPC, "rows: 80, labels: {not_equivalent: 40,", "rows: 71, labels: {not_equivalent: 31,")
    with pytest.raises(ValueError, match=r"expected at least 32 rows of class .*\(16 to train, 16 for dev\), found 31"):
        mrpc_rows().few_shot(13)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda train, dev: train.pop(0), "16-13/train.jsonl: expected 16 rows of each label, found .*15"),
        (lambda train, dev: [dev.pop(0), dev.pop()], "16-13/dev.jsonl: expected 16 rows of each label, found .*15.*15"),
        (lambda train, dev: dev.__setitem__(0, train[0]), "mrpc: expected train and dev without a shared pair"),
    ],
    ids=["15 rows of a class", "15 of each in dev, which is chosen by", "train and dev share a pair"],
)
def test_bad_ready_made_split(change, message, copied_params):
    first = "    first_sentences: {file"
    edit(copied_params / MRPC, first, f"    ready_made: 16-{{seed}}/{{split}}.jsonl\n{first}")
    train, dev = (part.drop(columns="row_id").to_dict("records") for part in mrpc_rows().few_shot(13))
    change(train, dev)
    folder = copied_params / "embedded" / "16-13"
    folder.mkdir()
    for name, rows in (("train", train), ("dev", dev)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(TaskError, match=message):
        mrpc_rows().few_shot(13)


@pytest.mark.parametrize("data", ["none", "/no/such/folder"])
def test_missing_folder_of_rows(data, monkeypatch):
    monkeypatch.setenv("DAWGEN_DATA", data)
    with pytest.raises(ParamsError, match=f"found none at .*{data}; set DAWGEN_DATA or data_dir"):
        TaskRows(load_task("mrpc"), load_profile("paper"))


# ---------------------------------------------------------------- rows of one's own: the template task


def pairs(n: int, label: str) -> pd.DataFrame:
    first, second = [f"pair {i} of NA" for i in range(n)], [f"{label} {i} \u00e9" for i in range(n)]
    return pd.DataFrame({"text_a": first, "text_b": second, "y": label})


@pytest.fixture
def own_rows(copied_params, tmp_path, monkeypatch):
    """Writes my_task's rows in a format and gives their TaskRows."""
    folder = tmp_path / "rows" / "my_task"
    folder.mkdir(parents=True)
    (folder / "sentences.txt").write_text("".join(f"A sentence with number {i} .\n" for i in range(40)), encoding="utf-8")
    text = (copied_params / SMOKE).read_text(encoding="utf-8")
    text = text.replace("profile: smoke", "profile: mine").replace("source: embedded", "source: local")
    (copied_params / "mine.yaml").write_text(text.replace("tasks: [mrpc, sick]", "tasks: [my_task]"), encoding="utf-8")
    monkeypatch.setenv("DAWGEN_DATA", str(folder.parent))

    def written(suffix: str, frame: pd.DataFrame | None = None) -> TaskRows:
        frame = pd.concat([pairs(33, "different"), pairs(33, "same")]) if frame is None else frame
        for part in ("train", "test"):
            path = folder / f"{part}.{suffix}"
            if part == "test":  # other rows than those to train on
                frame = frame.assign(text_a="tested " + frame["text_a"].astype(str))
            if "jsonl" in suffix:
                frame.to_json(path, orient="records", lines=True, force_ascii=False)
            elif suffix == "parquet":
                frame.to_parquet(path, index=False)
            else:
                frame.to_csv(path, sep="\t" if "tsv" in suffix else ",", index=False)
            edit(copied_params / "tasks" / "my_task.yaml", f"my_task/{part}.csv", f"my_task/{part}.{suffix}")
        return TaskRows(load_task("my_task"), load_profile("mine"))

    return written


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "csv.gz", "tsv.gz", "jsonl.gz"])
def test_own_rows_in_every_format(suffix, own_rows):
    rows = own_rows(suffix)
    train, dev = rows.few_shot(13)
    assert len(rows.test()) == 66 and len(train) == len(dev) == 32
    assert rows.pool().iloc[0].tolist() == [f"my_task/train.{suffix}#0", "pair 0 of NA", "different 0 \u00e9", "different"]
    ids, sentences = rows.first_sentences(10, torch.Generator().manual_seed(0))
    assert len(set(sentences)) == 10 and rows.sentences_of(ids) == sentences


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_numbers_as_labels_are_named_in_the_task(suffix, own_rows, copied_params):
    path = copied_params / "tasks" / "my_task.yaml"
    edit(path, "    # label_names:", "    label_names:")
    frame = pd.concat([pairs(33, "different").assign(y=0), pairs(33, "same").assign(y=1)])
    assert own_rows(suffix, frame).pool()["label"].value_counts().to_dict() == {"different": 33, "same": 33}


def test_an_absent_text_in_parquet(own_rows):
    frame = pd.concat([pairs(33, "different"), pairs(33, "same")]).reset_index(drop=True)
    frame.loc[5, "text_b"] = None
    with pytest.raises(TaskError, match="row 5: expected text in both fields"):
        own_rows("parquet", frame).pool()


@pytest.mark.parametrize("suffix", ["csv.gz", "jsonl.gz", "parquet"])
def test_truncated_rows(suffix, own_rows):
    rows = own_rows(suffix)
    path = rows.folder / "my_task" / f"train.{suffix}"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(TaskError, match=f"train.{suffix}: expected a whole .*, found"):
        rows.pool()


def test_damaged_gzip(own_rows):
    rows = own_rows("jsonl.gz")
    path = rows.folder / "my_task" / "train.jsonl.gz"
    content = bytearray(path.read_bytes())
    content[120:160] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(TaskError, match="train.jsonl.gz: expected"):
        rows.pool()


def test_not_utf8_csv_and_unknown_format(own_rows, copied_params):
    rows = own_rows("csv")
    path = rows.folder / "my_task" / "train.csv"
    path.write_bytes(path.read_bytes().decode("utf-8").encode("latin-1"))
    with pytest.raises(TaskError, match="train.csv: expected UTF-8 text"):
        rows.pool()
    edit(copied_params / "tasks" / "my_task.yaml", "train.csv", "train.xlsx")
    (path.parent / "train.xlsx").write_bytes(b"")
    with pytest.raises(TaskError, match=r"expected .jsonl, .csv, .tsv or .parquet \(.gz allowed\), found .xlsx"):
        TaskRows(load_task("my_task"), load_profile("mine")).pool()


# ---------------------------------------------------------------- rows by name, as the hub gives them


@pytest.fixture
def hub_rows(copied_params, tmp_path, monkeypatch):
    """MRPC's task pointed at a folder in the hub's layout: parquet splits, labels as numbers with names, -1 for none."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    names = datasets.ClassLabel(names=["not_equivalent", "equivalent"])
    features = datasets.Features({"a": datasets.Value("string"), "b": datasets.Value("string"), "label": names})
    folder = tmp_path / "hub"
    folder.mkdir()
    labels = [-1] + [i % 2 for i in range(80)]
    columns = {"a": [f"first {i}" for i in range(81)], "b": [f"second {i}" for i in range(81)], "label": labels}
    for split in ("train", "validation"):
        if split == "validation":  # other rows than those to train on
            columns = columns | {"a": [f"tested {text}" for text in columns["a"]]}
        datasets.Dataset.from_dict(columns, features).to_parquet(folder / f"{split}.parquet")
    counts = "rows: 80, labels: {equivalent: 40, not_equivalent: 40}"
    head, _, _ = (copied_params / MRPC).read_text(encoding="utf-8").partition("sources:")
    source = f"""sources:
  hub:
    shown_as: "rows by name"
    hub: {{path: "{folder}"}}
    columns: {{sentence1: a, sentence2: b, label: label}}
    drop_labels: ["-1"]
    train: {{split: train, {counts}}}
    test: {{split: validation, {counts}}}
    first_sentences: {{hub: {{path: "{folder}"}}, split: train, field: a, min_words: 2, max_words: 2}}
"""
    (copied_params / MRPC).write_text(head + source, encoding="utf-8")
    edit(copied_params / SMOKE, "source: embedded", "source: hub")
    return mrpc_rows()


def test_hub_rows_with_named_labels(hub_rows):
    pool = hub_rows.pool()
    assert len(pool) == 80 and pool.loc[0, "sentence1"] == "first 1"  # row 0 has no gold label
    assert pool["label"].tolist()[:2] == ["not_equivalent", "equivalent"]
    train, dev = hub_rows.few_shot(13)
    assert len(train) == len(dev) == 32
    ids, sentences = hub_rows.first_sentences(7, torch.Generator().manual_seed(0))
    assert hub_rows.sentences_of(ids) == sentences


def test_hub_rows_of_another_number(hub_rows, copied_params):
    edit(copied_params / MRPC, "train: {split: train, rows: 80", "train: {split: train, rows: 81")
    with pytest.raises(TaskError, match="hub:train: expected 81 rows, found 80"):
        mrpc_rows().pool()


def test_hub_rows_without_dropping(hub_rows, copied_params):
    edit(copied_params / MRPC, 'drop_labels: ["-1"]', "drop_labels: []")
    with pytest.raises(TaskError, match="hub:train, row 0: expected a label of .*found '-1'"):
        mrpc_rows().pool()


# ---------------------------------------------------------------- what a notebook is given


@pytest.mark.parametrize("seeds", [[13], "[13]", [21, 13], "[13, 21]"])
def test_seeds_as_list_or_text(seeds, smoke):
    assert entry.chosen_seeds(seeds, smoke) == (json.loads(seeds) if isinstance(seeds, str) else seeds)


@pytest.mark.parametrize("seeds", ["x", "[13", 13, "13", [], ["13"], [13.0], [True], None])
def test_seeds_that_are_no_list(seeds, smoke):
    with pytest.raises(ParamsError, match=r"seeds: expected a list of whole numbers such as \[13\], found"):
        entry.chosen_seeds(seeds, smoke)


def test_seeds_and_tasks_of_another_profile(smoke):
    with pytest.raises(ParamsError, match=r"expected seeds of profile smoke \(\[13, 21\]\), found \[42\]"):
        entry.chosen_seeds([13, 42], smoke)
    with pytest.raises(ParamsError, match=r"task: expected one of profile smoke \(mrpc, sick\), found 'qqp'"):
        entry.chosen_task("qqp", smoke)


# ---------------------------------------------------------------- models


def test_a_label_word_of_several_tokens(classifier):
    with pytest.raises(BackboneError, match=r"one token of tiny:t5.*found 'zebra crossing' = \[.*choose another word"):
        backbones.word_id(classifier.tokenizer, "zebra crossing", classifier.name)


def test_cuda_in_vain(smoke, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackboneError, match="expected a CUDA device, found none; set device: auto or cpu"):
        backbones.device_of(smoke.compute.model_copy(update={"device": "cuda"}))


def t5_at(place, classifier, **shape) -> Backbone:
    config = classifier.model.config
    return Backbone(model=str(place), architecture="t5", shape={"d_model": config.d_model} | shape)


@pytest.mark.parametrize("place", ["/no/such/folder", "./nowhere", "nobody/nothing", "weights/of/nothing"])
def test_missing_model(place, smoke, classifier):
    with pytest.raises(BackboneError, match="model: expected .*found none"):
        pretrained.load_classifier(t5_at(place, classifier), smoke.compute)


@pytest.fixture
def saved_t5(classifier, tmp_path):
    classifier.model.save_pretrained(tmp_path / "t5")
    classifier.tokenizer.save_pretrained(tmp_path / "t5")
    return tmp_path / "t5"


def test_a_model_folder_loads_and_its_shape_is_checked(saved_t5, smoke, classifier):
    again = pretrained.load_classifier(t5_at(saved_t5, classifier), smoke.compute)
    assert again.weights_digest() == classifier.weights_digest()
    with pytest.raises(BackboneError, match="shape.d_model: expected 33, found 32"):
        pretrained.load_classifier(t5_at(saved_t5, classifier, d_model=33), smoke.compute)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_model_folder_with_a_truncated_file(name, saved_t5, smoke, classifier):
    path = saved_t5 / name
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BackboneError, match=r"model: expected"):
        pretrained.load_classifier(t5_at(saved_t5, classifier), smoke.compute)


@pytest.mark.parametrize("ruined", ["without its tokenizer", "with weights cut short"])
def test_a_ruined_model_folder_stops_before_anything_starts(ruined, saved_t5, smoke, classifier):
    """transformers would build an empty tokenizer, and read the weights in notebook 04, after all of 01 and 02."""
    if ruined == "without its tokenizer":
        (saved_t5 / "tokenizer.json").unlink()
    else:
        (saved_t5 / "model.safetensors").write_bytes((saved_t5 / "model.safetensors").read_bytes()[:100])
    study = smoke.model_copy(update={"classifier": t5_at(saved_t5, classifier)})
    with pytest.raises(BackboneError, match=r"model: expected (a folder with weights, .* a tokenizer|whole weights in)"):
        preflight(study, TaskRows(load_task("mrpc"), study))


def test_a_task_that_is_tested_on_what_it_is_trained_on():
    plain = load_task("pocket_snli").sources["pocket"].model_dump()
    with pytest.raises(ValidationError, match="test.split: expected another one than train.split, found 'pool' for both"):
        Source(**{**plain, "test": plain["train"]})


def test_a_model_folder_with_a_tensor_missing(saved_t5, smoke, classifier):
    """transformers would fill the gap with random numbers and only log it."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(saved_t5 / "model.safetensors")
    tensors.pop("encoder.final_layer_norm.weight")
    save_file(tensors, saved_t5 / "model.safetensors", {"format": "pt"})
    with pytest.raises(BackboneError, match="encoder.final_layer_norm.weight"):
        pretrained.load_classifier(t5_at(saved_t5, classifier), smoke.compute)


# ---------------------------------------------------------------- artifacts


@pytest.fixture
def finished(tmp_path):
    """One finished folder of rows."""
    folder = Runs(tmp_path).synthetic("mrpc", 13, "dawgen")
    artifacts.write_table(folder / "synthetic.parquet", pairs(9, "same"))
    artifacts.finish(folder, "synthetic", {"seed": 13}, {}, {"seconds": 0.1})
    return folder


@pytest.mark.parametrize(("kind", "notebook"), sorted(artifacts.NOTEBOOKS.items()))
def test_a_missing_artifact_names_its_notebook(kind, notebook, tmp_path):
    with pytest.raises(ArtifactError, match=f"expected .*result.json, found none; run notebook {notebook} first"):
        artifacts.verified(tmp_path / "nothing", kind)


def truncate(path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def turn_round(path) -> None:
    pd.read_parquet(path).iloc[::-1].to_parquet(path, index=False)


@pytest.mark.parametrize(
    ("change", "found"),
    [(truncate, "another digest"), (turn_round, "another digest"), (lambda path: path.unlink(), "found none")],
    ids=["truncated", "edited", "lost"],
)
def test_an_artifact_that_changed(change, found, finished):
    assert artifacts.done(finished, "synthetic", {"seed": 13}) and not artifacts.done(finished, "synthetic", {"seed": 21})
    change(finished / "synthetic.parquet")
    with pytest.raises(ArtifactError, match=f"synthetic.parquet .*{found}.*delete .* and run notebook 02_generation again"):
        artifacts.verified(finished, "synthetic")


def test_a_truncated_result(finished):
    truncate(finished / "result.json")
    with pytest.raises(ArtifactError, match="result.json: expected JSON, found a truncated.*02_generation"):
        artifacts.verified(finished, "synthetic")


def test_an_unfinished_folder_is_done_again(finished):
    (finished / "result.json").unlink()
    assert not artifacts.done(finished, "synthetic", {"seed": 13})


def test_a_pickle_in_place_of_a_prompt(tmp_path):
    (tmp_path / "adapter_model.safetensors").write_bytes(pickle.dumps({"prompt_embeddings": [[0.0]]}))
    with pytest.raises(ArtifactError, match="adapter_model.safetensors: expected a whole safetensors file"):
        adapters.load_prompt(tmp_path)


def test_a_prompt_with_another_name_or_cut_off(tmp_path):
    path = tmp_path / "adapter_model.safetensors"
    artifacts.write_tensors(path, {"q_CSD": torch.zeros(2, 3, 5)})
    with pytest.raises(ArtifactError, match=r"expected one tensor prompt_embeddings \[P, D\], found \['q_CSD'\]"):
        adapters.load_prompt(tmp_path)
    truncate(path)
    with pytest.raises(ArtifactError, match="expected a whole safetensors file"):
        adapters.load_prompt(tmp_path)
    shutil.rmtree(tmp_path)
    with pytest.raises(ArtifactError, match="adapter_model.safetensors, found none"):
        adapters.load_prompt(tmp_path)


def test_gzip_that_is_none(own_rows):
    rows = own_rows("jsonl.gz")
    path = rows.folder / "my_task" / "train.jsonl.gz"
    path.write_bytes(gzip.decompress(path.read_bytes()))
    with pytest.raises(TaskError, match="train.jsonl.gz: expected a whole gzip file"):
        rows.pool()


# ---------------------------------------------------------------- stale, leaking, late


def test_a_result_made_under_other_settings_is_stale(finished):
    folder, kind = finished.parent if finished.is_file() else finished, "synthetic"
    artifacts.finish(folder, kind, {"settings": {"lr": 0.1}}, {}, {})
    artifacts.verified(folder, kind, {"settings": {"lr": 0.1}})
    with pytest.raises(ArtifactError, match="lr: now 0.2, then 0.1.*run notebook 02_generation"):
        artifacts.verified(folder, kind, {"settings": {"lr": 0.2}})
    assert not artifacts.done(folder, kind, {"settings": {"lr": 0.2}})
    with pytest.raises(ArtifactError, match="expected a result of kind generator, found synthetic"):
        artifacts.verified(folder, "generator")


def test_a_folder_begun_again_is_unfinished_and_empty(tmp_path):
    (tmp_path / "old.txt").write_text("left over")
    artifacts.finish(tmp_path, "audit", {}, {}, {})
    artifacts.begin(tmp_path)
    assert not list(tmp_path.iterdir()) and not artifacts.done(tmp_path, "audit", {})


def test_rows_of_the_test_set_never_train(own_rows, copied_params):
    own_rows("csv")
    edit(copied_params / "tasks" / "my_task.yaml", "my_task/test.csv", "my_task/train.csv")
    with pytest.raises(TaskError, match=r"without rows of the test set.*found 0"):
        TaskRows(load_task("my_task"), load_profile("mine")).few_shot(13)


@pytest.mark.parametrize("line", ["x,pair,different pair,different", "pair,different"])
def test_a_row_with_more_or_fewer_fields(line, own_rows):
    rows = own_rows("csv")
    path = rows.folder / "my_task" / "train.csv"
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(TaskError, match="row 67 below the header: expected 3 fields as there"):
        rows.pool()


def test_a_lone_quotation_mark_in_tsv_is_just_that(own_rows):
    frame = pd.concat([pairs(33, "different"), pairs(33, "same")]).reset_index(drop=True)
    frame.loc[0, "text_a"] = 'he said "no'
    path = own_rows("tsv", frame).folder / "my_task" / "train.tsv"
    path.write_text("text_a\ttext_b\ty\n" + "\n".join("\t".join(map(str, row)) for row in frame.values), encoding="utf-8")
    assert TaskRows(load_task("my_task"), load_profile("mine")).pool()["sentence1"][0] == 'he said "no'


def test_preflight_finds_a_label_word_of_several_tokens_before_any_work(copied_params):
    edit(copied_params / MRPC, 'equivalent: "yes"', 'equivalent: "zebra-crossing!"')
    preflight(load_profile("smoke"), mrpc_rows())  # a tiny vocabulary holds the task's own words
    tokenizer = pretrained.load_tokenizer(load_profile("smoke").classifier, ["no", "yes"])
    with pytest.raises(BackboneError, match="one token"):
        backbones.word_id(tokenizer, "zebra-crossing!", "tiny")


@pytest.mark.parametrize(("n_lines", "message"), [(149, "149 lines, found 150"), (150, "24 of allowed length, found 0")])
def test_preflight_counts_first_sentences(n_lines, message, copied_params):
    changed = f"n_lines: {n_lines}, min_words: 99, max_words: 99"
    edit(copied_params / MRPC, "n_lines: 150, min_words: 3, max_words: 30", changed)
    with pytest.raises(TaskError, match=message):
        preflight(load_profile("smoke"), mrpc_rows())
