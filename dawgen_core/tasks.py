"""A task: two text fields, labels, texts for both models, and where its rows come from.

Rows are frames with the columns row_id, sentence1, sentence2, label; row_id is "FILE#LINE" (from 0),
so that every row can be traced through all artifacts to its source.
"""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import torch
from pydantic import Field, model_validator

from dawgen_core import samplers
from dawgen_core.params import PARAMS, Name, ParamsError, Positive, Profile, Record, read_yaml, validated

MASK = "[MASK]"
ROW_COLUMNS = ["row_id", "sentence1", "sentence2", "label"]


class TaskError(ValueError):
    """A task's rows are not what its file says."""


class ClassifierTexts(Record):
    template: str
    verbalizer: dict[str, str]


class GeneratorTexts(Record):
    control_code: str
    prefix: dict[str, str]
    infix: str
    mode: Literal["given_first"]


class Decode(Record):
    """Decoding of one label; see `samplers.Decoding`."""

    temperature: Annotated[float, Field(ge=0)] = 0.0
    top_k: Annotated[int, Field(ge=0)] = 0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    repetition_penalty: Annotated[float, Field(ge=1)] = 1.0


class Rows(Record):
    """One set of labelled pairs: a file below the rows folder, or a split of the hub data set; expected counts."""

    file: str | None = None
    split: str | None = None
    rows: Positive | None = None
    labels: dict[str, int] | None = None


class Hub(Record):
    path: str
    name: str | None = None
    revision: str | None = None


class Sentences(Record):
    """First sentences: lines of a text file, or one field of labelled rows (labels unused); n_lines is checked."""

    file: str | None = None
    hub: Hub | None = None
    split: str | None = None
    field: str | None = None
    n_lines: Positive | None = None
    min_words: Positive
    max_words: Positive


class Source(Record):
    shown_as: str  # printed in every table
    hub: Hub | None = None
    columns: dict[Literal["sentence1", "sentence2", "label"], str]
    label_names: dict[str, str] | None = None  # raw label -> label of the task
    drop_labels: list[str] = []  # rows without a gold label
    train: Rows
    test: Rows
    ready_made: str | None = None  # e.g. kshot/mrpc/16-{seed}/{split}.jsonl.gz
    synthetic: dict[Name, str] = {}  # released synthetic rows, e.g. fewgen/mrpc/16-{seed}.jsonl.gz
    synthetic_per_class: Positive | None = None
    first_sentences: Sentences

    @model_validator(mode="after")
    def _whole(self) -> "Source":
        if set(self.columns) != {"sentence1", "sentence2", "label"}:
            raise ValueError("columns: expected sentence1, sentence2 and label")
        place = "split" if self.hub else "file"
        for name in ("train", "test"):
            if getattr(getattr(self, name), place) is None:
                raise ValueError(f"{name}.{place}: expected a value")
        return self


class Task(Record):
    task: Name
    title: str
    labels: list[Name]
    classifier: ClassifierTexts
    generator: GeneratorTexts
    decoding: dict[str, Decode]
    reject_containing: list[str]
    sources: dict[Literal["embedded", "local", "hub"], Source]

    @model_validator(mode="after")
    def _complete(self) -> "Task":
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels: expected two or more different names, found {self.labels}")
        texts = {"classifier.verbalizer": self.classifier.verbalizer, "generator.prefix": self.generator.prefix,
                 "decoding": self.decoding}  # fmt: skip
        for source, value in self.sources.items():
            for part in ("train", "test"):
                if (counts := getattr(value, part).labels) is not None:
                    texts[f"sources.{source}.{part}.labels"] = counts
        for key, value in texts.items():
            if set(value) != set(self.labels):
                raise ValueError(f"{key}: expected one entry for each of {self.labels}, found {list(value)}")
        for slot in ("{first}", "{second}", MASK):
            if self.classifier.template.count(slot) != 1:
                raise ValueError(f"classifier.template: expected {slot} exactly once")
        words = list(self.classifier.verbalizer.values())
        if len(set(words)) != len(words):
            raise ValueError(f"classifier.verbalizer: expected a different word for each label, found {words}")
        return self

    def number(self, label: str) -> int:
        return self.labels.index(label)


def row_files(task: Task, profile: Profile) -> list[Path]:
    """The local files of a task's rows that are there now: what a workflow watches."""
    source = task.sources.get(profile.source)
    if source is None or source.hub:
        return []
    try:
        folder = profile.rows_dir()
    except ParamsError:
        return []
    names = [source.train.file, source.test.file, source.first_sentences.file]
    patterns = [source.ready_made] if source.ready_made and profile.ready_made_splits == "use" else []
    patterns += [source.synthetic[k] for k in profile.extra_synthetic.get(task.task, []) if k in source.synthetic]
    names += [p.format(seed=seed, split=split) for p in patterns for seed in profile.seeds for split in ("train", "dev")]
    return sorted({folder / name for name in names if name and (folder / name).is_file()})


