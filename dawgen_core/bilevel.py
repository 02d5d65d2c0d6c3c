"""Algorithm 1, generator tuning: virtual step, weight step, prompt step, on one batch of real rows.

The meta-gradient is exact and needs no second-order graph through the language model. L_DawGen is linear in
the token weights but for the pooled vectors of L_dist, so with v the gradient of L_disc at the virtual point,
    dL_disc/dW = -alpha * d/dW [ derivative of L_DawGen(Q; W) along v ],
and one forward-mode pass over the model gives every token's derivative along v; W's gradient then flows
through the small net alone. Shapes: G stacked prompts (each with its own rows and its own W), the rest as in `losses`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from dawgen_core import losses, samplers
from dawgen_core.params import GeneratorTuning
from dawgen_core.prompts import PromptLayout, Reading
from dawgen_core.weighting import WeightNet, token_weights


@dataclass(frozen=True)
class TokenReading:
    """What the generator says of the scored tokens: nll (nats), raw logit, last hidden state at the token."""

    nll_BL: Tensor
    logit_BL: Tensor
    hidden_BLD: Tensor

    def rows(self, part: slice) -> "TokenReading":
        return TokenReading(self.nll_BL[part], self.logit_BL[part], self.hidden_BLD[part])


def read_tokens(layout: PromptLayout, q_GCSD: Tensor, reading: Reading) -> TokenReading:
    """One pass of the frozen generator; differentiable in q_GCSD. Logits are made at scored tokens only."""
    generator = layout.generator
    inputs_BTD = layout.embed(q_GCSD, reading.ids_BT, reading.label_B, reading.prompt_B)
    states_BTD = generator.states(inputs_BTD, reading.kept_BT)
    rows_B1 = torch.arange(len(reading.ids_BT), device=reading.ids_BT.device)[:, None]
    hidden_BLD = states_BTD[rows_B1, reading.at_BL]
    row_N = rows_B1.expand_as(reading.at_BL)[reading.scored_BL]
    before_ND = states_BTD[row_N, reading.at_BL[reading.scored_BL] - 1]
    target_N = reading.ids_BT[row_N, reading.at_BL[reading.scored_BL]]
    logit_N, total_N = _target_logit(layout, q_GCSD, before_ND, target_N, reading.label_B[row_N], reading.prompt_B[row_N])

    def spread(value_N: Tensor) -> Tensor:
        return value_N.new_zeros(reading.scored_BL.shape).masked_scatter(reading.scored_BL, value_N)

    return TokenReading(spread(total_N - logit_N), spread(logit_N), hidden_BLD.to(logit_N.dtype))


def _target_logit(layout, q_GCSD, before_ND, target_N, label_N, prompt_N) -> tuple[Tensor, Tensor]:
    """(raw logit of the target token, logsumexp over the vocabulary and the learned end), both [N]."""
    logits_NV = layout.generator.logits(before_ND)
    if layout.learned_eos:
        ends_ND = layout.eos_rows(q_GCSD, label_N, prompt_N).to(before_ND.dtype)
        logits_NV = torch.cat([logits_NV, (before_ND * ends_ND).sum(-1, keepdim=True)], dim=-1)
        target_N = target_N.clamp(max=layout.generator.n_vocab)  # every learned end is the last column
    return logits_NV.gather(-1, target_N[:, None]).squeeze(-1), logits_NV.logsumexp(-1)


@dataclass
class Batch:
    """One stack of real rows: each of the G prompts has B rows; under[c] reads every row under the prompt of class c."""

    own: Reading
    under: list[Reading]
    n_prompts: int

    @classmethod
    def of(cls, layout: PromptLayout, rows_per_prompt: Sequence[Sequence], labels: Sequence[Sequence[int]]) -> "Batch":
        rows, flat = [row for part in rows_per_prompt for row in part], [label for part in labels for label in part]
        prompts = [g for g, part in enumerate(labels) for _ in part]
        under = [layout.read(rows, [c] * len(rows), prompts) for c in range(len(layout.task.labels))]
        return cls(layout.read(rows, flat, prompts), under, len(labels))

    def part(self, g: int) -> slice:
        size = len(self.own.label_B) // self.n_prompts
        return slice(g * size, (g + 1) * size)


class PromptLoss:
    """L(Q; W) of one kind for one prompt of the stack: E1 for `mle`, E2 for `fewgen`, E6 for `dawgen`."""

    def __init__(self, kind: str, settings: GeneratorTuning, net: WeightNet | None):
        self.kind, self.settings, self.net = kind, settings, net

    def weights(self, seen: TokenReading, scored_BL: Tensor, label_B: Tensor) -> Tensor:
        return token_weights(self.net(seen.hidden_BLD, seen.nll_BL), scored_BL, label_B, over=self.settings.weights_over)

    def alignment(self, hidden_BLD: Tensor, under_BCLD: Tensor | None, weight_BL: Tensor, label_B: Tensor) -> Tensor:
        """E5 of this prompt's rows; 0 for kinds without it."""
        if self.kind != "dawgen":
            return weight_BL.new_zeros(())
        under_BCD = None
        if under_BCLD is not None:
            under_BCD = torch.stack([losses.pooled_states(h, weight_BL) for h in under_BCLD.unbind(1)], dim=1)
        return losses.alignment_loss(losses.pooled_states(hidden_BLD, weight_BL), label_B, under_all_BCD=under_BCD,
                                     reading=self.settings.alignment, margin=self.settings.margin)  # fmt: skip

    def parts(self, seen: TokenReading, under_BCLD: Tensor | None, scored_BL, label_B) -> tuple[Tensor, Tensor, Tensor]:
        """(L_gen or L_wGen, L_dist, weights [B, L]); differentiable in Q (through `seen`) and in W."""
        if self.kind == "mle":
            return losses.lm_loss(seen.nll_BL, scored_BL), seen.nll_BL.new_zeros(()), scored_BL / scored_BL.sum()
        weight_BL = self.weights(seen, scored_BL, label_B)
        weighted = losses.weighted_lm_loss(seen.nll_BL, weight_BL, label_B, over=self.settings.weights_over)
        return weighted, self.alignment(seen.hidden_BLD, under_BCLD, weight_BL, label_B), weight_BL


