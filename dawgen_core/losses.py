"""The losses of the paper, one function per equation (E1-E7).

Shapes: B rows, L scored tokens (padded), C classes, D width. `scored_BL` is True where a token counts.
Every function returns a scalar and modifies nothing.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

DISCRIMINATION_FORMS = ("log_ratio", "ratio", "raw_logit")
ALIGNMENT_READINGS = ("class_triplet", "prompt_contrast")
WEIGHTED_OVER = ("batch", "per_label")


def vocabulary_logsumexp(states_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, *, n_at_once: int = 2**24) -> Tensor:
    """log sum_v exp(w_v . h + b_v) of each state h, [N] in float32 or wider, without the [N, V] logits in memory.

    At most n_at_once logits exist at a time. Differentiable once, in the states alone, in reverse and forward
    mode: the derivative, the mean output row under the softmax, is made on the way and costs N x D numbers.
    """
    if not torch.is_grad_enabled():
        return torch.cat([logits_NV.logsumexp(-1) for logits_NV in _logits(states_ND, weight_VD, bias_V, n_at_once)])
    return _LogSumExp.apply(states_ND, weight_VD, bias_V, n_at_once)[0]


def _logits(states_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, n_at_once: int) -> Iterator[Tensor]:
    wide = torch.promote_types(states_ND.dtype, torch.float32)
    for part_ND in states_ND.split(max(1, n_at_once // len(weight_VD))):
        yield F.linear(part_ND, weight_VD, bias_V).to(wide)


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(states_ND, weight_VD, bias_V, n_at_once):
        totals, means = [], []
        for logits_NV in _logits(states_ND, weight_VD, bias_V, n_at_once):
            totals.append(logits_NV.logsumexp(-1))
            means.append((logits_NV - totals[-1][:, None]).exp_().to(weight_VD.dtype) @ weight_VD)
        return torch.cat(totals), torch.cat(means)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])
        ctx.save_for_forward(output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_N, _):
        (mean_ND,) = ctx.saved_tensors
        return (grad_N[:, None] * mean_ND).to(mean_ND.dtype), None, None, None

    @staticmethod
    def jvp(ctx, move_ND, *_):
        (mean_ND,) = ctx.saved_tensors
        along_N = (move_ND * mean_ND).sum(-1)
        return along_N.to(torch.promote_types(along_N.dtype, torch.float32)), None


def lm_loss(nll_BL: Tensor, scored_BL: Tensor) -> Tensor:
    """E1, the plain LM loss: sum over the tokens of a row, mean over the rows.

    nll_BL is -log Pr(x_j | x_<j; Q_l) in nats; unscored places are ignored whatever they hold.
    Source: E1 (established).
    """
    return nll_BL.where(scored_BL, 0.0).sum(-1).mean()


def weighted_lm_loss(nll_BL: Tensor, weight_BL: Tensor, label_B: Tensor, *, over: str = "batch") -> Tensor:
    """E2, the token-weighted LM loss: sum of w_j * nll_j, no further mean for `over="batch"`.

    weight_BL is 0 at unscored places and sums to 1 over the batch (`batch`) or within each label
    (`per_label`: the sums of the labels present are averaged). Differentiable in both arguments.
    Source: E2 and the first term of E6 (established; the normalisation is ours, `params` says so).
    """
    _one_of(over, WEIGHTED_OVER, "over")
    total = (weight_BL * nll_BL.where(weight_BL != 0, 0.0)).sum()
    return total if over == "batch" else total / label_B.unique().numel()


def token_discrimination(score_BLC: Tensor, label_B: Tensor, *, form: str = "log_ratio") -> Tensor:
    """E4 of each token, [B, L]: how little x_j prefers its own label's prompt.

    score_BLC holds, per token, one score under each label's prompt: log Pr(x_j | x_<j; Q_c) for
    `log_ratio` (default: the print with its lost log put back) and `ratio` (as printed), the raw
    LM logit of x_j for `raw_logit` (FewGen's code). Source: E4; options inferred.
    """
    _one_of(form, DISCRIMINATION_FORMS, "form")
    log_ratio_BLC = score_BLC.log_softmax(-1)
    own_BL = log_ratio_BLC.gather(-1, label_B[:, None, None].expand(*score_BLC.shape[:2], 1)).squeeze(-1)
    return -(own_BL.exp() if form == "ratio" else own_BL)


def discrimination_loss(score_BLC: Tensor, label_B: Tensor, scored_BL: Tensor, *, form: str = "log_ratio") -> Tensor:
    """E4, the discrimination loss: mean of `token_discrimination` over all scored tokens of the batch."""
    return token_discrimination(score_BLC, label_B, form=form)[scored_BL].mean()


def pooled_states(hidden_BLD: Tensor, weight_BL: Tensor) -> Tensor:
    """W.Z of E5: the token-weighted mean of the last hidden states of each row, [B, D].

    The weights are normalised per row here; they must be positive on at least one token of each row.
    """
    share_BL = weight_BL / weight_BL.sum(-1, keepdim=True)
    return torch.einsum("bl,bld->bd", share_BL, hidden_BLD)


def alignment_loss(
    own_BD: Tensor, label_B: Tensor, *, reading: str = "class_triplet",
    under_all_BCD: Tensor | None = None, margin: float = 1.0,
) -> Tensor:  # fmt: skip
    """E5, distribution alignment: mean of max(0, margin - D(anchor, positive) + D(anchor, negative)), D = cosine.

    own_BD is each row read under its own class's prompt; under_all_BCD[b, c] row b under class c's prompt.
    The mean runs over all valid (anchor i, positive j != i of i's class, negative) triples:
    `class_triplet`: the negative is a row of another class under its own class's prompt;
    `prompt_contrast`: the negative is row j itself under another prompt (needs under_all_BCD).
    Errors: ValueError when no class has two rows or no negative exists.
    Source: E5 (established as printed; cosine and the two readings are inferred).
    """
    _one_of(reading, ALIGNMENT_READINGS, "reading")
    own_BD = F.normalize(own_BD, dim=-1)
    similar_BB = own_BD @ own_BD.T
    same_BB = label_B[:, None] == label_B[None, :]
    positive_BB = same_BB & ~torch.eye(len(label_B), dtype=torch.bool, device=label_B.device)
    if reading == "class_triplet":
        valid_BBB = positive_BB[:, :, None] & ~same_BB[:, None, :]
        negative_BBB = similar_BB[:, None, :].expand(valid_BBB.shape)
    elif under_all_BCD is None:
        raise ValueError("alignment_loss (prompt_contrast): expected under_all_BCD, every row under every prompt")
    else:
        other_BC = label_B[:, None] != torch.arange(under_all_BCD.shape[1], device=label_B.device)
        valid_BBB = positive_BB[:, :, None] & other_BC[None, :, :]
        negative_BBB = torch.einsum("id,jcd->ijc", own_BD, F.normalize(under_all_BCD, dim=-1))
    if not valid_BBB.any():
        raise ValueError(f"alignment_loss ({reading}): expected a batch with two rows of one class and a negative for them, "
                         f"found labels {label_B.tolist()}; draw class-balanced batches with two or more rows per class")
    hinge_BBB = (margin - similar_BB[:, :, None] + negative_BBB).clamp(min=0)
    return hinge_BBB[valid_BBB].mean()


def dawgen_loss(weighted: Tensor, alignment: Tensor | float) -> Tensor:
    """E6, the total: L_wGen + L_dist, coefficient 1; FewGen is the same with L_dist = 0. Source: E6 (established)."""
    return weighted + alignment


def label_word_loss(logits_BC: Tensor, label_B: Tensor, *, label_smoothing: float | Tensor = 0.0) -> Tensor:
    """E7, cross-entropy over the label words only, per row, [B] (no reduction: prompts own their rows).

    logits_BC holds the logit of each class's label word at the [MASK] position.
    Smoothing s, a number or one per row [B]: (1 - s) * -log Pr(label) + s * mean over the classes of -log Pr.
    Source: L_ce of Algorithm 2 (established; label words only: OPTIMA, inferred).
    """
    nll_BC = -logits_BC.log_softmax(-1)
    own_B = nll_BC.gather(-1, label_B[:, None]).squeeze(-1)
    return own_B + label_smoothing * (nll_BC.mean(-1) - own_B)


def _one_of(value: str, allowed: tuple[str, ...], name: str) -> None:
    if value not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(allowed)}, found {value!r}")
