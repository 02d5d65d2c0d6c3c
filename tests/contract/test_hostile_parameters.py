"""Hostile profiles and task files: refused by bounded work, with a clear message, and nothing is made."""

import re
from pathlib import Path

import pytest

from dawgen_core.artifacts import ArtifactError, Runs, begin
from dawgen_core.audit import claims
from dawgen_core.backbones import BackboneError
from dawgen_core.beyond import sweeps
from dawgen_core.data import pretrained
from dawgen_core.data.profiles import load_profile, load_task, read_yaml
from dawgen_core.data.rows import TaskRows
from dawgen_core.params import ParamsError
from dawgen_core.tasks import TaskError

SMOKE, MRPC = "smoke.yaml", "tasks/mrpc.yaml"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
PLAIN = "wanted: plain values, written out"

# What a whole file holds, and what is said of it.
FILES = {
    "a tag that runs a command": ("about: !!python/object/apply:os.system ['touch pwned']", rf"tag .*os.system \({PLAIN}"),
    "a tag that makes an object": ("about: !!python/object:pathlib.Path {}", rf"the tag .*pathlib.Path \({PLAIN}"),
    "a tag that imports a name": ("about: !!python/name:os.system ''", "the tag .*python/name:os.system"),
    "a tag of one's own": ("about: !evil x", "the tag !evil"),
    "bytes": ("about: !!binary aGVsbG8=", "the tag .*binary"),
    "a bomb of aliases": (BOMB, rf"the anchor or alias a \({PLAIN}"),
    "an alias inside itself": ("a: &a [*a]", "the anchor or alias a"),
    "an alias of nothing": ("a: *b", "the anchor or alias b"),
    "a merged alias": ("a: &a {b: 1}\nc:\n  <<: *a", "the anchor or alias a"),
    "depth in brackets": ("a: " + "[" * 30_000, "more than 20 levels"),
    "depth in lines": ("".join(" " * i + "a:\n" for i in range(200)), "more than 20 levels"),
    "a file without end": ("about: x\n" + "# more\n" * 10_000, "expected a file of at most 60,000 bytes, found 70,009"),
    "a number without end": (f"shots: {'9' * 5000}", "expected plain values, found one that cannot be read"),
    "a hexadecimal number without end": (
        f"profile: smoke\nshots: 0x{'f' * 5000}",
        "shots: .*a number of thousands of digits",
    ),
    "no date": ("about: 2024-02-31", "expected plain values, found one that cannot be read .day is out of range"),
    "no number": ("shots: 0b_", "expected plain values, found one that cannot be read"),
    "a NUL byte": ("about: \0", "expected YAML, found unacceptable character #x0000"),
    "two documents": ("a: 1\n---\na: 2", "expected YAML, found expected a single document"),
    "a list as a key": ("? [a, b]\n: 1", "each key once, a plain word, found"),
    "UTF-16": ("profile: smoke".encode("utf-16"), "expected UTF-8 text, found a byte"),
}


@pytest.mark.parametrize("kind", FILES)
def test_hostile_yaml(kind, copied_params, unharmed, monkeypatch):
    content, message = FILES[kind]
    (copied_params / SMOKE).write_bytes(content if isinstance(content, bytes) else content.encode())
    with unharmed(), pytest.raises(ParamsError, match=f"(?s)smoke.yaml.*{message}"):
        load_profile("smoke")


def test_a_task_file_a_sweep_and_the_claims_are_read_by_the_same_reader(copied_params, smoke, monkeypatch, unharmed):
    """One reader, so that one set of cases is enough."""
    monkeypatch.setattr(claims, "FILE", copied_params / "claims.yaml")
    for name, read in (
        (MRPC, lambda: load_task("mrpc")),
        ("beyond/smoke.yaml", lambda: sweeps.load(smoke)),
        ("claims.yaml", claims.load),
    ):
        (copied_params / name).write_text(BOMB)
        with unharmed(), pytest.raises(ParamsError, match="the anchor or alias a"):
            read()


