"""Word embeddings and a BiLSTM: each sentence becomes a vector, a linear map reads both, their difference and product.

The older paradigm of pair classification (InferSent, Conneau et al. 2017). The embeddings are the classifier's input
embeddings, frozen: nothing else of it is used.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from dawgen_core.backbones import SENTINEL
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.learner import Learner, Learning, learn
from dawgen_core.params import Positive
from dawgen_core.prompts import padded
from dawgen_core.tasks import MASK

SEEDED = True


class Settings(Learning):
    """Rate, weight decay; states per direction."""

    width: Positive


class PairLSTM(nn.Module):
    """Two sentences as embeddings to class scores."""

    def __init__(self, inputs: int, width: int, n_classes: int):
        super().__init__()
        self.lstm = nn.LSTM(inputs, width, bidirectional=True, batch_first=True)
        self.head = nn.Linear(8 * width, n_classes)

    def forward(self, words_2BTD: tuple[Tensor, Tensor], lengths_2B: tuple[list[int], list[int]]) -> Tensor:
        a, b = (self._read(w, n) for w, n in zip(words_2BTD, lengths_2B, strict=True))
        return self.head(torch.cat([a, b, (a - b).abs(), a * b], dim=-1))

    def _read(self, words_BTD: Tensor, lengths_B: list[int]) -> Tensor:
        packed = pack_padded_sequence(words_BTD, torch.tensor(lengths_B), batch_first=True, enforce_sorted=False)
        return self.lstm(packed)[1][0].transpose(0, 1).flatten(1)  # the last state of each direction


def build(given: Given, settings: Settings) -> Learner:
    """The LSTM and the linear map."""
    classifier = given.classifier
    texts = given.task.classifier.model_copy(update={"template": f"{{first}} {MASK} {{second}}"})
    mask = classifier.tokenizer.convert_tokens_to_ids(SENTINEL)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(given.seed)
        model = PairLSTM(classifier.width, settings.width, len(given.task.labels)).to(classifier.device)

    def answer(ids: list[list[int]]) -> Tensor:
        cut = [row.index(mask) if mask in row else len(row) for row in ids]  # a row cut at its tail may have lost sentence 2
        halves = [(row[:at] or [mask], row[at + 1 :] or [mask]) for row, at in zip(ids, cut, strict=True)]
        sides = [list(side) for side in zip(*halves, strict=True)]
        words = [classifier.embedding(padded(side, 0)[0].to(classifier.device)).float() for side in sides]
        return model(tuple(words), tuple([len(row) for row in side] for side in sides))

    return Learner(dict(model.named_parameters()), lambda rows: given.encoded(rows, texts), answer)


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: LSTM and linear map."""
    return learn(build(given, settings), given, settings)
