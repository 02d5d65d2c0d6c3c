"""Gradient surgery (Algorithm 2): remove from the synthetic gradient what conflicts with the real one."""

from dataclasses import dataclass

import torch
from torch import Tensor

RULES = ("one_sided", "none", "symmetric", "drop")


@dataclass(frozen=True)
class SurgeryReport:
    """What happened in one step: cosine of the two raw gradients, whether they conflicted; both [...]."""

    cosine: Tensor
    conflict: Tensor


def project_conflicting(grad_syn_N: Tensor, *, onto_real_N: Tensor) -> Tensor:
    """d_syn with its component against d_real removed, when <d_syn, d_real> < 0; else d_syn itself, bit for bit.

    The synthetic gradient is projected onto the plane orthogonal to the real one; the real one is never
    altered. [..., N]: one test per whole flattened gradient, stacked ones do not see each other. Promises:
    <result, d_real> >= 0 up to rounding, the result is never longer than d_syn, idempotent, the same for any
    positive scale of d_real, and a zero real gradient changes nothing. Arguments are not modified.
    Errors: ValueError on non-finite values, unequal shapes, or no dimension.
    Source: Algorithm 2 (established); one-sided as in A-GEM.
    """
    _check(grad_syn_N, onto_real_N)
    real_N, syn_N = onto_real_N.double(), grad_syn_N.double()  # squares of 1e-30 or 1e30 leave float32's range
    dot_1, square_1 = (torch.linalg.vecdot(x_N, real_N)[..., None] for x_N in (syn_N, real_N))
    projected_N = (syn_N - dot_1 / square_1 * real_N).to(grad_syn_N.dtype)
    return torch.where((dot_1 < 0) & (square_1 > 0), projected_N, grad_syn_N)


def combine(
    grad_real_N: Tensor, grad_syn_N: Tensor, *, eps: float = 1.0, rule: str = "one_sided"
) -> tuple[Tensor, SurgeryReport]:
    """The update direction d = d_real + eps * d_syn after the rule, [..., N], and what was found on the way.

    `one_sided` (the paper): d_syn is projected. `none`: no surgery. `symmetric` (PCGrad): each is projected
    onto the other's original. `drop`: a conflicting d_syn is left out. Arguments are not modified.
    For `one_sided`, <d, d_real> >= |d_real|^2 for every eps >= 0.
    Errors: ValueError as `project_conflicting`, on an unknown rule, and on a negative or non-finite eps.
    Source: Algorithm 2 (established), eps = 1 (inferred); `symmetric` Yu et al. 2020, `drop` ours.
    """
    _check(grad_syn_N, grad_real_N)
    if rule not in RULES:
        raise ValueError(f"rule: expected one of {', '.join(RULES)}, found {rule!r}")
    if not 0 <= eps < float("inf"):
        raise ValueError(f"eps: expected a finite number of at least 0, found {eps!r}")
    real_N, syn_N = grad_real_N.double(), grad_syn_N.double()
    dot, norm_real, norm_syn = torch.linalg.vecdot(real_N, syn_N), real_N.norm(dim=-1), syn_N.norm(dim=-1)
    cosine = torch.where((norm_real > 0) & (norm_syn > 0), dot / (norm_real * norm_syn), 0.0)
    first_N, second_N = grad_real_N, grad_syn_N
    if rule == "drop":
        second_N = grad_syn_N.masked_fill(dot[..., None] < 0, 0.0)
    elif rule in ("one_sided", "symmetric"):
        second_N = project_conflicting(grad_syn_N, onto_real_N=grad_real_N)
        if rule == "symmetric":
            first_N = project_conflicting(grad_real_N, onto_real_N=grad_syn_N)
    return first_N + eps * second_N, SurgeryReport(cosine, dot < 0)


def _check(grad_syn_N: Tensor, grad_real_N: Tensor) -> None:
    if grad_syn_N.dim() < 1 or grad_syn_N.shape != grad_real_N.shape:
        raise ValueError("surgery: expected two gradients [..., N] of equal shape, found shapes "
                         f"{tuple(grad_real_N.shape)} (real) and {tuple(grad_syn_N.shape)} (synthetic)")  # fmt: skip
    for name, grad_N in (("real", grad_real_N), ("synthetic", grad_syn_N)):
        if not torch.isfinite(grad_N).all():
            raise ValueError(f"surgery: expected finite gradients, found NaN or infinity in the {name} one; "
                             "lower the learning rate, or use float32 or bfloat16 (T5 overflows in float16)")  # fmt: skip
