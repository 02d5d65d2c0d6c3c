"""Prompting: the frozen classifier reads template and fields, nothing is trained (row "Prompting" of Table 1)."""

from torch import Tensor

from dawgen_core import tuning
from dawgen_core.backbones import Classifier
from dawgen_core.prompts import EncodedPairs


def prompting(classifier: Classifier, rows: EncodedPairs, words_C: Tensor, batch_size: int) -> Tensor:
    """Label-word logits [B, C] without any soft prompt. Trainable numbers: 0. Draws nothing at random."""
    return tuning.predict(None, [rows], classifier, words_C, batch_size)[0]