def virtual_step(q_GCSD: Tensor, loss: Tensor, *, lr: float) -> Tensor:
    """(a) Q(W): one gradient step of size lr on L(Q; W), as a fresh leaf. The graph of `loss` stays for (c)."""
    (grad_GCSD,) = torch.autograd.grad(loss, q_GCSD, retain_graph=True)
    return (q_GCSD.detach() - lr * grad_GCSD).requires_grad_()


def discrimination_gradient(
    layout: PromptLayout, virtual_GCSD: Tensor, batch: Batch, form: str
) -> tuple[list[float], Tensor]:
    """L_disc of each prompt at the virtual point, and v, its gradient with respect to the virtual Q."""
    under = [read_tokens(layout, virtual_GCSD, reading) for reading in batch.under]
    score_BLC = torch.stack([r.logit_BL if form == "raw_logit" else -r.nll_BL for r in under], dim=-1)
    parts = [batch.part(g) for g in range(batch.n_prompts)]
    own = batch.own
    values = [losses.discrimination_loss(score_BLC[p], own.label_B[p], own.scored_BL[p], form=form) for p in parts]
    (v_GCSD,) = torch.autograd.grad(torch.stack(values).sum(), virtual_GCSD)
    return [v.item() for v in values], v_GCSD


def derivative_along(function: Callable[[Tensor], tuple[Tensor, ...]], at: Tensor, direction: Tensor):
    """Forward-mode directional derivatives of `function` (math attention: other kernels have no forward mode)."""
    with sdpa_kernel(SDPBackend.MATH):
        _, derivatives = torch.func.jvp(function, (at.detach(),), (direction,))
    return derivatives


def weight_gradients(
    terms: Sequence[PromptLoss], batch: Batch, seen: TokenReading, under_BCLD: Tensor | None,
    nll_dot_BL: Tensor, hidden_dot_BLD: Tensor, under_dot_BCLD: Tensor | None, *, lr: float,
) -> list[tuple[Tensor, ...]]:  # fmt: skip
    """(b) the exact meta-gradient of each prompt's W: -lr * d/dW of the derivative of L(Q; W) along v."""
    out = []
    for g, term in enumerate(terms):
        part = batch.part(g)
        label_B, scored_BL = batch.own.label_B[part], batch.own.scored_BL[part]
        weight_BL = term.weights(seen.rows(part), scored_BL, label_B)
        along = losses.weighted_lm_loss(nll_dot_BL[part], weight_BL, label_B, over=term.settings.weights_over)
        if term.kind == "dawgen":
            points = [seen.hidden_BLD[part].detach().requires_grad_()]
            moves = [hidden_dot_BLD[part]]
            if under_BCLD is not None:
                points.append(under_BCLD[part].detach().requires_grad_())
                moves.append(under_dot_BCLD[part])
            aligned = term.alignment(points[0], points[1] if len(points) > 1 else None, weight_BL, label_B)
            grads = torch.autograd.grad(aligned, points, create_graph=True)
            along = along + sum((g_ * m).sum() for g_, m in zip(grads, moves, strict=True))
        grads = torch.autograd.grad(along, list(term.net.parameters()), allow_unused=True)
        out.append(tuple(
            -lr * (torch.zeros_like(p) if d is None else d) for d, p in zip(grads, term.net.parameters(), strict=True)
        ))  # fmt: skip
    return out


