"""Somebody's own labelled pairs: read, checked, split, and given texts that both models can read."""

import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch

from dawgen_core import samplers
from dawgen_core.audit.copies import Pairs, bare
from dawgen_core.backbones import BackboneError, word_id
from dawgen_core.data import files, labels, profiles
from dawgen_core.params import Profile
from dawgen_core.tasks import ClassifierTexts, Decode, GeneratorTexts, TaskError

FEWEST, MOST_LABELS, MOST_HELD_OUT = 8, 20, 1000
COLUMNS = ["sentence1", "sentence2", "label"]
# Label names that say what the task is: its texts are those of a task of the paper.
FAMILIES = {
    "mrpc": {"equivalent": r"equivalent|duplicates?|paraphrases?|same|similar|match",
             "not_equivalent": r"(not?|non)[ -]?(an? )?(equivalent|duplicates?|paraphrases?|the same|same|similar|match)"
                               r"|different|dissimilar|distinct|mismatch"},
    "rte": {"entailment": r"entail(s|ed|ment)", "not_entailment": r"(not?|non)[ -]?entail(s|ed|ment)"},
    "sick": {"entailment": r"entail(s|ed|ment)", "neutral": r"neutral", "contradiction": r"contradict(s|ion|ory)"},
}  # fmt: skip
SAYS_YES = r"1|true|yes|y|pos(itive)?|correct|related|relevant"
SAYS_NO = r"0|-1|false|no|n|neg(ative)?|wrong|unrelated|irrelevant"
WORDS = ("yes", "no", "maybe", "neutral", "same", "different", "true", "false", "one", "two", "three", "four", "five", "six",
         "seven", "eight", "nine", "ten", "a", "the", "of", "and", "to", "in", "is", "that")  # fmt: skip
JOINTS = ("in other words :", "furthermore :", "therefore :", "however :")  # between sentences of the pocket world


@dataclass
class Own:
    """rows: sentence1, sentence2, label (a plain name); names: plain name -> the file's label, in the order of the labels;
    remarks: what was noticed, for people."""

    rows: pd.DataFrame
    names: dict[str, str]
    remarks: list[str] = field(default_factory=list)


@dataclass
class Split:
    """Rows to tune on, to choose by, held out, and the others (their labels are not read)."""

    train: pd.DataFrame
    dev: pd.DataFrame
    test: pd.DataFrame
    rest: pd.DataFrame


def read(path: Path, text: tuple[str, str], label: str, names: dict[str, str] | None = None) -> Own:
    """Labelled pairs of a file (see `files.records`), each pair once. names: those of another file of the same task.

    Errors: TaskError for a missing column, an empty text or label (with its row), labels that differ by case or spaces
    only, fewer than two labels or more than twenty, an unknown label.
    """
    columns = dict(zip((*text, label), COLUMNS, strict=True))
    if len(columns) < 3:
        raise TaskError(f"expected three different columns, found --text {' '.join(text)} --label {label}")
    rows = files.columns(path, list(columns), "--text and --label").rename(columns=columns)
    rows = rows.map(lambda value: " ".join(_plain(value).split()))
    labels.check(path, rows["label"])
    known = names or _names(path, list(rows["label"]))
    if unknown := set(rows["label"]) - set(known.values()):
        raise TaskError(f"{path}: expected the labels {', '.join(known.values())}, found {', '.join(sorted(unknown)):.200}")
    rows["label"] = rows["label"].map({raw: name for name, raw in known.items()})
    rows, remarks = _once(rows)
    if n := int(sum(rows[column].str.contains("\ufffd|Ã[\x80-\xbf]|â€").sum() for column in COLUMNS[:2])):
        remarks.append(f"{n} texts look as if they were read in a wrong encoding once (such as “Ã©” for “é”)")
    if n := int(sum(rows[column].map(labels.hidden).ne("").sum() for column in COLUMNS[:2])):
        remarks.append(f"{n} texts hold characters that nobody sees (marks of direction, spaces of no width); they are kept")
    return Own(rows, known, remarks)


