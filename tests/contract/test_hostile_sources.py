"""What no source of the project calls: nothing that runs what it reads."""

import ast
import json
from pathlib import Path

import pytest

from dawgen_core.params import ROOT

SOURCES = [*sorted((ROOT / "dawgen_core").rglob("*.py")), *sorted((ROOT / "notebooks").glob("*.ipynb")), ROOT / "Snakefile"]
NEVER = {"eval", "exec", "__import__", "os.system", "pickle.load", "pickle.loads", "pd.read_pickle", "joblib.load",
         "dill.load", "marshal.loads", "shelve.open", "yaml.load", "yaml.full_load", "yaml.unsafe_load"}  # fmt: skip


def calls(path: Path) -> list[tuple[str, dict]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
    if path.name == "Snakefile":  # no Python of its own: its words alone
        return [(name, {}) for name in NEVER if f"{name}(" in text]
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return [(ast.unparse(node.func), {one.arg: ast.unparse(one.value) for one in node.keywords}) for node in nodes]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_source_runs_what_it_reads(path):
    for name, options in calls(path):
        assert name not in NEVER and options.get("trust_remote_code", "False") == "False", name
        assert options.get("allow_pickle", "False") == "False" and options.get("shell", "False") == "False", name
        if name.endswith("torch.load"):
            assert path.name == "adapters.py" and options.get("weights_only") == "True"
        if name.endswith((".from_pretrained",)) and "weights_only" in options:
            assert options["weights_only"] == "True"