def new_loss(layout: PromptLayout, kind: str, seed: int, settings: GeneratorTuning):
    """The loss of a kind with its seeded weight net, and that net's optimiser in a list (empty for `mle`)."""
    if kind == "mle":
        return PromptLoss("mle", settings, None), []
    random = samplers.seeded(seed, samplers.NET)
    net = WeightNet(layout.generator.width, reads=settings.net_reads, generator=random).to(layout.generator.device)
    optimiser = torch.optim.Adam(net.parameters(), lr=settings.net_lr, weight_decay=settings.net_weight_decay)
    return PromptLoss(kind, settings, net), [optimiser]


def algorithm_1_step(layout, q_GCSD, terms, net_optimisers, batch: Batch, settings: GeneratorTuning) -> list[dict]:
    """One step of Algorithm 1 on one batch: steps (a) and (b) update every W, (c) leaves its gradient in q_GCSD.grad.

    Step (c) reuses the token losses of (a), since Q has not moved in between.
    """

    def read(q: Tensor) -> tuple[TokenReading, Tensor | None]:
        if terms[0].kind != "mle" and settings.alignment == "prompt_contrast":
            under = [read_tokens(layout, q, reading) for reading in batch.under]
            rows = torch.arange(len(batch.own.label_B), device=q.device)
            own = [torch.stack(list(parts), 1)[rows, batch.own.label_B] for parts in zip(
                *((u.nll_BL, u.logit_BL, u.hidden_BLD) for u in under), strict=True)]  # fmt: skip
            return TokenReading(*own), torch.stack([u.hidden_BLD for u in under], dim=1)
        return read_tokens(layout, q, batch.own), None

    def losses_now() -> list[tuple[Tensor, Tensor, Tensor]]:
        own, found = batch.own, []
        for term, part in ((term, batch.part(g)) for g, term in enumerate(terms)):
            others = None if under is None else under[part]
            found.append(term.parts(seen.rows(part), others, own.scored_BL[part], own.label_B[part]))
        return found

    def total(parts) -> Tensor:
        return torch.stack([losses.dawgen_loss(weighted, aligned) for weighted, aligned, _ in parts]).sum()

    seen, under = read(q_GCSD)
    disc = [float("nan")] * len(terms)
    if net_optimisers:
        virtual = virtual_step(q_GCSD, total(losses_now()), lr=settings.virtual_lr)  # (a)
        disc, v = discrimination_gradient(layout, virtual, batch, settings.discrimination)

        def moving(q: Tensor) -> tuple[Tensor, ...]:
            tokens, others = read(q)
            return tokens.nll_BL, tokens.hidden_BLD, *([] if others is None else [others])

        nll_dot, hidden_dot, *under_dot = derivative_along(moving, q_GCSD, v)
        gradients = weight_gradients(terms, batch, seen, under, nll_dot, hidden_dot,
                                             under_dot[0] if under_dot else None, lr=settings.virtual_lr)  # fmt: skip
        for term, optimiser, grads in zip(terms, net_optimisers, gradients, strict=True):  # (b)
            for parameter, grad in zip(term.net.parameters(), grads, strict=True):
                parameter.grad = grad.detach()
            optimiser.step()
    parts = losses_now()
    (q_GCSD.grad,) = torch.autograd.grad(total(parts), q_GCSD)  # (c)
    return [
        {"loss": losses.dawgen_loss(weighted, aligned).item(), "lm_loss": weighted.item(), "alignment": aligned.item(),
         "discrimination": disc[g], "largest_weight": weight.max().item()}
        for g, (weighted, aligned, weight) in enumerate(parts)
    ]  # fmt: skip
