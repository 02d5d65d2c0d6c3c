"""The house rules that a machine can check: layers, size, names, docstrings, dependencies, no workplace paths."""

import ast
import graphlib
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dawgen_core.params import ROOT

PACKAGE = ROOT / "dawgen_core"
LAYERS = [  # imports point left only, that is up
    {"losses", "weighting", "surgery", "samplers", "forward_mode"},  # maths
    {"params", "artifacts"},  # books
    {"tasks", "prompts", "backbones"},  # world
    {"bilevel", "generation", "tuning"},  # steps
    {"data", "pocket", "methods", "audit", "beyond"},  # subpackages
    {"app"},
    {"bench"},
]
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
SOURCES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py")
CORE = sorted(p for p in PACKAGE.glob("*.py") if p.name != "__init__.py")


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, anywhere in it; `from a import b` gives a and a.b."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}, line {node.lineno}: relative import; the Snakefile's rules would not see it"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def inside(path: Path) -> set[str]:
    known = set(map(module_name, SOURCES))
    return {name.removeprefix("dawgen_core.") for name in imported(path)} & known


@cache
def tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: what is committed cannot be listed")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


# ---------------------------------------------------------------- layers


def test_every_module_has_a_layer():
    folders = {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    assert {p.stem for p in CORE} | folders <= set(LAYER)


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_point_left(path):
    own = LAYER[module_name(path).partition(".")[0]]
    right = {name for name in inside(path) if LAYER[name.partition(".")[0]] > own}
    assert not right, f"{module_name(path)} imports {right}, which stand to its right"


def test_imports_have_no_circle():
    graph = {module_name(p): inside(p) - {module_name(p)} for p in SOURCES}
    assert set(graphlib.TopologicalSorter(graph).static_order()) == set(graph)


@pytest.mark.parametrize("name", sorted(LAYERS[0]))
def test_maths_knows_torch_and_the_standard_library_only(name):
    tops = {found.partition(".")[0] for found in imported(PACKAGE / f"{name}.py")}
    assert tops <= {"torch", *sys.stdlib_module_names}


# ---------------------------------------------------------------- size, names, docstrings


def test_core_has_at_most_2000_lines():
    lines = {p.name: len(p.read_text(encoding="utf-8").splitlines()) for p in PACKAGE.glob("*.py")}
    assert sum(lines.values()) <= 2000, lines


def test_no_module_without_a_subject():
    assert not {p.stem for p in SOURCES} & {"utils", "util", "helpers", "common", "trainer", "misc"}


@pytest.mark.parametrize("path", CORE, ids=module_name)
def test_public_names_of_the_core_have_docstrings(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    missing = [n.name for n in defined if not ast.get_docstring(n)]
    assert ast.get_docstring(tree) and not missing, f"{path.name}: without a docstring: {missing}"


# ---------------------------------------------------------------- one list of dependencies


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_conda_environment_only_points_at_pyproject():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *plain, pip = conda["dependencies"]
    assert plain == [f"python{project()['requires-python']}", "pip"]
    assert pip == {"pip": ["-c constraints.txt", "-e .[notebooks,dev]"]}


def test_every_dependency_is_pinned_within_its_bounds():
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[canonicalize_name(name)] = version
    extras = project()["optional-dependencies"].values()
    for wanted in map(Requirement, [*project()["dependencies"], *(line for extra in extras for line in extra)]):
        pin = pins.get(canonicalize_name(wanted.name))
        assert pin and wanted.specifier.contains(pin), f"{wanted}: expected a pin within bounds, found {pin}"


# ---------------------------------------------------------------- the checkout


def test_no_workplace_path():
    words = re.compile(rb"/work/|/root/|\.\./shared|\.library")
    ours = [p for p in tracked() if p.relative_to(ROOT).parts[0] not in (".ci", "tests")]
    assert [p for p in ours if words.search(p.read_bytes())] == []


def test_no_large_file():
    weights = PACKAGE / "pocket" / "weights"  # theirs is a test of its own
    assert {str(p): p.stat().st_size for p in tracked() if p.stat().st_size > 1_000_000 and weights not in p.parents} == {}


@pytest.mark.parametrize("target", ["reproduce", "test"])
def test_the_two_commands(target):
    assert f"make {target}" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_make_target_of_the_readme_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)} == set()


def test_only_the_snakefile_calls_papermill():
    assert "papermill {input[0]:q}" in (ROOT / "Snakefile").read_text(encoding="utf-8")
    called = re.compile(r"(?<![\w.])papermill\s+\S+\.ipynb|import papermill|from papermill|-m papermill")
    ours = [*SOURCES, ROOT / "Makefile", ROOT / ".ci" / "run", *(ROOT / "notebooks").glob("*.ipynb")]
    assert [p for p in ours if p.is_file() and called.search(p.read_text(encoding="utf-8"))] == []


# ---------------------------------------------------------------- optional checks that are required somewhere


@pytest.mark.parametrize(("require", "code"), [("", 0), ("real", 1), ("gpu, real", 1), ("gpu", 0)])
def test_a_required_marker_turns_a_skip_into_a_failure(require, code, tmp_path):
    (tmp_path / "conftest.py").write_text("from requirements_plugin import pytest_runtest_makereport\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    real: needs rows\n")
    (tmp_path / "test_one.py").write_text(
        "import pytest\n\n@pytest.mark.real\n@pytest.mark.skipif(True, reason='no rows')\ndef test_rows(): ...\n"
    )
    env = os.environ | {"DAWGEN_REQUIRE": require, "PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-p", "no:xdist", "."]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == code, done.stdout
    assert "no rows" in done.stdout
