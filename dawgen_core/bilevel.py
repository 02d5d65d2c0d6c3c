"""Algorithm 1, generator tuning: virtual step, weight step, prompt step, on one batch of real rows.

The meta-gradient is exact and needs no second-order graph through the language model. L_DawGen is linear in
the token weights but for the pooled vectors of L_dist, so with v the gradient of L_disc at the virtual point,
    dL_disc/dW = -alpha * d/dW [ derivative of L_DawGen(Q; W) along v ],
and one forward-mode pass over the model gives every token's derivative along v; W's gradient then flows
through the small net alone. Shapes: G stacked prompts (each with its own rows and its own W), the rest as in `losses`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from dawgen_core import losses, samplers
from dawgen_core.backbones import dot
from dawgen_core.forward_mode import derivative_along
from dawgen_core.params import GeneratorTuning
from dawgen_core.prompts import PromptLayout, Reading
from dawgen_core.weighting import WeightNet, token_weights


@dataclass(frozen=True)
class TokenReading:
    """What the generator says of the scored tokens: nll (nats), raw logit, last hidden state at the token.

    Some readings of the equations want more: the hidden states under every class's prompt (E5, `prompt_contrast`),
    each token's discrimination loss, a number without a graph (E3, `loss`).
    """

    nll_BL: Tensor
    logit_BL: Tensor
    hidden_BLD: Tensor
    under_BCLD: Tensor | None = None
    disc_BL: Tensor | None = None

    def rows(self, part: slice | Tensor) -> "TokenReading":
        values = (getattr(self, field.name) for field in fields(self))
        return TokenReading(*(None if value is None else value[part] for value in values))


def read_tokens(layout: PromptLayout, q_GCSD: Tensor, reading: Reading) -> TokenReading:
    """One pass of the frozen generator; differentiable in q_GCSD."""
    return read_head(layout, reading, read_states(layout, q_GCSD, reading))


def read_states(layout: PromptLayout, q_GCSD: Tensor, reading: Reading) -> tuple[Tensor, ...]:
    """Last hidden states at the scored tokens [B, L, D] and before them [N, D]; the learned ends of their rows [N, D]."""
    states_BTD, _ = layout.states(q_GCSD, reading.ids_BT, reading.kept_BT, reading.label_B, reading.prompt_B)
    rows_B1 = torch.arange(len(reading.ids_BT), device=reading.ids_BT.device)[:, None]
    row_N = rows_B1.expand_as(reading.at_BL)[reading.scored_BL]
    before_ND = states_BTD[row_N, reading.at_BL[reading.scored_BL] - 1]
    ends = [layout.eos_rows(q_GCSD, reading.label_B[row_N], reading.prompt_B[row_N])] if layout.learned_eos else []
    return states_BTD[rows_B1, reading.at_BL], before_ND, *ends


def read_head(layout: PromptLayout, reading: Reading, states: tuple[Tensor, ...]) -> TokenReading:
    """The head's part: it reads the states before scored tokens only, and keeps no logit but the target's."""
    hidden_BLD, before_ND, *ends = states
    head, n_vocab = layout.generator.head, layout.generator.n_vocab
    target_N = reading.ids_BT.gather(1, reading.at_BL)[reading.scored_BL]
    total_N = losses.vocabulary_logsumexp(before_ND, head.weight, head.bias)
    word_N = target_N.clamp(max=n_vocab - 1)
    logit_N = dot(before_ND, head.weight[word_N]) + (0.0 if head.bias is None else head.bias[word_N])
    for end_ND in ends:
        end_N = dot(before_ND, end_ND.to(before_ND.dtype))
        logit_N = torch.where(target_N >= n_vocab, end_N, logit_N)
        total_N = torch.logaddexp(total_N, end_N.to(total_N.dtype))
    nll_N = total_N - logit_N
    return TokenReading(_spread(nll_N, reading), _spread(logit_N.to(nll_N.dtype), reading), hidden_BLD.to(nll_N.dtype))


def _spread(value_N: Tensor, reading: Reading) -> Tensor:
    return value_N.new_zeros(reading.scored_BL.shape).masked_scatter(reading.scored_BL, value_N)


@dataclass
class Batch:
    """One stack of real rows: each of the G prompts has B rows. `under` reads all of them under class 0's prompt, then
    all of them under class 1's, and so on."""

    own: Reading
    under: Reading
    n_prompts: int

    @classmethod
    def of(cls, layout: PromptLayout, rows_per_prompt: Sequence[Sequence], labels: Sequence[Sequence[int]]) -> "Batch":
        rows, flat = [row for part in rows_per_prompt for row in part], [label for part in labels for label in part]
        prompts, n_classes = [g for g, part in enumerate(labels) for _ in part], len(layout.task.labels)
        under = layout.read(rows * n_classes, [c for c in range(n_classes) for _ in rows], prompts * n_classes)
        return cls(layout.read(rows, flat, prompts), under, len(labels))

    def part(self, g: int) -> slice:
        size = len(self.own.label_B) // self.n_prompts
        return slice(g * size, (g + 1) * size)

    def under_all(self, rows_N: Tensor) -> Reading:
        """These rows under every class's prompt, class after class."""
        size = len(self.own.label_B)
        rows = torch.cat([rows_N + start for start in range(0, len(self.under.label_B), size)])
        return Reading(*(getattr(self.under, field.name)[rows] for field in fields(Reading)))


