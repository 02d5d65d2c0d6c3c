"""The rows of a task. Frames with the columns row_id, sentence1, sentence2, label; row_id is "FILE#LINE" (from 0),
so that every row can be traced through all artifacts to its source.
"""

import os
from collections import Counter
from pathlib import Path

import pandas as pd
import torch

from dawgen_core import samplers
from dawgen_core.data import files
from dawgen_core.params import PARAMS, ParamsError, Profile
from dawgen_core.tasks import MASK, Hub, Rows, Task, TaskError

ROW_COLUMNS = ["row_id", "sentence1", "sentence2", "label"]


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
        self.folder = None if self.source.hub else rows_dir(profile)

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
            names = [self.source.ready_made.format(seed=seed, split=split) for split in ("train", "dev")]
            if all((self.folder / file).is_file() for file in names):
                train, dev = (self._rows(Rows(file=file)) for file in names)
                _check_balanced(train, task, shots, names[0])
                _check_balanced(dev, task, shots, names[1])
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
            lines = [row[wanted.field] for row in files.records(self.folder / wanted.file)]
        else:
            lines = files.text_lines(self.folder / wanted.file)
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
            where, records = rows.file, files.records(self.folder / rows.file)
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


def rows_dir(profile: Profile) -> Path:
    """The folder that holds local rows: DAWGEN_DATA, else the profile's data_dir. ParamsError if neither is there."""
    if profile.source == "embedded":
        return PARAMS / "embedded"
    name = os.environ.get("DAWGEN_DATA") or profile.data_dir
    if not name:
        raise ParamsError(f"profile {profile.profile}: expected a folder of rows; set DAWGEN_DATA or data_dir")
    if not Path(name).is_dir():
        raise ParamsError(f"profile {profile.profile}: expected a folder of rows, found none at {name}; "
                          "set DAWGEN_DATA or data_dir to an existing folder")  # fmt: skip
    return Path(name)


def row_files(task: Task, profile: Profile) -> list[Path]:
    """The local files of a task's rows that are there now: what a workflow watches."""
    source = task.sources.get(profile.source)
    if source is None or source.hub:
        return []
    try:
        folder = rows_dir(profile)
    except ParamsError:
        return []
    names = [source.train.file, source.test.file, source.first_sentences.file]
    patterns = [source.ready_made] if source.ready_made and profile.ready_made_splits == "use" else []
    patterns += [source.synthetic[k] for k in profile.extra_synthetic.get(task.task, []) if k in source.synthetic]
    names += [p.format(seed=seed, split=split) for p in patterns for seed in profile.seeds for split in ("train", "dev")]
    return sorted({folder / name for name in names if name and (folder / name).is_file()})


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
