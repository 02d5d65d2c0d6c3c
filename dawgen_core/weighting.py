"""E3, the token weight net: one score per scored token, softmax over the tokens that share a loss."""

import torch
from torch import Tensor, nn

INPUTS = ("hidden", "loss")


class WeightNet(nn.Module):
    """Phi_W: R^d -> R, one hidden ReLU layer (E3; 1 -> 100 -> 1 in FewGen, where d = 1).

    `reads` names the input: "hidden" (DawGen: the token's detached last hidden state, d = the
    generator's width) or "loss" (FewGen: one number per token, its discrimination loss E4 under Q).
    The last bias has gradient zero by construction: a softmax ignores a shift.
    """

    def __init__(self, d_in: int, *, reads: str = "hidden", d_hidden: int = 100, generator: torch.Generator):
        super().__init__()
        if reads not in INPUTS:
            raise ValueError(f"reads: expected one of {', '.join(INPUTS)}, found {reads!r}")
        self.reads = reads
        self.inner = nn.Linear(d_in if reads == "hidden" else 1, d_hidden)
        self.outer = nn.Linear(d_hidden, 1)
        for layer in (self.inner, self.outer):  # nn.Linear's own range, drawn from our generator
            bound = layer.in_features**-0.5
            for parameter in (layer.weight, layer.bias):
                with torch.no_grad():
                    parameter.copy_((torch.rand(parameter.shape, generator=generator) * 2 - 1) * bound)

    def forward(self, hidden_BLD: Tensor, disc_BL: Tensor | None) -> Tensor:
        """Scores [B, L]. The input is detached here: W never trains the prompt through it."""
        source = hidden_BLD if self.reads == "hidden" else disc_BL.unsqueeze(-1)
        return self.outer(self.inner(source.detach().to(self.inner.weight.dtype)).relu()).squeeze(-1)


def token_weights(score_BL: Tensor, scored_BL: Tensor, label_B: Tensor, *, over: str = "batch") -> Tensor:
    """Softmax of the scores over all scored tokens of the batch, within each label (`per_label`) or each row (`row`).

    Returns weight_BL: 0 at unscored places, sums to 1 over the batch, each label present, or each row.
    """
    if over not in ("batch", "per_label", "row"):
        raise ValueError(f"over: expected batch, per_label or row, found {over!r}")
    score_BL = score_BL.masked_fill(~scored_BL, -torch.inf)
    if over == "row":
        return score_BL.softmax(-1)
    if over == "batch":
        return score_BL.flatten().softmax(0).view_as(score_BL)
    weight_BL = torch.zeros_like(score_BL)
    for label in label_B.unique():
        of_label_B = label_B == label
        inside = score_BL[of_label_B].flatten().softmax(0)
        weight_BL = weight_BL.masked_scatter(of_label_B[:, None].expand_as(score_BL), inside)
    return weight_BL
