"""Derivatives along a direction in one forward pass, through a model whose weights stand still."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode


class _FrozenLinear(torch.autograd.Function):
    @staticmethod
    def forward(x, weight, bias):
        return F.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_forward(inputs[1])

    @staticmethod
    def jvp(ctx, move, *_):
        return F.linear(move, ctx.saved_tensors[0])


class _WeightsStandStill(TorchFunctionMode):
    """PyTorch's forward mode multiplies by the zero tangent of a frozen weight too: a third product, for nothing."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.linear and not kwargs:
            return _FrozenLinear.apply(*args, *[None] * (3 - len(args)))
        if func is torch.addmm and not kwargs:  # GPT-2's layers
            return _FrozenLinear.apply(args[1], args[2].T, args[0])
        return func(*args, **(kwargs or {}))


def derivative_along(function: Callable[[Tensor], Sequence[Tensor]], at: Tensor, direction: Tensor) -> list[Tensor]:
    """Forward-mode directional derivatives of `function`, whose linear layers are frozen.

    By the math attention kernel: the others have no forward mode.
    """
    with sdpa_kernel(SDPBackend.MATH), _WeightsStandStill(), forward_ad.dual_level():
        found = [forward_ad.unpack_dual(out) for out in function(forward_ad.make_dual(at.detach(), direction))]
        return [torch.zeros_like(out.primal) if out.tangent is None else out.tangent for out in found]
