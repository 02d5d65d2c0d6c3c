"""P-tuning (Liu et al. 2021): pseudo tokens inside the template, written by a BiLSTM, around anchor words.

The template: pseudo tokens, sentence 1, pseudo tokens, sentence 2, the anchor, pseudo tokens, [MASK]. Places of pseudo
tokens are sentinels of the template while it is filled, then slots past the vocabulary.
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.learner import Learner, Learning, learn, tensors
from dawgen_core.params import Positive
from dawgen_core.prompts import initial_prompt
from dawgen_core.tasks import MASK

SEEDED = True
PLACES = ("<extra_id_1>", "<extra_id_2>", "<extra_id_3>")


class Settings(Learning):
    """Rate, weight decay; pseudo tokens at each of the three places; the anchor word, "" for none."""

    pseudo_tokens: Positive
    anchor: str = Field(default="?")


class PromptEncoder(nn.Module):
    """Trainable inputs [N, D] to pseudo-token embeddings [N, D]: a BiLSTM, then two linear maps with ReLU between."""

    def __init__(self, start_ND: Tensor):
        super().__init__()
        width = start_ND.shape[1]
        self.inputs = nn.Parameter(start_ND.clone())
        self.lstm = nn.LSTM(width, width // 2, bidirectional=True, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        nn.init.zeros_(self.mlp[2].weight)
        nn.init.zeros_(self.mlp[2].bias)

    def forward(self) -> Tensor:
        """The embeddings start from the inputs themselves: the last map starts at zero and is added."""
        return self.inputs + self.mlp(self.lstm(self.inputs[None])[0][0])


def build(given: Given, settings: Settings) -> Learner:
    """The prompt encoder alone; the classifier stays frozen."""
    classifier, words_C = given.classifier, given.words()
    n, first_slot = settings.pseudo_tokens, classifier.n_vocab
    a, b, c = PLACES
    template = f"{a} {{first}} {b} {{second}} {settings.anchor} {c} {MASK}".replace("  ", " ")
    texts = given.task.classifier.model_copy(update={"template": template})
    slots = {classifier.tokenizer.convert_tokens_to_ids(place): range(first_slot + i * n, first_slot + (i + 1) * n)
             for i, place in enumerate(PLACES)}  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(given.seed)
        encoder = PromptEncoder(initial_prompt(classifier, len(PLACES) * n)).to(classifier.device)

    def answer(ids: list[list[int]]) -> Tensor:
        rows = [[t for i in row for t in slots.get(i, (i,))] for row in ids]
        ids_BT, kept_BT = tensors(rows, classifier)
        table_VD = classifier.embedding.weight
        pseudo_BTD = encoder()[(ids_BT - first_slot).clamp(min=0)].to(table_VD.dtype)
        inputs_BTD = torch.where((ids_BT < first_slot)[..., None], table_VD[ids_BT.clamp(max=first_slot - 1)], pseudo_BTD)
        return classifier.scores(classifier.at_mask(inputs_BTD, kept_BT), words_C)

    return Learner(dict(encoder.named_parameters()), lambda rows: given.encoded(rows, texts), answer)


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: the prompt encoder's (the embeddings alone are needed afterwards)."""
    return learn(build(given, settings), given, settings)