MARKUP = r"letters|one line of plain text, without <>\|`\$\\ and invisible characters"
VALUES = {  # old, new, message: in the smoke profile
    "a name that leads out": ("profile: smoke", "profile: ../smoke", "profile: .*letters, digits, _ and - only"),
    "an absolute name": ("profile: smoke", "profile: /etc/passwd", "profile: .*letters, digits, _ and - only"),
    "a name without end": (
        "profile: smoke",
        f"profile: {'a' * 20_000}",
        r"profile: .*at most 100 characters, found '.{150,220}$",
    ),
    "a name with a line end": ("profile: smoke", 'profile: "smoke\\n"', "profile: .*letters, digits, _ and - only"),
    "a task that leads out": ("tasks: [mrpc, sick]", "tasks: [../../x]", "tasks.0: .*letters, digits"),
    "an absolute task": ("tasks: [mrpc, sick]", "tasks: [/etc/x]", "tasks.0: .*letters, digits"),
    "a task of others that leads out": (
        "seeds_per_job",
        "extra_synthetic: {mrpc: [../x]}\nseeds_per_job",
        "mrpc.0: .*'../x'",
    ),
    "a basis that leads out": (
        "profile: smoke",
        "extends: ../../etc/smoke\nprofile: smoke",
        "profile: expected a name in letters",
    ),
    "an infinite rate": ("lr: 0.3", "lr: .inf", "lr: .*finite number, found inf"),
    "an infinite decay": ("weight_decay: 0.0", "weight_decay: .inf", "weight_decay: .*finite number, found inf"),
    "no number for a margin": ("margin: 1.0", "margin: .nan", "margin: .*finite number, found nan"),
    "infinitely many attempts": (
        "max_attempts_per_row:",
        "max_attempts_per_row: .inf  #",
        "attempts_per_row: .*finite number",
    ),
    "a seed of thirty digits": ("seeds: [13, 21]", f"seeds: [{10**30}]", "seeds.0: .*less than 4294967296"),
    "a negative seed": ("seeds: [13, 21]", "seeds: [-1]", "seeds.0: .*greater than or equal to 0, found -1"),
    "shots of thirty digits": ("shots: 16", f"shots: {10**30}", "shots: .*less than or equal to 1000000000"),
    "ten thousand wrong seeds": ("seeds: [13, 21]", f"seeds: [{'x, ' * 10_000}x]", r"(?s)seeds.19: .*and 9981 more$"),
    "markup in what is said of it": ('about: "', 'about: "<script>alert(1)</script>', "about: .*without <>"),
    "a control in what is said of it": ('about: "', 'about: "\\e[2J', "about: .*invisible characters"),
    "an unknown key that is a path": ("shots: 16", "shots: 16\n../../x: 1", r"\.\./\.\./x: Extra inputs are not permitted"),
}


@pytest.mark.parametrize("kind", VALUES)
def test_hostile_values_of_a_profile(kind, copied_params, unharmed):
    old, new, message = VALUES[kind]
    path = copied_params / SMOKE
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with unharmed(), pytest.raises(ParamsError, match=message) as found:
        load_profile("smoke")
    assert len(str(found.value)) < 8000


TASK_VALUES = {
    "HTML for a title": ('title: "MRPC"', 'title: "<img src=x onerror=alert(1)>"', "title: .*without <>"),
    "LaTeX for a title": ('title: "MRPC"', r"title: '\input{/etc/passwd}'", "title: .*plain text"),
    "mathematics for a title": ('title: "MRPC"', "title: '$\\frac{$'", "title: .*plain text"),
    "a table for a title": ('title: "MRPC"', "title: 'a | b'", "title: .*plain text"),
    "a formula for a title": ('title: "MRPC"', "title: '=cmd|x'", "title: .*not beginning as a formula"),
    "another direction in a title": ('title: "MRPC"', 'title: "\\u202Ecprm"', "title: .*invisible characters"),
    "two lines for a title": ('title: "MRPC"', 'title: "a\\n# b"', "title: .*one line"),
    "markup for the rows' name": ('shown_as: "made-up', 'shown_as: "<b>made-up', "shown_as: .*without <>"),
    "markup for a licence": ('licence: "MIT', 'licence: "<b>MIT', "licence: .*without <>"),
    "a label that leads out": ("labels: [not_equivalent", "labels: [../../x", "labels.0: .*letters, digits"),
    "a label of markup": ("labels: [not_equivalent", "labels: ['<b>'", "labels.0: .*letters, digits"),
    "a file that leads out": ("mrpc/train.jsonl,", "../../secret.jsonl,", "train.file: .*below the folder of rows"),
    "a file that leads out later": ("mrpc/train.jsonl,", "mrpc/../../secret.jsonl,", "train.file: .*below the folder"),
    "an absolute file": ("mrpc/train.jsonl,", "/etc/passwd,", "train.file: .*below the folder of rows: relative"),
    "an absolute file of Windows": ("mrpc/train.jsonl,", "'C:\\secret.jsonl',", "train.file: .*below the folder of rows"),
    "sentences that lead out": ("mrpc/sentences.txt", "../../secret.txt", "first_sentences.file: .*below the folder"),
    "an attribute in a pattern": (
        "    train: {file",
        "    ready_made: '{seed.__class__}/{split}'\n    train: {file",
        "in braces, found",
    ),
    "a form in a pattern": (
        "    train: {file",
        "    ready_made: '{seed:>999999999}{split}'\n    train: {file",
        "in braces, found",
    ),
    "a conversion in a pattern": (
        "    train: {file",
        "    ready_made: '{seed!r}/{split}'\n    train: {file",
        "in braces, found",
    ),
    "a number in a pattern": (
        "    train: {file",
        "    ready_made: '{0.__class__}{seed}{split}'\n    train: {file",
        "in braces",
    ),
    "an attribute in a template": (
        "{first}",
        "{first.__init__.__globals__} {first}",
        "template: expected {first}, {second} and",
    ),
    "a conversion in a template": ("{first}", "{first!r} {first}", r"template: expected .*'\{first!r\}'"),
    "Jinja in a template": ("{first}", "{{ config }} {first}", "template: expected {first}, {second} and"),
}


