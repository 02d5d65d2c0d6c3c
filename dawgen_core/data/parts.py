"""What an unfinished generation has written so far: an interrupted run goes on from there, to the same bytes.

Shards that other jobs have written lie here too. An answer is named by what was asked, so that putting folders together, in
any order and more than once, is putting their files together.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from dawgen_core.artifacts import NOTEBOOKS, ArtifactError, digest_of, read_json, write_json
from dawgen_core.generation import Continuation, ContinueFrom

FOLDER = ".parts"  # a hidden subfolder of the artifact: neither emptied nor digested with it


def remembered(continue_from: ContinueFrom, folder: Path, inputs: dict) -> ContinueFrom:
    """continue_from that writes every answer below `folder` and, asked the same again, reads it from there.

    Answers belong to these `inputs`; those of others are removed. JSON keeps every float exactly.
    Errors: ArtifactError when an answer was cut off or edited.
    """
    parts = folder / FOLDER / digest_of(inputs)
    for other in (folder / FOLDER).glob("*"):
        if other != parts:
            shutil.rmtree(other, ignore_errors=True)  # another shard's job may be at it

    def ask(label: int, attempts: Sequence[int], firsts: Sequence[str] | None) -> list[Continuation]:
        sentence, asked = 1 if firsts is None else 2, digest_of([list(attempts), firsts])
        path = parts / f"label-{label}.from-{attempts[0]}.sentence-{sentence}.{asked[:12]}.json"
        if not path.is_file():
            said = [asdict(one) for one in continue_from(label, attempts, firsts)]
            write_json(path, {"said": said, "digest": digest_of(said)})
        return [Continuation(**one) for one in whole(path)["said"]]

    return ask


def whole(path: Path) -> dict:
    """An answer as it was written. Errors: ArtifactError when it was cut off or edited."""
    found = read_json(path, made_by=NOTEBOOKS["synthetic"])
    if not isinstance(found, dict) or digest_of(found.get("said")) != found.get("digest"):
        raise ArtifactError(f"{path}: expected what was written, found an edited file; delete it, it is written again")
    return found


def forget(folder: Path) -> None:
    """Removes the answers, once the artifact is finished."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