def _plain(value: object) -> str:
    """A label 1.0 of a numeric column is 1; control characters and NUL are blanks."""
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return "".join(" " if unicodedata.category(c) == "Cc" else c for c in text)


def _names(path: Path, raws: list[str]) -> dict[str, str]:
    """A plain name for each label, fit for a folder."""
    counts = pd.Series(raws).value_counts()
    if not 2 <= len(counts) <= MOST_LABELS:
        shown = ", ".join(f"{raw!r:.100}" for raw in counts.index[:5])
        raise TaskError(f"{path}: expected 2 to {MOST_LABELS} different labels, found {len(counts)} ({shown}"
                        f"{', ...' if len(counts) > 5 else ''}); is --label the right column?")  # fmt: skip
    names: dict[str, str] = {}
    for number, raw in enumerate(sorted(counts.index)):
        ascii_only = unicodedata.normalize("NFKD", raw).encode("ascii", "ignore").decode()
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", ascii_only).strip("_")[:40] or f"label_{number}"
        names[name if name not in names else f"{name}_{number}"] = raw
    return names


def _once(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Each pair once; pairs under two labels not at all."""
    key, remarks = bare(rows["sentence1"]) + "\n" + bare(rows["sentence2"]), []
    two = rows["label"].groupby(key).transform("nunique") > 1
    if two.any():
        remarks.append(f"{two.sum()} rows are left out: their pair stands under more than one label")
    again = key.duplicated() & ~two
    if again.any():
        remarks.append(f"{again.sum()} rows are left out: their pair stands there before")
    return rows[~(two | again)].reset_index(drop=True), remarks


def split(own: Own, shots: int, seed: int, test: Own | None = None) -> Split:
    """At most `shots` rows per label to tune on and as many to choose by, a quarter held out (at most a thousand rows), in a
    seeded order; `test` in place of the quarter. With few rows dev is a sixth of what is left, too little to choose by.

    Pairs of the test rows that stand among the others, or nearly, are left out there. Errors: TaskError for too few rows.
    """
    random, parts = samplers.seeded(seed, samplers.SPLIT), {"held": [], "left": {}}
    for label in own.names:
        rows = own.rows[own.rows["label"] == label]
        if len(rows) < FEWEST:
            raise TaskError(f"expected at least {FEWEST} different pairs of every label, found {len(rows)} of "
                            f"{own.names[label]!r}; label some more")  # fmt: skip
        rows = rows.iloc[torch.randperm(len(rows), generator=random).tolist()]
        n = 0 if test else max(2, round(len(rows) / 4 * min(1, MOST_HELD_OUT / (len(own.rows) / 4))))
        parts["held"].append(rows[:n])
        parts["left"][label] = rows[n:]
    fewest = min(map(len, parts["left"].values()))
    n_dev = shots if fewest >= 2 * shots else max(1, fewest // 6)
    n_train = min(shots, fewest - n_dev)
    train = pd.concat([rows[:n_train] for rows in parts["left"].values()], ignore_index=True)
    dev = pd.concat([rows[n_train : n_train + n_dev] for rows in parts["left"].values()], ignore_index=True)
    rest = pd.concat([rows[n_train + n_dev :] for rows in parts["left"].values()], ignore_index=True)
    held = (test.rows if test else pd.concat(parts["held"])).reset_index(drop=True)
    read_by_us = Pairs(pd.concat([train, dev]))
    leaked = read_by_us.held(held) | read_by_us.nearly_held(held)
    if leaked.any():
        own.remarks.append(f"{leaked.sum()} held-out rows are left out: they stand among the others, or nearly")
    if missing := [own.names[label] for label in own.names if label not in set(held[~leaked]["label"])]:
        raise TaskError(f"expected held-out rows of every label, found none of {', '.join(map(repr, missing))} but those "
                        "that stand among the others, or nearly; label some that are less alike")  # fmt: skip
    return Split(train, dev, held[~leaked].reset_index(drop=True), rest)


def classifier_texts(own: Own, study: Profile, tokenizer, words: dict[str, str] | None = None) -> ClassifierTexts:
    """A template and a word for each label: a known task's where the labels say so, else both sentences and the label's own
    word, or yes and no. words: some label's word, as the user wants it. Errors: BackboneError when the classifier knows no
    words for so many labels, TaskError for words of unknown labels."""
    wanted, known = words or {}, _known(own, study)
    if unknown := set(wanted) - set(own.names.values()):
        raise TaskError(f"--words: expected labels of {', '.join(own.names.values())}, found {', '.join(sorted(unknown))}")
    verbalizer = {label: wanted[raw] for label, raw in own.names.items() if raw in wanted}
    if known:
        task, of = known
        proposed = {label: task.classifier.verbalizer[of[label]] for label in own.names}
        return task.classifier.model_copy(update={"verbalizer": proposed | verbalizer, "hand": None})
    for label, raw in own.names.items():
        if label in verbalizer:
            continue
        said = raw.casefold().strip()
        first = "yes" if re.fullmatch(SAYS_YES, said) else "no" if re.fullmatch(SAYS_NO, said) else said
        free = (word for word in (first, *WORDS) if word not in verbalizer.values() and _one_token(tokenizer, word))
        if (word := next(free, None)) is None:
            raise BackboneError(f"expected a word of {study.classifier.model} for label {raw!r}, found none; give one with "
                                f"--words {raw}=WORD")  # fmt: skip
        verbalizer[label] = word
    in_order = {label: verbalizer[label] for label in own.names}
    return ClassifierTexts(template="{first} . {second} . answer: [MASK]", verbalizer=in_order)


def generator_texts(own: Own, study: Profile, both: bool) -> tuple[GeneratorTexts, dict[str, Decode]]:
    """The words that each label's prompt starts from, and how sentences are decoded. both: sentence 1 is generated, too."""
    pocket, mode = study.source == "pocket", "both" if both else "given_first"
    known = _known(own, study)
    like = profiles.load_task(("pocket_" if pocket else "") + "mrpc")
    if known:
        task, of = known
        texts = task.generator.model_copy(update={
            "prefix": {label: task.generator.prefix[of[label]] for label in own.names}, "mode": mode})  # fmt: skip
        decoding = {label: task.decoding[of[label]] for label in own.names}
    else:
        said = {label: f"Sentence 1 and Sentence 2: {raw}. Sentence 1:" for label, raw in own.names.items()}
        prefix = {label: JOINTS[i % len(JOINTS)] for i, label in enumerate(own.names)} if pocket else said
        texts = like.generator.model_copy(update={"prefix": prefix, "mode": mode})
        decoding = {label: next(iter(like.decoding.values())) for label in own.names}
    if both and not pocket:  # a greedy generator would write one sentence again and again
        decoding = {label: rule.model_copy(update={"temperature": 1.0, "top_p": 0.9}) for label, rule in decoding.items()}
    return texts, decoding


def _known(own: Own, study: Profile):
    """(a task whose labels mean the same, our label -> its label), or None."""
    for name, patterns in FAMILIES.items():
        said = {label: re.sub(r"[_\s]+", " ", raw.casefold()) for label, raw in own.names.items()}
        of = {label: role for label, text in said.items() for role, form in patterns.items() if re.fullmatch(form, text)}
        if len(own.names) == len(of) == len(patterns) == len(set(of.values())):
            return profiles.load_task(("pocket_" if study.source == "pocket" else "") + name), of
    return None


def _one_token(tokenizer, word: str) -> bool:
    """tokenizer None: that of a tiny: model, which is built from these words."""
    try:
        return tokenizer is None or word_id(tokenizer, word, "") >= 0
    except BackboneError:
        return False
