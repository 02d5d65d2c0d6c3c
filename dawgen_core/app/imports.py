"""Which package files a module or notebook imports, transitively: for rules, digests and the layer test."""

import ast
import json
from functools import cache
from pathlib import Path

from dawgen_core.artifacts import digest, digest_of
from dawgen_core.params import ROOT

PACKAGE = Path(__file__).resolve().parent.parent


def notebook_code(path: Path) -> str:
    """The code cells of a notebook, joined; solutions of exercises make nothing that is kept, and are left out."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    made = [cell for cell in cells if cell["cell_type"] == "code" and "solution" not in cell["metadata"].get("tags", [])]
    return "\n\n".join("".join(cell["source"]) for cell in made)


def imported_modules(source: str) -> set[str]:
    """Names of the dawgen_core modules that a source imports directly, dotted, without the package's own name."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:  # a module of a package, or what a package itself holds
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= parts if all(map(_is_module, parts)) else parts | {node.module}
    return {name.removeprefix("dawgen_core.") for name in names if _is_module(name)}


def _is_module(name: str) -> bool:
    return name.startswith("dawgen_core.") and _file(name.removeprefix("dawgen_core.")).is_file()


def _file(module: str) -> Path:
    path = PACKAGE / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _closure(module: str) -> frozenset[str]:
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += imported_modules(_file(name).read_text(encoding="utf-8"))
    return frozenset(found)


def files_behind(path: Path) -> list[Path]:
    """The dawgen_core files that a notebook or script imports, directly or not, sorted, package files and their data too."""
    source = notebook_code(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    modules = set().union(*(_closure(name) for name in imported_modules(source)), set())
    parents = {name.rpartition(".")[0] for name in modules if "." in name}
    files = {PACKAGE / "__init__.py"} | {_file(name) for name in modules | parents}
    return sorted(files.union(*map(_data_of, files)))


@cache
def _data_of(module: Path) -> frozenset[Path]:
    """Files beside a module that it reads: they bear its name, or it says theirs."""
    beside = [path for path in module.parent.iterdir() if path.is_file() and path.suffix not in (".py", ".md")]
    source = module.read_text(encoding="utf-8")
    return frozenset(path for path in beside if path.stem == module.stem or path.name in source)


@cache
def _known(path: Path) -> str:
    """Its digest when this process first asked: the code in memory stays what it was, whatever becomes of the file."""
    return digest(path)


def remember() -> None:
    """Reads the digests of all package files now, before their code is imported: an edit while a notebook is at work is no
    input of what it makes."""
    for path in PACKAGE.rglob("*.py"):
        for file in (path, *_data_of(path)):
            _known(file)


def code_digest(notebook: str) -> str:
    """Digest of a notebook's code cells and of the package files that make its results: edited code is a new input.

    audit/ and app/ are left out, and what they alone import: they look at results and never make them.
    """
    code = notebook_code(ROOT / "notebooks" / f"{notebook}.ipynb")
    makers = [name for name in imported_modules(code) if name.partition(".")[0] not in ("audit", "app")]
    return digest_of([code, modules_digest(*makers)])


def modules_digest(*modules: str) -> str:
    """Digest of package modules (dotted, without the package's name) and of all that they import."""
    files = {_file(name) for module in modules for name in _closure(module)}
    return digest_of({str(p.relative_to(ROOT)): _known(p) for p in files.union(*map(_data_of, files))})
