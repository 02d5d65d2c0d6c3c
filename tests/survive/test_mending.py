"""A truncated or edited artifact of each kind is named and never used; `--mend` removes it, and the run makes it again."""

import json
import os
import shutil
from pathlib import Path

import pytest
from performing import Study, digests

from dawgen_core import artifacts
from dawgen_core.app import mending
from dawgen_core.artifacts import ArtifactError


@pytest.fixture
def copy(undisturbed, tmp_path) -> Study:
    """A copy of the finished run to damage; files keep their times."""
    study = Study(tmp_path / "copy")
    shutil.copy2(undisturbed.profile, study.profile)
    shutil.copytree(undisturbed.runs, study.runs)
    return study


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """One bit in its middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def better(path: Path) -> None:
    """Another accuracy, in a file that is whole otherwise."""
    value = json.loads(path.read_text(encoding="utf-8"))
    value["metrics"]["accuracy"] = 1.0
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def another_digest(path: Path) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(dict.fromkeys(value, "0" * 64)), encoding="utf-8")


BELOW = "mrpc/seed-13"
CASES = {  # the file, what happens to it, the indexes that go with it
    "a table of rows, cut off": (f"{BELOW}/few_shot/train.parquet", truncate, ["mrpc/01_generator_tuning.seeds-13.json"]),
    "a table of rows, one bit": (f"{BELOW}/dawgen/synthetic/synthetic.parquet", flip, ["mrpc/02_generation.seeds-13.json"]),
    "tensors, cut off": (
        f"{BELOW}/dawgen/generator/prompt.safetensors",
        truncate,
        ["mrpc/01_generator_tuning.seeds-13.json"],
    ),
    "tensors, one bit": (f"{BELOW}/none/lora/trained.safetensors", flip, ["mrpc/04_prompt_tuning.seeds-13.json"]),
    "tensors that methods share": ("shared/seed-13/spot.sick/weights.safetensors", flip, []),
    "a result, cut off": (f"{BELOW}/dawgen/paired/result.json", truncate, ["mrpc/04_prompt_tuning.seeds-13.json"]),
    "a result, another figure": (f"{BELOW}/dawgen/paired/result.json", better, ["mrpc/04_prompt_tuning.seeds-13.json"]),
    "a result of all seeds": (
        "mrpc/any-seed/none/prompting/predictions.parquet",
        flip,
        ["mrpc/04_prompt_tuning.seeds-13.json"],
    ),
    "a receipt": (f"{BELOW}/dawgen/syn/receipt.json", truncate, ["mrpc/04_prompt_tuning.seeds-13.json"]),
    "a table of the study": ("tables/table1.csv", truncate, ["05_tables.json"]),
    "a table of the audit": ("audit/audit.parquet", truncate, ["03_data_analysis.json"]),
    "an index, cut off": ("mrpc/02_generation.seeds-13.json", truncate, ["mrpc/02_generation.seeds-13.json"]),
    "an index of other results": ("mrpc/02_generation.seeds-13.json", another_digest, ["mrpc/02_generation.seeds-13.json"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_damaged_is_named_and_removed_with_what_rests_on_it(copy, case):
    name, damage, indexes = CASES[case]
    before = digests(copy.run)
    assert mending.damaged(copy.run) == {} and mending.mend(copy.run) == []
    damage(copy.run / name)
    place = (copy.run / name) if name in indexes else (copy.run / name).parent
    assert set(mending.damaged(copy.run)) >= {place}
    said = mending.mend(copy.run)
    assert any(line.startswith(f"removed, to be made again: {place.relative_to(copy.run)} (") for line in said)
    gone = {name for name in before if not (copy.run / name).is_file()}
    assert gone == {*indexes, *(one for one in before if place.is_dir() and Path(one).parent == Path(name).parent)}
    assert mending.damaged(copy.run) == {}


USED = [case for case, (name, *_) in CASES.items() if name.startswith(BELOW) and not name.endswith("receipt.json")]


@pytest.mark.parametrize("case", USED)  # no result is made from costs
def test_what_is_damaged_is_never_used(copy, case):
    name, damage, _ = CASES[case]
    damage(copy.run / name)
    folder = (copy.run / name).parent
    kind = {"few_shot": "few_shot", "generator": "generator", "synthetic": "synthetic"}.get(folder.name, "condition")
    with pytest.raises(ArtifactError, match="run notebook"):
        artifacts.verified(folder, kind)


def test_an_answer_of_an_unfinished_generation(copy):
    part = copy.run / BELOW / "dawgen" / "synthetic" / ".parts" / "0" / "label-0.from-0.sentence-2.json"
    artifacts.write_json(part, {"said": [], "digest": artifacts.digest_of([])})
    assert mending.damaged(copy.run) == {}
    truncate(part)
    assert set(mending.damaged(copy.run)) == {part}
    assert len(mending.mend(copy.run)) == 1 and not part.exists()


def test_all_of_it_is_made_again_to_the_same_bytes(copy, wanted):
    """One damaged thing of each kind at once; the folder that methods share is made again when one asks for it."""
    for name, damage in {name: damage for name, damage, _ in reversed(CASES.values())}.items():  # a file once
        if not name.startswith("shared"):
            damage(copy.run / name)
    assert len(mending.mend(copy.run)) >= 8
    copy.finish()
    assert digests(copy.run) == wanted
