"""What distribution alignment (E5) does: sentence vectors of real rows, their similarities, the hinge of every triple."""

import html

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from dawgen_core import bilevel, losses
from dawgen_core.prompts import PromptLayout

Rows = list[tuple[list[int], list[int]]]


@torch.no_grad()
def read_rows(layout: PromptLayout, q_CSD: Tensor, term: bilevel.PromptLoss, rows: Rows, labels: list[int]):
    """(sentence vectors [B, D] of E5, token weights per row, each summing to 1) of rows under their own labels' prompts.

    Weights are the term's net's; equal ones for `mle`, which has none.
    """
    batch = bilevel.Batch.of(layout, [rows], [labels])
    own, seen = batch.own, bilevel.see(layout, q_CSD[None].to(layout.generator.device), batch, [term]).tokens
    share_BL = own.scored_BL / own.scored_BL.sum(-1, keepdim=True)
    if term.net is not None:
        _, share_BL = term.weights(seen, own.scored_BL, own.label_B)
    shares = [row_L[kept_L].cpu() for row_L, kept_L in zip(share_BL, own.scored_BL, strict=True)]
    return losses.pooled_states(seen.hidden_BLD, share_BL).cpu(), shares


def similarities(vectors_BD: Tensor) -> Tensor:
    """Cosines of all pairs of sentence vectors, [B, B]."""
    unit_BD = F.normalize(vectors_BD.float(), dim=-1)
    return unit_BD @ unit_BD.T


def separation(vectors_BD: Tensor, labels: list[int]) -> tuple[float, float]:
    """Mean cosine of different rows of one class, and of rows of two classes."""
    label_B, similar_BB = torch.tensor(labels), similarities(vectors_BD)
    same_BB = label_B[:, None] == label_B[None, :]
    other_than_self_BB = ~torch.eye(len(labels), dtype=torch.bool)
    return similar_BB[same_BB & other_than_self_BB].mean().item(), similar_BB[~same_BB].mean().item()


def triples(vectors_BD: Tensor, labels: list[int], margin: float) -> pd.DataFrame:
    """Every triple of the `class_triplet` reading: cosines to the positive and to the negative, their gap, the hinge."""
    label_B, similar_BB = torch.tensor(labels), similarities(vectors_BD)
    same_BB = label_B[:, None] == label_B[None, :]
    positive_BB = same_BB & ~torch.eye(len(labels), dtype=torch.bool)
    i, j, k = (positive_BB[:, :, None] & ~same_BB[:, None, :]).nonzero().T
    frame = pd.DataFrame({"positive": similar_BB[i, j].numpy(), "negative": similar_BB[i, k].numpy()})
    frame["gap"] = frame["positive"] - frame["negative"]
    return frame.assign(hinge=(margin - frame["gap"]).clip(lower=0))


def coloured(tokens: list[str], shares: Tensor) -> str:
    """Tokens as HTML, each on a ground as strong as its share; the strongest of the row is the full colour."""
    strength = (shares / shares.max()).tolist()
    spans = [f'<span title="{share:.1%}" style="background: rgba(230, 159, 0, {level:.2f}); padding: 1px 3px">'
             f"{html.escape(token.replace('▁', ''))}</span>"
             for token, level, share in zip(tokens, strength, shares.tolist(), strict=True)]  # fmt: skip
    return " ".join(spans)
