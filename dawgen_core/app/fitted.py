"""A classifier that `dawgen fit` made: a soft prompt for a frozen T5, loaded from its run folder, asked for labels."""

import csv
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        about = artifacts.read_json(folder / "fit.json", made_by="dawgen fit")
        if "results" not in about:
            raise artifacts.ArtifactError(f"{folder}: expected a finished run, found one under way; run `dawgen fit` again")
        study = profiles.load_profile(str(folder / f"{folder.name}.yaml"))
        task = profiles.load_task(study.tasks[0])
        texts = TaskRows(task, study).vocabulary() if study.classifier.is_tiny else ()
        classifier = pretrained.load_classifier(study.classifier, study.compute, texts)
        if classifier.weights_digest() != about["weights"]:
            raise artifacts.ArtifactError(f"{folder}: expected the model that its prompt was tuned for "
                                          f"({study.classifier.model}), found other weights under this name")  # fmt: skip
        return cls(folder, about, study, task, classifier,
                   {name: adapters.load_prompt(folder / part) for name, part in PROMPTS.items()})  # fmt: skip

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

    def predict_file(self, path: Path, out: Path, prompt: str = "ours", progress: bool = True) -> int:
        """Writes a CSV: the file's columns, then predicted_label and probability, row by row. Returns the number of rows.

        A thousand rows are in memory at a time. The file is written whole or not at all.
        """
        n = 0
        with artifacts.replacing(out) as part, open(part, "w", encoding="utf-8", newline="") as handle:
            writer = None
            for rows in tqdm(_chunks(files.stream(path)), "predictions", unit=f" x {CHUNK} rows", disable=not progress):
                frame = pd.DataFrame(rows)
                try:
                    found = self.predict(frame, prompt)
                except TaskError as error:
                    raise TaskError(f"{path}, behind row {n}: {error}") from error
                if writer is None:
                    writer = csv.DictWriter(handle, [*rows[0], "predicted_label", "probability"])
                    writer.writeheader()
                for row, label, probability in zip(rows, found["label"], found["probability"], strict=True):
                    writer.writerow(row | {"predicted_label": label, "probability": f"{probability:.4f}"})
                n += len(rows)
            if writer is None:
                raise TaskError(f"{path}: expected rows, found none")
        return n


def _chunks(rows: Iterator[dict]) -> Iterator[list[dict]]:
    while chunk := list(itertools.islice(rows, CHUNK)):
        yield chunk
