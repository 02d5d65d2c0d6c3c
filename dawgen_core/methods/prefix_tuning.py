"""Prefix-tuning (Li and Liang 2021): trained keys and values before the text, at every layer, reparameterised by an MLP.

All three attentions of a T5 get them: the encoder's, the decoder's own and its cross-attention. (peft's prefix tuning
reaches the decoder of a T5 only, through its cache.) The places stand in the input as padding words whose keys and values
are replaced wherever they are read, so positions and masks are the model's own.
"""

from contextlib import ExitStack

import torch
from torch import Tensor, nn

from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.learner import Learner, Learning, learn, tensors
from dawgen_core.params import Positive

SEEDED = True


class Settings(Learning):
    """Rate, weight decay; places of the prefix; width of the MLP."""

    prefix_tokens: Positive
    width: Positive


class Prefix(nn.Module):
    """Keys and values [sites, P, inner] from P trained vectors through an MLP."""

    def __init__(self, n_tokens: int, width: int, n_sites: int, inner: int):
        super().__init__()
        self.inputs = nn.Parameter(torch.randn(n_tokens, width))
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, n_sites * inner))
        self.n_sites = n_sites

    def forward(self) -> Tensor:
        return self.mlp(self.inputs).unflatten(-1, (self.n_sites, -1)).transpose(0, 1)


def build(given: Given, settings: Settings) -> Learner:
    """The prefix alone; the classifier stays frozen."""
    from transformers.models.t5.modeling_t5 import T5Attention  # heavy

    classifier, words_C, n = given.classifier, given.words(), settings.prefix_tokens
    sites = [linear for m in classifier.model.modules() if isinstance(m, T5Attention) for linear in (m.k, m.v)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(given.seed)
        prefix = Prefix(n, settings.width, len(sites), sites[0].out_features).to(classifier.device)
    pad = classifier.model.config.pad_token_id
    decoder_ids = [pad] * n + classifier.decoder_ids

    def put(states_PI: Tensor):
        return lambda module, inputs, out_BTI: torch.cat(
            [states_PI.to(out_BTI.dtype).expand(len(out_BTI), -1, -1), out_BTI[:, n:]], dim=1)  # fmt: skip

    def answer(ids: list[list[int]]) -> Tensor:
        ids_BT, kept_BT = tensors([[pad] * n + row for row in ids], classifier)
        with ExitStack() as hooks:
            for linear, states_PI in zip(sites, prefix(), strict=True):
                hooks.callback(linear.register_forward_hook(put(states_PI)).remove)
            return classifier.scores(classifier.at_mask(classifier.embedding(ids_BT), kept_BT, decoder_ids), words_C)

    return Learner(dict(prefix.named_parameters()), given.encoded, answer)


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: vectors and MLP (keys and values alone are needed afterwards)."""
    return learn(build(given, settings), given, settings)