class PromptLoss:
    """L(Q; W) of one kind for one prompt of the stack: E1 for `mle`, E6 for `dawgen`, E2 for the others."""

    def __init__(self, kind: str, settings: GeneratorTuning, net: WeightNet | None):
        self.kind, self.settings, self.net = kind, settings, net

    def weights(self, seen: TokenReading, scored_BL: Tensor, label_B: Tensor) -> tuple[Tensor, Tensor]:
        """Token weights [B, L] of E2, and those of E5, which sum to 1 in each row (a row's may all round to 0 in E2's)."""
        score_BL = self.net(seen.hidden_BLD, seen.disc_BL)
        return tuple(token_weights(score_BL, scored_BL, label_B, over=over) for over in (self.settings.weights_over, "row"))

    def alignment(self, seen: TokenReading, share_BL: Tensor, label_B: Tensor) -> Tensor:
        """E5 of this prompt's rows; 0 for kinds without it."""
        if self.kind != "dawgen":
            return share_BL.new_zeros(())
        under_BCD = None
        if seen.under_BCLD is not None:
            under_BCD = torch.stack([losses.pooled_states(h, share_BL) for h in seen.under_BCLD.unbind(1)], dim=1)
        return losses.alignment_loss(losses.pooled_states(seen.hidden_BLD, share_BL), label_B, under_all_BCD=under_BCD,
                                     reading=self.settings.alignment, margin=self.settings.margin)  # fmt: skip

    def parts(self, seen: TokenReading, scored_BL: Tensor, label_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(L_gen or L_wGen, L_dist, weights [B, L]); differentiable in Q (through `seen`) and in W."""
        if self.kind == "mle":
            return losses.lm_loss(seen.nll_BL, scored_BL), seen.nll_BL.new_zeros(()), scored_BL / scored_BL.sum()
        weight_BL, share_BL = self.weights(seen, scored_BL, label_B)
        weighted = losses.weighted_lm_loss(seen.nll_BL, weight_BL, label_B, over=self.settings.weights_over)
        return weighted, self.alignment(seen, share_BL, label_B), weight_BL


@dataclass(frozen=True)
class Seen:
    """One reading of a batch at Q: what was read, the states it came from, and what they say of the batch's own rows."""

    reading: Reading
    states: tuple[Tensor, ...]
    tokens: TokenReading


def see(layout: PromptLayout, q_GCSD: Tensor, batch: Batch, terms: Sequence[PromptLoss]) -> Seen:
    """Reads a batch for these losses; differentiable in q_GCSD."""
    settings = terms[0].settings
    contrast = settings.alignment == "prompt_contrast" and any(term.kind == "dawgen" for term in terms)
    reading = batch.under if contrast else batch.own
    states = read_states(layout, q_GCSD, reading)
    tokens = _of_own_rows(read_head(layout, reading, states), batch)
    if any(term.net is not None and term.net.reads == "loss" for term in terms):
        with torch.no_grad():
            parts = [losses.token_discrimination(_scores(layout, q_GCSD, batch, rows_N, settings), batch.own.label_B[rows_N],
                                                 form=settings.discrimination) for rows_N in _few_rows(batch, settings)]
        tokens = replace(tokens, disc_BL=torch.cat(parts))
    return Seen(reading, states, tokens)


def _of_own_rows(tokens: TokenReading, batch: Batch) -> TokenReading:
    """Of the batch's rows under their own labels, out of a reading of them under all labels."""
    size = len(batch.own.label_B)
    if len(tokens.nll_BL) == size:
        return tokens
    under_BCLD = tokens.hidden_BLD.unflatten(0, (-1, size)).transpose(0, 1)
    own = tokens.rows(batch.own.label_B * size + torch.arange(size, device=tokens.nll_BL.device))
    return replace(own, under_BCLD=under_BCLD)


def total_loss(terms: Sequence[PromptLoss], seen: Seen, batch: Batch) -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
    """Sum of L(Q; W) over the stack, and each prompt's parts (LM term, alignment, weights)."""
    own = batch.own
    parts = [term.parts(seen.tokens.rows(part), own.scored_BL[part], own.label_B[part])
             for term, part in zip(terms, map(batch.part, range(len(terms))), strict=True)]  # fmt: skip
    return torch.stack([losses.dawgen_loss(weighted, aligned) for weighted, aligned, _ in parts]).sum(), parts


def virtual_step(q_GCSD: Tensor, loss: Tensor, *, lr: float) -> Tensor:
    """(a) Q(W): one gradient step of size lr on L(Q; W), as a fresh leaf. The graph of `loss` stays for (c)."""
    (grad_GCSD,) = torch.autograd.grad(loss, q_GCSD, retain_graph=True)
    return (q_GCSD.detach() - lr * grad_GCSD).requires_grad_()


def _few_rows(batch: Batch, settings: GeneratorTuning) -> Sequence[Tensor]:
    label_B = batch.own.label_B
    return torch.arange(len(label_B), device=label_B.device).split(settings.discrimination_rows)


def _scores(layout: PromptLayout, q_GCSD: Tensor, batch: Batch, rows_N: Tensor, settings: GeneratorTuning) -> Tensor:
    """Scores [N, L, C] of the tokens of some rows under every label's prompt, as E4's form wants them."""
    seen = read_tokens(layout, q_GCSD, batch.under_all(rows_N))
    score_BL = seen.logit_BL if settings.discrimination == "raw_logit" else -seen.nll_BL
    return score_BL.unflatten(0, (-1, len(rows_N))).permute(1, 2, 0)


def discrimination_gradient(
    layout: PromptLayout, virtual_GCSD: Tensor, batch: Batch, settings: GeneratorTuning
) -> tuple[Tensor, Tensor]:
    """L_disc of each prompt at the virtual point [G], and v, its gradient with respect to the virtual Q.

    A row's loss needs its own scores under all labels and nothing of other rows, so that `discrimination_rows` at a
    time are read and differentiated: less memory, no second pass (one label at a time would need one).
    """
    own, v_GCSD = batch.own, torch.zeros_like(virtual_GCSD)
    values_G = torch.zeros(batch.n_prompts, dtype=v_GCSD.dtype, device=v_GCSD.device)
    count_B = own.scored_BL.sum(1).to(v_GCSD.dtype)
    share_B = 1 / torch.zeros_like(values_G).index_add(0, own.prompt_B, count_B)[own.prompt_B]  # of a token in its mean
    for rows_N in _few_rows(batch, settings):
        score_NLC = _scores(layout, virtual_GCSD, batch, rows_N, settings)
        token_NL = losses.token_discrimination(score_NLC, own.label_B[rows_N], form=settings.discrimination)
        loss_N = token_NL.where(own.scored_BL[rows_N], 0.0).sum(1) * share_B[rows_N]
        v_GCSD += torch.autograd.grad(loss_N.sum(), virtual_GCSD)[0]
        values_G.index_add_(0, own.prompt_B[rows_N], loss_N.detach().to(values_G.dtype))
    return values_G, v_GCSD


def meta_gradients(
    layout: PromptLayout, q_GCSD: Tensor, v_GCSD: Tensor, terms: Sequence[PromptLoss], seen: Seen, batch: Batch
) -> None:
    """(b) puts the exact meta-gradient into every net's .grad: -lr * d/dW of the derivative of L(Q; W) along v."""
    moves = derivative_along(lambda q: read_states(layout, q, seen.reading), q_GCSD, v_GCSD)
    slopes = torch.autograd.grad(seen.tokens.nll_BL.sum(), seen.states[1:], retain_graph=True)  # of a token in its own state
    wide = seen.tokens.nll_BL.dtype
    nll_dot_N = sum((slope * move).sum(-1, dtype=wide) for slope, move in zip(slopes, moves[1:], strict=True))
    nll_dot_BL = _spread(nll_dot_N, seen.reading)
    moved = _of_own_rows(TokenReading(nll_dot_BL, nll_dot_BL, moves[0].to(wide)), batch)
    for g, term in enumerate(terms):
        part = batch.part(g)
        tokens, along, label_B = seen.tokens.rows(part), moved.rows(part), batch.own.label_B[part]
        weight_BL, share_BL = term.weights(tokens, batch.own.scored_BL[part], label_B)
        derivative = losses.weighted_lm_loss(along.nll_BL, weight_BL, label_B, over=term.settings.weights_over)
        if term.kind == "dawgen":
            pairs = [(tokens.hidden_BLD, along.hidden_BLD), (tokens.under_BCLD, along.under_BCLD)]
            points = [None if point is None else point.detach().requires_grad_() for point, _ in pairs]
            there = [point for point in points if point is not None]
            aligned = term.alignment(replace(tokens, hidden_BLD=points[0], under_BCLD=points[1]), share_BL, label_B)
            grads = torch.autograd.grad(aligned, there, create_graph=True)
            derivative = derivative + sum((grad * move).sum() for grad, (_, move) in zip(grads, pairs, strict=False))
        parameters = list(term.net.parameters())
        for parameter, grad in zip(parameters, torch.autograd.grad(derivative, parameters, allow_unused=True), strict=True):
            parameter.grad = torch.zeros_like(parameter) if grad is None else -term.settings.virtual_lr * grad


def new_loss(layout: PromptLayout, kind: str, seed: int, settings: GeneratorTuning):
    """The loss of a kind with its seeded weight net, and that net's optimiser in a list (empty for `mle`)."""
    settings = settings.of(kind)
    if kind == "mle":
        return PromptLoss("mle", settings, None), []
    random = samplers.seeded(seed, samplers.NET)
    net = WeightNet(layout.generator.width, reads=settings.net_reads, generator=random).to(layout.generator.device)
    optimiser = torch.optim.Adam(net.parameters(), lr=settings.net_lr, weight_decay=settings.net_weight_decay)
    return PromptLoss(kind, settings, net), [optimiser]


def algorithm_1_step(layout, q_GCSD, terms, net_optimisers, batch: Batch) -> list[dict]:
    """One step of Algorithm 1 on one batch: (a) and (b) update every W, (c) leaves its gradient in q_GCSD.grad.

    Step (c) reuses the token losses of (a), since Q has not moved in between. Notebook 01 writes these lines out.
    Errors: ValueError when the terms do not share their settings.
    """
    settings = terms[0].settings
    if any(term.settings != settings for term in terms):
        raise ValueError("algorithm_1_step: expected terms of one family, found different settings in one stack")
    seen, disc = see(layout, q_GCSD, batch, terms), torch.full((len(terms),), torch.nan)
    if net_optimisers:
        virtual = virtual_step(q_GCSD, total_loss(terms, seen, batch)[0], lr=settings.virtual_lr)  # (a)
        disc, v = discrimination_gradient(layout, virtual, batch, settings)
        meta_gradients(layout, q_GCSD, v, terms, seen, batch)  # (b)
        for optimiser in net_optimisers:
            optimiser.step()
    loss, parts = total_loss(terms, seen, batch)
    (q_GCSD.grad,) = torch.autograd.grad(loss, q_GCSD)  # (c)
    return [
        {"loss": losses.dawgen_loss(weighted, aligned).item(), "lm_loss": weighted.item(), "alignment": aligned.item(),
         "discrimination": disc[g].item(), "largest_weight": weight.max().item()}
        for g, (weighted, aligned, weight) in enumerate(parts)
    ]  # fmt: skip
