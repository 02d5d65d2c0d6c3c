"""The rows of a task. Frames with the columns row_id, sentence1, sentence2, label; row_id is "FILE#LINE" (from 0),
so that every row can be traced through all artifacts to its source.
"""

import os
from collections import Counter
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch

from dawgen_core import samplers
from dawgen_core.data import files, profiles
from dawgen_core.data.sources import Hub, Rows
from dawgen_core.params import PARAMS, ROOT, ParamsError, Profile
from dawgen_core.pocket import corpus, pairs, verdicts
from dawgen_core.pocket.lexicon import LEXICON_FILE
from dawgen_core.pocket.twins import TASKS_FILE, free_domains
from dawgen_core.tasks import MASK, Task, TaskError

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
        self.folder = None if self.source.hub or self.source.twin else rows_dir(profile)

    @cached_property
    def shown_as(self) -> str:
        """What tables call the test rows; says how many were dropped because they stand in a few-shot split."""
        if self.source.twin and self.profile.test_rows:
            return f"{self.source.twin}: {self.profile.test_rows:,} drawn pairs"
        dropped = len(self._all_test) - len(self.test())
        return self.source.shown_as + (f" less {dropped} that stand in a few-shot split" if dropped else "")

    @cached_property
    def _all_test(self) -> pd.DataFrame:
        wanted = self.source.test
        if self.source.twin and self.profile.test_rows:
            wanted = wanted.model_copy(update={"rows": self.profile.test_rows, "labels": None})
        return self._rows(wanted)

    @cached_property
    def _test(self) -> pd.DataFrame:
        held = {pair for seed in self.profile.seeds for part in self._ready_made(seed) or () for pair in _pairs(part)}
        return self._all_test[[pair not in held for pair in _pairs(self._all_test)]].reset_index(drop=True)

    def test(self) -> pd.DataFrame:
        """The test rows, without those that a ready-made few-shot split of this profile holds (none, as a rule)."""
        return self._test.copy()

    def pool(self) -> pd.DataFrame:
        """The training rows, without those that stand in the test set."""
        rows, test = self._rows(self.source.train), set(_pairs(self._all_test))
        return rows[[pair not in test for pair in _pairs(rows)]].reset_index(drop=True)

    def few_shot(self, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """(train, dev): the ready-made split of this seed where there is one, else drawn from the pool."""
        if ready := self._ready_made(seed):
            return ready
        where = f"{self.source.train.file or self.source.train.split} (without rows of the test set)"
        random = samplers.seeded(seed, samplers.SPLIT)
        return few_shot_split(self.pool(), self.task.labels, self.profile.shots, random, where)

    def _ready_made(self, seed: int) -> tuple[pd.DataFrame, pd.DataFrame] | None:
        """The ready-made split of a seed, None where there is none. Errors: TaskError when only half of it is there."""
        if not self.source.ready_made or self.profile.ready_made_splits == "ignore":
            return None
        names = [self.source.ready_made.format(seed=seed, split=split) for split in ("train", "dev")]
        there = [(self.folder / name).is_file() for name in names]
        if not any(there):
            return None
        if not all(there):
            raise TaskError(f"{names[there.index(False)]}: expected a file beside {names[there.index(True)]}, found none")
        train, dev = (self._rows(Rows(file=name)) for name in names)
        _check_balanced(train, self.task, self.profile.shots, names[0])
        chosen_by = self.profile.prompt_tuning.eval_every < self.profile.prompt_tuning.steps  # else dev may be smaller
        _check_balanced(dev, self.task, self.profile.shots if chosen_by else len(dev) // len(self.task.labels), names[1])
        if shared := set(_pairs(train)) & set(_pairs(dev)):
            raise TaskError(f"{self.task.task}: expected train and dev without a shared pair, found {sorted(shared)[0]}")
        return train, dev

    def vocabulary(self) -> list[str]:
        """Texts that a tiny: model builds its vocabulary from: the task's own words first, the label words of the task it
        transfers from, then its training rows."""
        pool, texts = self.pool(), self.task.generator
        own = [self.task.classifier.template.replace(MASK, ""), texts.control_code, texts.infix, *texts.prefix.values()]
        if source := self.profile.transfer_from.get(self.task.task):
            own += profiles.load_task(source).classifier.verbalizer.values()
        return [" ".join([*own, *self.task.classifier.verbalizer.values()]), *pool["sentence1"], *pool["sentence2"]]

    def first_sentences(self, n: int, generator: torch.Generator) -> tuple[list[str], list[str]]:
        """(row ids, sentences): at most n different ones of allowed length, none of the test set, in seeded order."""
        first_line = self._first_lines
        texts = list(first_line)
        order = torch.randperm(len(texts), generator=generator)[:n].tolist()
        wanted = self.source.first_sentences
        name = wanted.hub.path if wanted.hub else wanted.file or f"{self.source.twin}/first_sentences"
        return [f"{name}#{first_line[texts[i]]}" for i in order], [texts[i] for i in order]

    def sentences_of(self, row_ids: list[str]) -> list[str]:
        """The first sentences of these row ids, read from the source again."""
        return [self._sentence_lines[int(row_id.rpartition("#")[2])].strip() for row_id in row_ids]

    @cached_property
    def _first_lines(self) -> dict[str, int]:
        wanted, found = self.source.first_sentences, {}
        test = {text for pair in _pairs(self._all_test) for text in pair}
        for i, line in enumerate(self._sentence_lines):
            if wanted.min_words <= len(line.split()) <= wanted.max_words and line.strip().casefold() not in test:
                found.setdefault(line.strip(), i)
        return found

    @cached_property
    def _sentence_lines(self) -> list[str]:
        wanted = self.source.first_sentences
        if self.source.twin:
            lines = pairs.first_sentences(self.source.twin, 0, wanted.n_lines)[1]
        elif wanted.file and not wanted.field:
            lines = files.text_lines(self.folder / wanted.file)
        else:
            rows = list(self._hub(wanted.hub, wanted.split)) if wanted.hub else files.records(self.folder / wanted.file)
            if rows and wanted.field not in rows[0]:
                raise TaskError(f"first_sentences.field: expected one of {list(rows[0])}, found {wanted.field!r}")
            lines = [row[wanted.field] for row in rows]
        if wanted.n_lines is not None and len(lines) != wanted.n_lines:
            raise TaskError(f"{wanted.file or wanted.hub.path}: expected {wanted.n_lines} lines, found {len(lines)}")
        return lines

    def released_synthetic(self, kind: str, seed: int, per_class: int) -> pd.DataFrame:
        """Released synthetic rows of `kind`: the first per_class rows of each label, in file order.

        A twin has the kind `oracle`: per_class drawn pairs of each label, all of them right.
        """
        if self.source.twin and kind == "oracle":
            return pairs.draw(self.source.twin, "oracle", seed, per_class * len(self.task.labels))[ROW_COLUMNS]
        if kind not in self.source.synthetic:
            raise TaskError(f"task {self.task.task}: expected synthetic rows {kind!r} in source "
                            f"{self.profile.source}, found {list(self.source.synthetic) or 'none'}")  # fmt: skip
        rows = self._rows(Rows(file=self.source.synthetic[kind].format(seed=seed)))
        each = self.source.synthetic_per_class
        counts = Counter(rows["label"])
        if each is not None and counts != dict.fromkeys(self.task.labels, each):
            raise TaskError(f"{kind}, seed {seed}: expected {each} rows per label, found {dict(counts)}")
        return rows.groupby("label", sort=False).head(per_class).reset_index(drop=True)

    def unlabelled(self, n: int) -> pd.DataFrame:
        """At most n pairs of the task without their labels (""): none of the test set, none of a few-shot split."""
        if self.source.twin:
            return pairs.draw(self.source.twin, "unlabelled", 0, n)[ROW_COLUMNS]
        held = {pair for seed in self.profile.seeds for part in self.few_shot(seed) for pair in _pairs(part)}
        pool = self.pool()
        free = pool[[pair not in held for pair in _pairs(pool)]]
        order = torch.randperm(len(free), generator=samplers.seeded(0, samplers.SPLIT))[:n].tolist()
        return free.iloc[order].reset_index(drop=True).assign(label="")

    def adjacent(self, n: int) -> pd.DataFrame:
        """At most n pairs of sentences that stand one after the other in unlabelled text (label ""): neighbouring lines of
        the first sentences' file. In the pocket world, whose lines are drawn singly: two sentences of one text, whatever
        their relation, from the domains that no task has. Errors: TaskError where the file is no running text."""
        if self.source.twin:
            texts = [pairs.draw(corpus.sister(kind, free_domains()), "oracle", 1, n // 2) for kind in ("follows", "same")]
            return pd.concat(texts, ignore_index=True)[ROW_COLUMNS].assign(label="")
        if not self.source.first_sentences.running:
            raise TaskError(f"{self.task.task}, first_sentences.running: expected running text (for PPT), found single "
                            "sentences; give a file whose lines follow each other, or leave PPT out")  # fmt: skip
        line = {i: text for text, i in self._first_lines.items()}
        found = [(f"adjacent#{i}", line[i], line[i + 1], "") for i in sorted(line) if i + 1 in line]
        order = torch.randperm(len(found), generator=samplers.seeded(1, samplers.SPLIT))[:n].tolist()
        return pd.DataFrame([found[i] for i in order], columns=ROW_COLUMNS)

    def plenty(self, per_class: int, dev_per_class: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """(train, dev) of this task as the source of another: that many rows of each label, or half of what there is."""
        if self.source.twin:
            n = (per_class + dev_per_class) * len(self.task.labels)
            rows = pairs.draw(self.source.twin, "oracle", 0, n)[ROW_COLUMNS]
        else:
            rows = self.pool().sample(frac=1, random_state=0)
        parts = [part for _, part in rows.groupby("label", sort=False)]
        n_dev = min(dev_per_class, *(len(part) // 2 for part in parts))
        dev, train = pd.concat([p[:n_dev] for p in parts]), pd.concat([p[n_dev : n_dev + per_class] for p in parts])
        return train.reset_index(drop=True), dev.reset_index(drop=True)

    def verdicts(self, rows: pd.DataFrame) -> pd.DataFrame:
        """What the oracle says of labelled pairs: in_grammar, label_right, relation, wrong (slots, joined by commas).

        No column outside the pocket world, where nobody knows.
        """
        if not self.source.twin:
            return pd.DataFrame(index=rows.index)
        found = verdicts.judge(self.source.twin, rows)
        types = {"in_grammar": bool, "label_right": "boolean", "relation": "string"}
        return found.assign(wrong=found["wrong"].map(",".join)).astype(types)

    def _hub(self, hub: Hub, split: str | None):
        from datasets import load_dataset  # heavy, and only for the hub

        try:
            return load_dataset(hub.path, hub.name, split=split, revision=hub.revision)
        except Exception as error:  # of files that others wrote anything may be raised
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise TaskError(f"hub: expected data set {hub.path} ({hub.name or 'default'}, {split}), found none: "
                            f"{said}; connect once, or use source: local") from error  # fmt: skip

    def _rows(self, rows: Rows) -> pd.DataFrame:
        if self.source.twin:
            drawn = pairs.draw(self.source.twin, rows.split, 0, rows.rows)
            _check_counts(Counter(drawn["label"]), rows, f"{self.source.twin}:{rows.split}")
            return drawn[ROW_COLUMNS]
        columns, names = self.source.columns, self.source.label_names or {}
        if self.source.hub:
            where, data = f"{self.source.hub.path}:{rows.split}", self._hub(self.source.hub, rows.split)
            feature = data.features.get(columns["label"])
            words = getattr(feature, "names", None)
            records = [dict(row) for row in data]
            for row in records if feature is not None else ():
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


def few_shot_split(
    rows: pd.DataFrame, labels: list[str], shots: int, random: torch.Generator, where: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(train, dev): `shots` rows of every label each, disjoint, label after label.

    A label's rows are shuffled; the first `shots` are train, the next `shots` are dev.
    Source: the protocol of LM-BFF (Gao et al. 2021), with our own random stream.
    Errors: TaskError names `where` the rows are when a label has fewer than 2 * shots.
    """
    train, dev = [], []
    for label in labels:
        own = rows[rows["label"] == label]
        if len(own) < 2 * shots:
            raise TaskError(f"{where}: expected at least {2 * shots} rows of class {label} ({shots} to train, {shots} for "
                            f"dev), found {len(own)}; add rows or lower `shots`")  # fmt: skip
        own = own.iloc[torch.randperm(len(own), generator=random).tolist()]
        train.append(own[:shots])
        dev.append(own[shots : 2 * shots])
    return pd.concat(train, ignore_index=True), pd.concat(dev, ignore_index=True)


def rows_dir(profile: Profile) -> Path:
    """The folder that holds local rows: an absolute data_dir, else DAWGEN_DATA, else the profile's data_dir. ParamsError if
    there is none."""
    if profile.source == "embedded":
        return PARAMS / "embedded"
    own = profile.data_dir and Path(profile.data_dir).is_absolute()  # such as rows beside the profile
    name = profile.data_dir if own else os.environ.get("DAWGEN_DATA") or profile.data_dir
    if not name:
        raise ParamsError(f"profile {profile.profile}: expected a folder of rows; set DAWGEN_DATA or data_dir")
    folder = ROOT / name  # a relative folder is the project's, wherever a notebook runs; an absolute one stays as it is
    if not folder.is_dir():
        raise ParamsError(f"profile {profile.profile}: expected a folder of rows, found none at {folder}; "
                          "set DAWGEN_DATA or data_dir to an existing folder")  # fmt: skip
    return folder


def row_files(task: Task, profile: Profile) -> list[Path]:
    """The local files of a task's rows that are there now: what a workflow watches."""
    if profile.source not in task.sources:
        raise TaskError(f"task {task.task}: expected a source {profile.source!r}, found {', '.join(task.sources)}")
    source = task.sources[profile.source]
    if source.hub or source.twin:
        return [LEXICON_FILE, TASKS_FILE] if source.twin else []
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


def _pairs(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Both sentences of every row, case folded and stripped: what makes two rows the same."""
    return list(zip(rows["sentence1"].str.strip().str.casefold(), rows["sentence2"].str.strip().str.casefold(), strict=True))
