"""A classifier that `dawgen fit` made: a soft prompt for a frozen T5, loaded from its run folder, asked for labels."""

import csv
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from dawgen_core import artifacts, tuning
from dawgen_core.backbones import Classifier, word_id
from dawgen_core.data import adapters, encoding, files, pretrained, profiles
from dawgen_core.data.rows import TaskRows
from dawgen_core.data.sources import TaskFile
from dawgen_core.params import Profile
from dawgen_core.tasks import TaskError

PROMPTS = {"ours": "prompt", "real": "prompt_real"}  # tuned on real and synthetic pairs, on the real ones alone
CHUNK = 1000  # rows in memory at once
ADDED = ("predicted_label", "probability")
ABOUT = {"options": dict, "digests": dict, "names": dict, "lines": list}  # what `dawgen fit` writes into fit.json
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}",
            "\N{FULLWIDTH HYPHEN-MINUS}", "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip


class Written(NamedTuple):
    """What `predict_file` wrote: rows, cells that a spreadsheet would take for formulas, rows per predicted label; warning:
    what the model cannot read of the first rows."""

    rows: int
    formulas: int
    labels: Counter[str]
    warning: str


@dataclass
class Fitted:
    """folder: the run. names: a label as a folder's name -> as the user calls it. about: options, figures and verdict."""

    folder: Path
    about: dict[str, Any]
    study: Profile
    task: TaskFile
    classifier: Classifier
    prompts: dict[str, Tensor]

    @classmethod
    def load(cls, folder: str | Path) -> "Fitted":
        """From a run folder. Errors: ArtifactError where a part of it is missing, BackboneError."""
        folder = Path(folder).resolve()
        about = about_of(folder)
        if "results" not in about:
            raise artifacts.ArtifactError(f"{folder}: expected a finished run, found one under way; run `dawgen fit` again")
        study = profiles.load_profile(str(profile_of(folder)))
        task = profiles.load_task(study.tasks[0])
        if set(about["names"]) != set(task.labels):
            raise artifacts.ArtifactError(f"{folder}: expected a name for each of {task.labels} in fit.json, found others; "
                                          "run `dawgen fit` again")  # fmt: skip
        texts = TaskRows(task, study).vocabulary() if study.classifier.is_tiny else ()
        classifier = pretrained.load_classifier(study.classifier, study.compute, texts)
        if classifier.weights_digest() != about.get("weights"):
            raise artifacts.ArtifactError(f"{folder}: expected the model that its prompt was tuned for "
                                          f"({study.classifier.model}), found other weights under this name")  # fmt: skip
        prompts = {name: adapters.load_prompt(folder / part) for name, part in PROMPTS.items()}
        if odd := [prompt for prompt in prompts.values() if prompt.shape[1] != classifier.width]:
            raise artifacts.ArtifactError(f"{folder}: expected prompts of {classifier.width} numbers a token, the width of "
                                          f"{study.classifier.model}, found {odd[0].shape[1]}")  # fmt: skip
        return cls(folder, about, study, task, classifier, prompts)

    def predict(self, rows: pd.DataFrame | Sequence[tuple[str, str]], prompt: str = "ours") -> pd.DataFrame:
        """label and probability of each pair: a frame with the user's two text columns, or pairs of texts.

        Errors: TaskError for missing columns or an empty text, with its row.
        """
        first, second = self.about["options"]["text"]
        if not isinstance(rows, pd.DataFrame):
            rows = pd.DataFrame(list(rows), columns=[first, second])
        if missing := [name for name in (first, second) if name not in rows]:
            raise TaskError(f"expected the columns {first} and {second}, found no {', '.join(missing)} among "
                            f"{', '.join(map(str, rows.columns))}")  # fmt: skip
        texts = rows[[first, second]].set_axis(["sentence1", "sentence2"], axis=1)
        for name, column in zip((first, second), texts, strict=True):
            good = texts[column].map(lambda text: isinstance(text, str) and bool(text.strip()))
            if not good.all():
                raise TaskError(f"row {int((~good).to_numpy().argmax()) + 1}: expected text in column {name}, "
                                f"found {texts[column][~good].iloc[0]!r}")  # fmt: skip
        settings, labels = self.study.prompt_tuning, self.task.labels
        encoded = encoding.encode_pairs(self.task, self.classifier, texts.assign(label=labels[0]),
                                        max_tokens=settings.max_tokens, shorten=settings.shorten)  # fmt: skip
        words = [self.task.classifier.verbalizer[label] for label in labels]
        words_C = torch.tensor([word_id(self.classifier.tokenizer, word, self.classifier.name) for word in words],
                               device=self.classifier.device)  # fmt: skip
        with torch.inference_mode():
            (logits_BC,) = tuning.predict(self.prompts[prompt][None], [encoded], self.classifier, words_C,
                                          settings.eval_batch_size)  # fmt: skip
        best = logits_BC.double().softmax(-1).max(-1)
        said = [self.about["names"][labels[i]] for i in best.indices.tolist()]
        return pd.DataFrame({"label": said, "probability": best.values.numpy()}, index=rows.index)

    def predict_file(
        self, path: Path, out: Path, prompt: str = "ours", progress: bool = True, spreadsheet: bool = False
    ) -> Written:
        """Writes a CSV: the file's columns, then predicted_label and probability, row by row.

        Cells are written as they were read: programs get back what they gave. spreadsheet: an apostrophe is put before what
        begins as a formula does. A thousand rows are in memory at a time. The file is written whole or not at all.
        Errors: TaskError, also for an `out` that is the file itself or whose folder is not there.
        """
        if not out.absolute().parent.is_dir() or out.is_dir() or out.resolve() == path.resolve():
            raise TaskError(f"--out: expected a file to write beside {path}, in a folder that is there, found {out}")
        n, formulas, labels, warning = 0, 0, Counter(), ""
        with artifacts.replacing(out) as part, open(part, "w", encoding="utf-8", newline="") as handle:
            writer = None
            for rows in tqdm(_chunks(files.stream(path)), "predictions", unit=f" x {CHUNK} rows", disable=not progress):
                if writer is None:
                    columns = list(rows[0])
                    if taken := set(columns) & set(ADDED):
                        raise TaskError(f"{path}: expected no column {' or '.join(sorted(taken))}, which is to be written, "
                                        "found one; rename it")  # fmt: skip
                    writer = csv.writer(handle)
                    formulas += _written(writer, [*columns, *ADDED], spreadsheet)
                for i, row in enumerate(rows, start=n + 1):
                    if more := [name for name in row if name not in columns]:
                        raise TaskError(f"{path}, row {i}: expected columns of the first row ({', '.join(columns):.400}), "
                                        f"found {', '.join(more):.400} too")  # fmt: skip
                try:
                    found = self.predict(pd.DataFrame(rows), prompt)
                except TaskError as error:
                    raise TaskError(f"{path}{f', behind row {n}' if n else ''}: {error}") from error
                if n == 0 and not self.study.random_models:
                    texts = pd.DataFrame(rows)[self.about["options"]["text"]]
                    warning = unreadable(texts, self.classifier.tokenizer, self.study.classifier.model)
                for row, label, probability in zip(rows, found["label"], found["probability"], strict=True):
                    cells = [row.get(name, "") for name in columns]
                    formulas += _written(writer, [*cells, label, f"{probability:.4f}"], spreadsheet)
                labels.update(found["label"])
                n += len(rows)
            if writer is None:
                raise TaskError(f"{path}: expected rows, found none")
        return Written(n, formulas, labels, warning)