def load_task(name: str) -> Task:
    """The task of `params/tasks/NAME.yaml`, checked. Errors: ParamsError."""
    path = PARAMS / "tasks" / f"{name}.yaml"
    task = validated(Task, read_yaml(path), path)
    if task.task != name:
        raise TaskError(f"{path}: task: expected {name}, found {task.task}")
    return task


class TaskRows:
    """The rows of one task under one profile: pool, test set, few-shot splits, first sentences.

    Every set is checked against the counts of the task file when it is read.
    Errors: TaskError, ParamsError, with the file, what was expected and what was found.
    """

    def __init__(self, task: Task, profile: Profile):
        if profile.source not in task.sources:
            raise TaskError(f"task {task.task}: expected a source {profile.source!r}, found "
                            f"{', '.join(task.sources) or 'none'}; choose another profile or add the source")  # fmt: skip
        self.task, self.profile = task, profile
        self.source = task.sources[profile.source]
        self.folder = None if self.source.hub else profile.rows_dir()

    @property
    def shown_as(self) -> str:
        return self.source.shown_as

    def pool(self) -> pd.DataFrame:
        return self._rows(self.source.train)

    def test(self) -> pd.DataFrame:
        return self._rows(self.source.test)

    def few_shot(self, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """(train, dev): the ready-made split of this seed where there is one, else drawn from the pool."""
        shots, task = self.profile.shots, self.task
        if self.source.ready_made and self.profile.ready_made_splits == "use":
            files = [self.source.ready_made.format(seed=seed, split=split) for split in ("train", "dev")]
            if all((self.folder / file).is_file() for file in files):
                train, dev = (self._rows(Rows(file=file)) for file in files)
                _check_balanced(train, task, shots, files[0])
                _check_balanced(dev, task, shots, files[1])
                _check_disjoint(train, dev, task.task)
                return train, dev
        pool = self.pool()
        generator = samplers.seeded(seed, 16)
        rows = samplers.few_shot_split([task.number(y) for y in pool["label"]], len(task.labels), shots, generator)
        train, dev = (pool.iloc[part].reset_index(drop=True) for part in rows)
        return train, dev

    def vocabulary(self) -> list[str]:
        """Texts that a tiny: model builds its vocabulary from: the task's own words first, then its training rows."""
        pool, texts = self.pool(), self.task.generator
        own = [self.task.classifier.template.replace(MASK, ""), texts.control_code, texts.infix, *texts.prefix.values()]
        return [" ".join([*own, *self.task.classifier.verbalizer.values()]), *pool["sentence1"], *pool["sentence2"]]

    def first_sentences(self, n: int, generator: torch.Generator) -> tuple[list[str], list[str]]:
        """(row ids, sentences): at most n different first sentences of allowed length, in seeded order."""
        wanted, lines = self.source.first_sentences, self._sentence_lines()
        first_line = {}
        for i, line in enumerate(lines):
            if wanted.min_words <= len(line.split()) <= wanted.max_words:
                first_line.setdefault(line.strip(), i)
        texts = list(first_line)
        order = torch.randperm(len(texts), generator=generator)[:n].tolist()
        name = wanted.hub.path if wanted.hub else wanted.file
        return [f"{name}#{first_line[texts[i]]}" for i in order], [texts[i] for i in order]

    def sentences_of(self, row_ids: list[str]) -> list[str]:
        """The first sentences of these row ids, read from the source again."""
        lines = self._sentence_lines()
        return [lines[int(row_id.rpartition("#")[2])].strip() for row_id in row_ids]

    def _sentence_lines(self) -> list[str]:
        wanted = self.source.first_sentences
        if wanted.hub:
            lines = list(self._hub(wanted.hub, wanted.split)[wanted.field])
        elif wanted.field:
            lines = [row[wanted.field] for row in _records(self.folder / wanted.file)]
        else:
            lines = _text_lines(self.folder / wanted.file)
        if wanted.n_lines is not None and len(lines) != wanted.n_lines:
            raise TaskError(f"{wanted.file or wanted.hub.path}: expected {wanted.n_lines} lines, found {len(lines)}")
        return lines

    def released_synthetic(self, kind: str, seed: int, per_class: int) -> pd.DataFrame:
        """Released synthetic rows of `kind`: the first per_class rows of each label, in file order."""
        if kind not in self.source.synthetic:
            raise TaskError(f"task {self.task.task}: expected synthetic rows {kind!r} in source "
                            f"{self.profile.source}, found {list(self.source.synthetic) or 'none'}")  # fmt: skip
        rows = self._rows(Rows(file=self.source.synthetic[kind].format(seed=seed)))
        each = self.source.synthetic_per_class
        counts = Counter(rows["label"])
        if each is not None and counts != dict.fromkeys(self.task.labels, each):
            raise TaskError(f"{kind}, seed {seed}: expected {each} rows per label, found {dict(counts)}")
        return rows.groupby("label", sort=False).head(per_class).reset_index(drop=True)

    def _hub(self, hub: Hub, split: str | None):
        from datasets import load_dataset  # heavy, and only for the hub

        return load_dataset(hub.path, hub.name, split=split, revision=hub.revision)

    def _rows(self, rows: Rows) -> pd.DataFrame:
        columns, names = self.source.columns, self.source.label_names or {}
        if self.source.hub:
            where, data = f"{self.source.hub.path}:{rows.split}", self._hub(self.source.hub, rows.split)
            feature = data.features[columns["label"]]
            words = getattr(feature, "names", None)
            records = [dict(row) for row in data]
            for row in records:
                raw = row[columns["label"]]
                row[columns["label"]] = words[raw] if words and isinstance(raw, int) and raw >= 0 else str(raw)
        else:
            where, records = rows.file, _records(self.folder / rows.file)
        out = []
        for i, row in enumerate(records):
            missing = [c for c in columns.values() if c not in row]
            if missing:
                raise TaskError(f"{where}, row {i}: expected the columns {list(columns.values())}, found {list(row)}")
            label = str(row[columns["label"]])
            if label in self.source.drop_labels:
                continue
            label = names.get(label, label)
            if label not in self.task.labels:
                raise TaskError(f"{where}, row {i}: expected a label of {self.task.labels}, found {label!r}")
            first, second = row[columns["sentence1"]], row[columns["sentence2"]]
            for text in (first, second):
                if not isinstance(text, str) or not text.strip():
                    raise TaskError(f"{where}, row {i}: expected text in both fields, found {text!r}")
            out.append((f"{where}#{i}", first, second, label))
        _check_counts(Counter(label for *_, label in out), rows, where)
        return pd.DataFrame(out, columns=ROW_COLUMNS)


def _check_counts(found: Counter, expected: Rows, where: str) -> None:
    if expected.rows is not None and sum(found.values()) != expected.rows:
        raise TaskError(f"{where}: expected {expected.rows} rows, found {sum(found.values())}")
    if expected.labels is not None and dict(found) != {k: v for k, v in expected.labels.items() if v}:
        raise TaskError(f"{where}: expected label counts {expected.labels}, found {dict(found)}")


def _check_balanced(rows: pd.DataFrame, task: Task, shots: int, where: str) -> None:
    found = Counter(rows["label"])
    if found != dict.fromkeys(task.labels, shots):
        raise TaskError(f"{where}: expected {shots} rows of each label, found {dict(found)}; mend the file, "
                        "or set ready_made_splits: ignore to draw splits from the pool")  # fmt: skip


def _check_disjoint(train: pd.DataFrame, dev: pd.DataFrame, where: str) -> None:
    pairs = set(zip(train["sentence1"], train["sentence2"], strict=True))
    if shared := [p for p in zip(dev["sentence1"], dev["sentence2"], strict=True) if p in pairs]:
        raise TaskError(f"{where}: expected train and dev without a shared pair, found {shared[0]}")


def _open(path: Path):
    if not path.is_file():
        raise TaskError(f"expected a file of rows at {path}, found none")
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8")


def _text_lines(path: Path) -> list[str]:
    try:
        with _open(path) as handle:
            return [line.rstrip("\n") for line in handle]
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: expected UTF-8 text, found a byte that is not ({error}); re-save it") from error
    except (EOFError, gzip.BadGzipFile) as error:
        raise TaskError(f"{path}: expected a whole gzip file, found a truncated one ({error})") from error


def _records(path: Path) -> list[dict]:
    """Rows of a .jsonl, .csv, .tsv or .parquet file, gzip'ed or not, as dictionaries."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    if kind == "jsonl":
        return list(_json_lines(path))
    if not path.is_file():
        raise TaskError(f"expected a file of rows at {path}, found none")
    try:
        if kind == "parquet":
            frame = pd.read_parquet(path)
        elif kind in ("csv", "tsv"):
            separator = "," if kind == "csv" else "\t"
            frame = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8")
        else:
            raise TaskError(f"{path}: expected .jsonl, .csv, .tsv or .parquet (.gz allowed), found .{kind}")
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: expected UTF-8 text, found a byte that is not ({error}); re-save it") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, OSError) as error:
        raise TaskError(f"{path}: expected a whole {kind} file, found {error}") from error
    return frame.to_dict("records")


def _json_lines(path: Path) -> Iterator[dict]:
    for i, line in enumerate(_text_lines(path)):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise TaskError(f"{path}, line {i + 1}: expected one JSON object, found {line[:60]!r}") from error
        if not isinstance(row, dict):
            raise TaskError(f"{path}, line {i + 1}: expected one JSON object, found {type(row).__name__}")
        yield row
