"""A copy of the checkout whose code and settings a test may edit; files keep their times."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dawgen_core.params import ROOT


def copied(folder: Path) -> Path:
    """All tracked files in a folder of their own."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("figures/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def edit(path: Path, change: Callable[[str], str]) -> None:
    """Changes a file's text. Errors: AssertionError where it stays the same."""
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert after != before, f"{path}: expected an edit that changes it, found none"
    path.write_text(after, encoding="utf-8")


@contextmanager
def edited(path: Path, change: Callable[[str], str]) -> Iterator[None]:
    """Inside, a file's text is changed; afterwards it is as before, its times too."""
    before, times = path.read_text(encoding="utf-8"), path.stat()
    edit(path, change)
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
