"""Hostile command lines: exit code 2, one clear message, nothing made; a few in processes of their own."""

import subprocess
import sys

import pandas as pd
import pytest

from dawgen_core.app import cli_studies
from dawgen_core.params import ROOT

HUGE = "9" * 5000
FIT = {
    "no shots": (("--shots", "0"), "--shots: expected 1 or more, at most 1,000,000, found 0"),
    "shots without end": (("--shots", "1" + "0" * 30), "--shots: expected 1 or more, at most 1,000,000, found 1000"),
    "a number that Python does not read": (("--shots", HUGE), "argument --shots: invalid int value"),
    "no number": (("--shots", "1e3"), "argument --shots: invalid int value"),
    "a billion seeds": (("--seeds", str(10**9)), "--seeds: expected 1 or more, at most 100, found 1000000000"),
    "a negative seed": (("--seed", "-1"), "--seed: expected 0 or more, at most 1,000,000,000, found -1"),
    "a seed without end": (("--seed", "1" + "0" * 30), "--seed: expected 0 or more"),
    "pairs without end": (("--per-class", str(10**12)), "--per-class: expected 1 or more, at most 1,000,000"),
    "no cores": (("--cores", "0"), "argument --cores: expected 1 to 1,024, found '0'"),
    "cores without end": (("--cores", HUGE), "argument --cores: expected 1 to 1,024, found '99"),
    "negative cores": (("--cores", "-3"), "argument --cores: expected 1 to 1,024, found '-3'"),
    "a profile that leads out": (
        ("--profile", "../smoke"),
        "profile: expected a name in letters, digits, _ and - or the path",
    ),
    "an absolute profile": (
        ("--profile", "/etc/passwd"),
        "profile: expected a name in letters, digits, _ and - or the path",
    ),
    "a profile that steers the terminal": (("--profile", "\x1b[2J"), "found '\\x1b[2J'"),
    "a missing file of a profile": (("--profile", "/nowhere/x.yaml"), "expected a file at /nowhere/x.yaml, found none"),
    "a profile's file without end": (("--profile", "/" + "a" * 5000 + ".yaml"), "found none; known here"),
    "the root": (("--out", "/"), "--out: expected a folder named in letters, digits, _ and -"),
    "a folder of another name": (("--out", "a b"), "--out: expected a folder named in letters, digits, _ and -"),
    "a folder with braces above": (("--out", "{task}/run"), "--out: expected a folder named in letters, digits, _ and -"),
    "a folder without end": (("--out", "a" * 300), "--out: expected a folder named in letters, digits, _ and -, at most 80"),
    "a folder that steers the terminal": (("--out", "\x1b[2J"), "found '"),
    "a template without places": (
        ("--template", "{first.__class__} [MASK]"),
        "template: expected {first}, {second} and [MASK]",
    ),
    "an attribute in a template": (
        ("--template", "{first} {second} {0.__class__} [MASK]"),
        "template: expected {first}, {second}",
    ),
    "a conversion in a template": (
        ("--template", "{first!r} {second} [MASK]"),
        "template: expected {first}, {second} and [MASK]",
    ),
    "words without a label": (("--words", "yes"), "--words: expected LABEL=WORD, found yes"),
    "a word of an unknown label": (("--words", "../x=yes"), "--words: expected labels of other, same, found ../x"),
    "the same word twice": (("--words", "same=yes", "other=yes"), "expected a different word for each label"),
    "a classifier that leads out": (
        ("--classifier", "../../x"),
        "model: expected ../../x on the hub, in its cache or in a folder",
    ),
    "a classifier of nobody": (
        ("--classifier", "~nobody/x"),
        "model: expected ~nobody/x on the hub, in its cache or in a folder",
    ),
    "a classifier without end": (("--classifier", "a/" * 5000), "model: expected a/a/a/"),
    "a generator with a NUL byte": (
        ("--generator", "a\0b"),
        "model: expected a\\x00b on the hub, in its cache or in a folder",
    ),
    "a generator of a shell": (("--generator", "x; touch pwned"), "model: expected x; touch pwned on the hub"),
    "one column for two": (("--text", "a", "a"), "expected three different columns, found --text a a --label y"),
    "an unknown column": (("--text", "{0.__class__}", "b"), "found no {0.__class__} among a, b, y; use --text and --label"),
    "a column that steers the terminal": (("--label", "\x1b[31m"), "found no \\x1b[31m among a, b, y"),
    "a test file that is none": (("--test", "/dev/zero"), "expected a file of rows at /dev/zero, found none"),
    "sentences that are none": (("--sentences", "/dev/zero"), "expected a file of rows at /dev/zero, found none"),
    "an unknown option": (("--yes",), "unrecognized arguments: --yes"),
}