@pytest.mark.parametrize("kind", TASK_VALUES)
def test_hostile_values_of_a_task(kind, copied_params, unharmed):
    old, new, message = TASK_VALUES[kind]
    path = copied_params / MRPC
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with unharmed(), pytest.raises((ParamsError, TaskError), match=message):
        load_task("mrpc")


@pytest.mark.parametrize(
    "name",
    ["../smoke", "/etc/passwd", "tasks/mrpc", "", "a" * 5000, "a\0b", "~", 13, None, ["smoke"]],
    ids=lambda name: repr(name)[:20],
)
def test_names_that_are_none(name, unharmed):
    for load in (load_profile, load_task):
        with unharmed(), pytest.raises(ParamsError, match=r"(profile|task): expected a name in letters.*found .{1,300}$"):
            load(name)


def test_a_path_that_no_file_can_have_is_missing(unharmed):
    with unharmed(), pytest.raises(ParamsError, match="expected a file at .*found none"):
        read_yaml(Path("a" * 5000 + ".yaml"))


@pytest.mark.parametrize(
    "runs_dir", ["../elsewhere", "runs/../..", "", ".", "..", "a\nb", "a\0b", 13, None, ["runs"]], ids=repr
)
def test_folders_of_runs_that_lead_out(runs_dir, smoke, unharmed):
    with (
        unharmed(),
        pytest.raises(ParamsError, match="runs_dir: expected a folder below the project's or an absolute one, found"),
    ):
        Runs.of(smoke, runs_dir)


def test_a_linked_result_folder_is_not_emptied(tmp_path, unharmed):
    """`begin` empties a folder: through a link it would be somebody else's. A link further up is the user's own disk."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    (tmp_path / "unit").symlink_to(tmp_path / "thesis")
    with unharmed(), pytest.raises(ArtifactError, match="expected a folder at .*unit, found a link.*remove it"):
        begin(tmp_path / "unit")


@pytest.mark.parametrize("shape", ["{d_model: 1000000}", "{d_model: 32, num_layers: 1000000000}", "{d_model: -1}"])
def test_a_tiny_model_that_is_none(shape, copied_params, unharmed):
    path = copied_params / SMOKE
    path.write_text(re.sub(r"shape: \{d_model.*\}", f"shape: {shape[:-1]}, d_ff: 5000}}", path.read_text(), count=1))
    study = load_profile("smoke")
    with unharmed(), pytest.raises(BackboneError, match="shape: expected a tiny model, its numbers' product at most"):
        pretrained.load_classifier(study.classifier, study.compute, ["a b"])


def test_data_of_the_hub_whose_folder_holds_code(copied_params, tmp_path, unharmed, monkeypatch):
    """`datasets` once ran NAME/NAME.py; nothing of a folder is run."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "evil.py").write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')\n")
    path = copied_params / MRPC
    head, _, _ = path.read_text(encoding="utf-8").partition("sources:")
    hub = f'hub: {{path: "{tmp_path / "evil"}"}}'
    path.write_text(
        head + f"sources:\n  hub:\n    shown_as: x\n    {hub}\n    train: {{split: train}}\n    test: {{split: test}}\n"
        f"    first_sentences: {{{hub}, split: train, field: a, min_words: 1, max_words: 9}}\n"
    )
    (copied_params / SMOKE).write_text((copied_params / SMOKE).read_text().replace("source: embedded", "source: hub"))
    with unharmed(), pytest.raises(TaskError, match="hub: expected data set .*evil"):
        TaskRows(load_task("mrpc"), load_profile("smoke")).pool()
