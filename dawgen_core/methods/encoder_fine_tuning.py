"""Encoder-only FT: the encoder and a new classification head are tuned, as one tunes a BERT (Devlin et al. 2019)."""

import torch
from torch import Tensor, nn

from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.learner import Learner, Learning, learn, tensors
from dawgen_core.tasks import MASK

SEEDED = True


class Settings(Learning):
    """Rate (of encoder and head alike) and weight decay."""


def build(given: Given) -> Learner:
    """All encoder weights and a linear head on the mean of the last states. Both sentences in a row, then [MASK]."""
    texts, whole = given.task.classifier.model_copy(update={"template": "{first} {second} " + MASK}), given.copy()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(given.seed)
        head = nn.Linear(whole.width, len(given.task.labels)).to(whole.device)

    def answer(ids: list[list[int]]) -> Tensor:
        ids_BT, kept_BT = tensors(ids, whole)
        states_BTD = whole.model.encoder(input_ids=ids_BT, attention_mask=kept_BT).last_hidden_state
        return head((states_BTD * kept_BT[..., None]).sum(1) / kept_BT.sum(1, keepdim=True))

    weights = {f"encoder.{k}": w for k, w in whole.model.encoder.named_parameters()}
    weights |= {f"head.{k}": w for k, w in head.named_parameters()}
    return Learner(weights, lambda rows: given.encoded(rows, texts), answer)


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: the encoder's and the head's."""
    return learn(build(given), given, settings)