def about_of(folder: Path) -> dict[str, Any]:
    """The fit.json of a run folder, of the shape that `dawgen fit` gives it. Errors: ArtifactError."""
    if not (folder / "fit.json").is_file():
        raise artifacts.ArtifactError(f"{folder}: expected a folder that `dawgen fit` made, found no fit.json there")
    about = artifacts.read_json(folder / "fit.json", made_by="dawgen fit", keys=ABOUT)
    text, names = about["options"].get("text"), about["names"].values()
    whole = isinstance(text, list) and len(text) == 2 and all(isinstance(value, str) for value in [*text, *names])
    if not whole:
        raise artifacts.ArtifactError(f"{folder}: expected fit.json as `dawgen fit` writes it, found another; run it again")
    return about


def profile_of(folder: Path) -> Path:
    """The profile of a run folder, which may have been moved and renamed. Errors: ArtifactError."""
    found = sorted(folder.glob("*.yaml"))
    if len(found) != 1:
        raise artifacts.ArtifactError(f"{folder}: expected one .yaml, the profile that `dawgen fit` wrote, found "
                                      f"{', '.join(path.name for path in found) or 'none'}")  # fmt: skip
    return found[0]


def unreadable(texts: pd.DataFrame, tokenizer, model: str) -> str:
    """A sentence where more than a twentieth of the words are unknown to the model, else nothing."""
    said = Counter(word for column in texts for text in texts[column] for word in str(text).split())
    pocket = model.startswith("dawgen_core/pocket/")
    ids = {word: tokenizer(word, add_special_tokens=False)["input_ids"] for word in said}
    unknown = sum(n for word, n in said.items() if tokenizer.unk_token_id in ids[word] or (pocket and len(ids[word]) > 1))
    if unknown <= 0.05 * said.total():
        return ""
    why = ", a model of a small made-up language (--profile paper reads English, on a GPU)" if pocket else ""
    return f"{unknown / said.total():.0%} of the words are unknown to {model}{why}: expect a guess"


def _written(writer, cells: list, spreadsheet: bool) -> int:
    """Writes a line; how many of its cells begin as a formula does (a number with its sign is none)."""
    live = [isinstance(cell, str) and cell.startswith(FORMULAS) and not _is_number(cell) for cell in cells]
    writer.writerow([f"'{cell}" if spreadsheet and odd else cell for cell, odd in zip(cells, live, strict=True)])
    return sum(live)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _chunks(rows: Iterator[dict]) -> Iterator[list[dict]]:
    while chunk := list(itertools.islice(rows, CHUNK)):
        yield chunk