@pytest.fixture
def pairs(tmp_path):
    frame = pd.DataFrame({"a": [f"w{i} x{i}" for i in range(32)], "b": [f"y{i} z{i}" for i in range(32)]})
    frame.assign(y=["same", "other"] * 16).to_csv(tmp_path / "pairs.csv", index=False)
    return tmp_path / "pairs.csv"


@pytest.mark.parametrize("check", [True, False], ids=["check", "fit"])
@pytest.mark.parametrize("kind", FIT)
def test_hostile_options_of_fit(kind, check, pairs, dawgen):
    options, message = FIT[kind]
    start = ("--text", "a", "b", "--label", "y", "--profile", "smoke", "--out", pairs.with_name("run"))
    assert message in dawgen("fit", pairs, *start, *options, *(["--check"] if check else []))


STUDIES = {
    "plan: leads out": (("plan", "../smoke"), "profile: expected a name in letters"),
    "plan: absolute": (("plan", "/etc/passwd"), "profile: expected a name in letters"),
    "plan: none": (("plan", ""), "profile: expected a name in letters"),
    "plan: an option of Python": (("plan", "smoke", "--cores", "1_0"), "argument --cores: expected 1 to 1,024, found '1_0'"),
    "plan: cores in other digits": (("plan", "smoke", "--cores", "²"), "argument --cores: expected 1 to 1,024, found"),
    "run: leads out": (("run", "../smoke"), "profile: expected a name in letters"),
    "run: a line end": (("run", "smoke\n"), "profile: expected a name in letters"),
    "run: a kernel of a shell": (
        ("run", "smoke", "--kernel", "x; touch pwned"),
        "--kernel: expected the name of a Jupyter kernel",
    ),
    "run: a kernel that leads out": (
        ("run", "smoke", "--kernel", "../x"),
        "--kernel: expected the name of a Jupyter kernel",
    ),
    "run: a kernel of YAML": (("run", "smoke", "--kernel", "{a: b}"), "--kernel: expected the name of a Jupyter kernel"),
    "run: a kernel that is an option": (
        ("run", "smoke", "--kernel=--config"),
        "--kernel: expected the name of a Jupyter kernel",
    ),
    "run: no cores": (("run", "smoke", "--cores", "0"), "argument --cores: expected 1 to 1,024"),
    "why: leads out": (("why", "../smoke"), "profile: expected a name in letters"),
    "why: a name without end": (("why", "a" * 5000), "ame"),
    "predict: no run": (("predict", "nowhere", "new.csv"), "expected "),
    "predict: a file for a run": (("predict", "/dev/null", "new.csv"), "expected a folder that `dawgen fit` made"),
    "audit: one column for two": (
        ("audit", "pairs.csv", "--first", "a", "--second", "a", "--label", "y"),
        "expected three different",
    ),
    "audit: a page in place of its rows": (("audit", "pairs.csv", "--page", "./pairs.csv"), "--page: expected another file"),
    "audit: a page in place of the reference": (
        ("audit", "x.csv", "--against", "pairs.csv", "--page", "pairs.csv"),
        "--page: exp",
    ),
    "import-prompt: no file": (
        ("import-prompt", "nowhere.pt", "out"),
        "expected a soft prompt at nowhere.pt, found no file",
    ),
    "import-prompt: a device": (("import-prompt", "/dev/zero", "out"), "expected a soft prompt at /dev/zero, found no file"),
    "import-prompt: a profile that leads out": (
        ("import-prompt", "x.pt", "out", "--profile", "../x"),
        "profile: expected a name",
    ),
    "no command": ((), "the following arguments are required: COMMAND"),
    "an unknown command": (("evil",), "invalid choice: 'evil'"),
}


@pytest.mark.parametrize("kind", STUDIES)
def test_hostile_commands(kind, pairs, dawgen):
    arguments, message = STUDIES[kind]
    assert message in dawgen(*arguments)


@pytest.mark.parametrize("arguments", [("plan", "../smoke"), ("audit", "a\udcff.csv")])
def test_exit_codes_of_a_process(arguments, pairs):
    command = [sys.executable, "-m", "dawgen_core.app.cli", *(part.encode("utf-8", "surrogateescape") for part in arguments)]
    done = subprocess.run(
        command, cwd=pairs.parent, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT), "PATH": ""}
    )
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith("dawgen "), done.stderr
    assert done.stderr.count("\n") == 1 and not pairs.with_name("runs").exists()


def test_cores_are_read_as_numbers():
    assert [cli_studies.cores(text) for text in ("1", "8", "1024")] == [1, 8, 1024]
