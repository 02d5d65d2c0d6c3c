"""Where a task's rows are: files below the rows folder, data sets on the hub, or the pocket world, with their counts."""

from pathlib import PurePosixPath, PureWindowsPath
from string import Formatter
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from dawgen_core.params import Name, Positive, Record, Title
from dawgen_core.tasks import Task

COLUMNS = ("sentence1", "sentence2", "label")


def _inside(path: str) -> str:
    """A path that stays below the folder it is relative to."""
    if not path.isprintable() or ".." in PurePosixPath(path).parts or "\\" in path or PureWindowsPath(path).anchor:
        raise ValueError("expected a path below the folder of rows: relative, with /, without `..`")
    return path


Inside = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_inside)]


class Rows(Record):
    """One set of labelled pairs: a file below the rows folder, or a split of the hub data set or twin; expected counts."""

    file: Inside | None = None
    split: str | None = None
    rows: Positive | None = None
    labels: dict[str, int] | None = None


class Hub(Record):
    """A data set on the Hugging Face hub, by name, or a local folder that `datasets.load_dataset` reads."""

    path: str
    name: str | None = None
    revision: str | None = None


class Sentences(Record):
    """First sentences: lines of a text file, one field of labelled rows (labels unused), or drawn; n_lines is checked."""

    file: Inside | None = None
    hub: Hub | None = None
    split: str | None = None
    field: str | None = None
    n_lines: Positive | None = None
    running: bool = False  # lines stand in the order of a text: PPT's next sentences
    licence: Title | None = None  # of the text, as its source states it; data cards say it
    min_words: Positive
    max_words: Positive

    @model_validator(mode="after")
    def _one_place(self) -> "Sentences":
        if (self.file and self.hub) or (self.hub and not (self.split and self.field)):
            raise ValueError("first_sentences: expected a file, or hub with split and field")
        if self.min_words > self.max_words:
            raise ValueError(f"min_words: expected at most max_words, found {self.min_words} and {self.max_words}")
        return self


class Source(Record):
    """One place where a task's rows are, with their expected counts."""

    shown_as: Title  # printed in every table
    hub: Hub | None = None
    twin: Name | None = None  # rows are drawn by the pocket world: a task of pocket/tasks.yaml
    columns: dict[Literal["sentence1", "sentence2", "label"], str] = dict(zip(COLUMNS, COLUMNS, strict=True))
    label_names: dict[str, str] | None = None  # raw label -> label of the task
    drop_labels: list[str] = []  # rows without a gold label
    train: Rows
    test: Rows
    ready_made: Inside | None = None  # e.g. kshot/mrpc/16-{seed}/{split}.jsonl.gz
    synthetic: dict[Name, Inside] = {}  # released synthetic rows, e.g. fewgen/mrpc/16-{seed}.jsonl.gz
    synthetic_per_class: Positive | None = None
    first_sentences: Sentences

    @model_validator(mode="after")
    def _whole(self) -> "Source":
        if set(self.columns) != set(COLUMNS):
            raise ValueError("columns: expected sentence1, sentence2 and label")
        patterns = {"ready_made": self.ready_made, **{f"synthetic.{k}": v for k, v in self.synthetic.items()}}
        for key, pattern in patterns.items():
            wanted = {"seed", "split"} if key == "ready_made" else {"seed"}
            # (name, form, conversion): with a form or an attribute, a place could stand for anything
            places = {tuple(place) for _, *place in Formatter().parse(pattern or "") if place[0] is not None}
            if pattern is not None and places != {(name, "", None) for name in wanted}:
                raise ValueError(f"{key}: expected the places {sorted(wanted)} in braces, found {pattern!r}")
        places = ("split", "rows") if self.twin else ("split",) if self.hub else ("file",)
        for name, place in [(name, place) for name in ("train", "test") for place in places]:
            if getattr(getattr(self, name), place) is None:
                raise ValueError(f"{name}.{place}: expected a value")
        if (self.twin or self.hub) and self.train.split == self.test.split:
            raise ValueError(f"test.split: expected another one than train.split, found {self.test.split!r} for both")
        firsts = self.first_sentences
        if self.twin is None and not (firsts.file or firsts.hub):
            raise ValueError("first_sentences: expected a file, or hub with split and field")
        if self.twin and (firsts.file or firsts.hub or firsts.n_lines is None):
            raise ValueError("first_sentences: expected n_lines of a twin, and neither file nor hub")
        return self


class TaskFile(Task):
    """One task file: the task and its sources."""

    sources: dict[Literal["embedded", "local", "hub", "pocket"], Source]

    @model_validator(mode="after")
    def _counted(self) -> "TaskFile":
        for source, value in self.sources.items():
            for part in ("train", "test"):
                counts = getattr(value, part).labels
                if counts is not None and set(counts) != set(self.labels):
                    raise ValueError(f"sources.{source}.{part}.labels: expected one entry for each of {self.labels}, "
                                     f"found {list(counts)}")  # fmt: skip
        return self
