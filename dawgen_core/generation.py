"""Sentences from tuned prompts, many side by side: a lane whose sentence is whole goes on with the next one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache

from dawgen_core.backbones import dot, enough_memory
from dawgen_core.params import Generation
from dawgen_core.prompts import PromptLayout, padded
from dawgen_core.samplers import DECODING, choose_token, penalise_repetition, seeded

REFILL = 1 / 8  # free lanes are refilled together, at this share of them; on a CPU: as fast as 1/4, a fifth faster than at 1

# (class number, attempts, first sentences) -> each attempt's sentence 2; its sentence 1 when the first sentences are None
ContinueFrom = Callable[[int, Sequence[int], Sequence[str] | None], list["Continuation"]]


@dataclass(frozen=True)
class Continuation:
    """A sentence: text, whether the model ended it itself, tokens (its end included), and the sum of their log-probabilities
    under the model, before penalty and temperature; NaN for a sentence that was given."""

    text: str
    ended: bool
    n_tokens: int
    log_prob: float

    @property
    def folded(self) -> str:
        """What makes two sentences the same."""
        return self.text.strip().casefold()


def continuations(layout: PromptLayout, q_CSD: Tensor, settings: Generation, seed: int) -> ContinueFrom:
    """The tuned generator, ready to be asked for sentences."""
    return partial(decode, layout, q_CSD.to(layout.generator.device)[None], settings, seed)


@torch.inference_mode()
def decode(
    layout: PromptLayout, q_1CSD: Tensor, settings: Generation, seed: int,
    label: int, attempts: Sequence[int], firsts: Sequence[str] | None,
) -> list[Continuation]:  # fmt: skip
    """One sentence per attempt, in their order, batch_size of them side by side.

    An attempt draws its numbers from (seed, label, attempt, sentence): its sentence depends neither on batch_size nor on
    its neighbours, up to how sums of other shapes round. Errors: MemoryError; ValueError when an opening leaves no room.
    """
    ids = [None] * len(attempts) if firsts is None else [layout.generator.ids(text) for text in firsts]
    purpose = (seed, DECODING, label, int(firsts is not None))
    draws = [torch.rand(settings.max_new_tokens + 1, dtype=torch.float64, generator=seeded(*purpose, a)) for a in attempts]
    lanes, done, opened = Lanes(layout, q_1CSD, settings, label), {}, 0
    with enough_memory("generation.batch_size", settings.batch_size, otherwise="generation.max_new_tokens"):
        while len(done) < len(attempts):
            fresh = range(opened, min(opened + settings.batch_size - len(lanes), len(attempts)))
            if fresh:
                lanes.open(fresh, [ids[i] for i in fresh], [draws[i] for i in fresh])
            opened = fresh.stop
            while lanes.n_running > (1 - REFILL) * len(lanes):
                lanes.step()
            done |= lanes.close()
    return [done[i] for i in range(len(attempts))]


class Lanes:
    """Sentences under way, each at its own place in its own lane; `at` holds what a lane knows, lane by lane.

    Keys carry their positions, so a lane's places may lie anywhere in the cache: they lie at the right, and columns that
    no lane keeps are dropped at the left. A lane whose sentence is whole idles until `close` takes it.
    """

    def __init__(self, layout: PromptLayout, q_1CSD: Tensor, settings: Generation, label: int):
        self.layout, self.q_1CSD, self.settings, self.label = layout, q_1CSD, settings, label
        self.rule = layout.task.decoding[layout.task.labels[label]].model_dump()
        self.penalty = self.rule.pop("repetition_penalty")
        self.end = layout.generator.n_vocab if layout.learned_eos else layout.eos_ids[label]
        zero_1 = torch.zeros(1, dtype=torch.long, device=layout.generator.device)
        self.end_1D = layout.eos_rows(q_1CSD, zero_1 + label, zero_1) if layout.learned_eos else None
        self.at, self.n_running = {}, 0

    def __len__(self) -> int:
        return len(self.at["step_B1"]) if self.at else 0

    def open(self, numbers: Sequence[int], first_ids: Sequence[list[int] | None], draws: Sequence[Tensor]) -> None:
        """Reads the openings of new sentences, in a forward of their own, and puts them beside those under way."""
        layout, generator, limits = self.layout, self.layout.generator, self.layout.settings
        openings = [layout.opening(self.label, ids) for ids in first_ids]
        most = self.settings.max_new_tokens
        if first_ids[0] is None:  # a sentence 1, which its sentence 2 will read
            most = min(most, limits.max_first_tokens)
        room = [min(most, (generator.positions or 2**31) - layout.n_past - len(o) - 1) for o in openings]
        if min(room) < 1:
            raise ValueError(f"max_first_tokens: expected room for a sentence in {generator.positions} positions, found "
                             f"{layout.n_past + max(map(len, openings))} taken; lower it")  # fmt: skip
        ids_BT, kept_BT = (part.to(generator.device) for part in padded(openings, 0))
        last_B, label_B, cache = kept_BT.sum(1) - 1, torch.full_like(ids_BT[:, 0], self.label), DynamicCache()
        states_BTD, kept_BT = layout.states(self.q_1CSD, ids_BT, kept_BT, label_B, 0 * label_B, cache)
        seen_BV = torch.zeros(len(openings), generator.n_vocab + layout.learned_eos, dtype=torch.bool)
        for row, ids in enumerate(first_ids):
            seen_BV[row, (ids or [])[: limits.max_first_tokens]] = True
        step_B1, draws_BN = torch.zeros_like(label_B)[:, None], torch.stack(draws).to(generator.device)
        self._join({
            "number_B1": torch.tensor(numbers, device=generator.device)[:, None], "step_B1": step_B1,
            "limit_B1": torch.tensor(room, device=generator.device)[:, None], "running_B1": step_B1 == 0,
            "ended_B1": step_B1 > 0, "log_prob_B1": step_B1.double(), "draws_BN": draws_BN, "ids_BN": draws_BN.long(),
            "seen_BV": seen_BV.to(generator.device), "state_BD": states_BTD[range(len(openings)), last_B],
        }, kept_BT, cache)  # fmt: skip

    def _join(self, at: dict[str, Tensor], kept_BT: Tensor, cache: DynamicCache) -> None:
        places_BT = kept_BT.long().argsort(dim=1, stable=True)[:, -int(kept_BT.sum(1).max()) :]  # what is kept, to the right
        kept_BT = kept_BT.gather(1, places_BT)
        for layer in cache.layers:
            layer.keys = layer.keys.take_along_dim(places_BT[:, None, :, None], dim=2)
            layer.values = layer.values.take_along_dim(places_BT[:, None, :, None], dim=2)
        if self.at:
            width = max(self.kept_BT.shape[1], kept_BT.shape[1])
            kept_BT = torch.cat([F.pad(x, (width - x.shape[1], 0)) for x in (self.kept_BT, kept_BT)])
            for old, new in zip(self.cache.layers, cache.layers, strict=True):
                new.keys = torch.cat([F.pad(x, (0, 0, width - x.shape[2], 0)) for x in (old.keys, new.keys)])
                new.values = torch.cat([F.pad(x, (0, 0, width - x.shape[2], 0)) for x in (old.values, new.values)])
                old.keys = old.values = None  # memory for one layer twice, not for all
            at = {key: torch.cat([self.at[key], at[key]]) for key in at}
        self.at, self.kept_BT, self.cache, self.n_running = at, kept_BT, cache, len(at["step_B1"])

    def step(self) -> None:
        """One more token in every lane that is running."""
        at, generator = self.at, self.layout.generator
        logits_BV = generator.logits(at["state_BD"])
        if self.end_1D is not None:
            end_B1 = dot(at["state_BD"], self.end_1D.to(at["state_BD"].dtype))[:, None]
            logits_BV = torch.cat([logits_BV, end_B1.to(logits_BV.dtype)], dim=-1)
        scores_BV = penalise_repetition(logits_BV, at["seen_BV"], self.penalty)
        choice_B1 = choose_token(scores_BV, at["draws_BN"].gather(1, at["step_B1"])[:, 0], **self.rule)[:, None]
        ends_B1, inside_B1 = choice_B1 == self.end, at["step_B1"] < at["limit_B1"]  # one past the limit may be the end
        log_prob_B1 = logits_BV.gather(1, choice_B1) - logits_BV.logsumexp(-1, keepdim=True)
        at["log_prob_B1"] += torch.where(at["running_B1"] & (ends_B1 | inside_B1), log_prob_B1, 0.0)
        at["ids_BN"].scatter_(1, at["step_B1"], choice_B1)
        at["seen_BV"].scatter_(1, choice_B1, True)
        at["ended_B1"] |= at["running_B1"] & ends_B1
        at["running_B1"] &= inside_B1 & ~ends_B1
        at["step_B1"] += at["running_B1"]
        self.n_running = int(at["running_B1"].sum())
        if self.n_running:
            self.kept_BT = torch.cat([self.kept_BT, at["running_B1"]], dim=1)
            words_B1D = generator.embedding(choice_B1.clamp(max=generator.n_vocab - 1))
            at["state_BD"] = generator.states(words_B1D, self.kept_BT, self.cache)[:, -1]

    def close(self) -> dict[int, Continuation]:
        """Takes the whole sentences out of their lanes: number -> sentence."""
        stay_B, decoded = self.at["running_B1"][:, 0], self.layout.generator.tokenizer.decode
        keys = ("number_B1", "ended_B1", "step_B1", "log_prob_B1", "ids_BN")
        whole = zip(*(self.at[key][~stay_B].squeeze(1).tolist() for key in keys), strict=True)
        out = {number: Continuation(decoded(ids[:n], skip_special_tokens=True), ended, n + ended, log_prob)
               for number, ended, n, log_prob, ids in whole}  # fmt: skip
        first = self.kept_BT.shape[1] - int(self.kept_BT[stay_B].any(0).sum())
        for layer in self.cache.layers:
            layer.keys, layer.values = layer.keys[stay_B, :, first:], layer.values[stay_B, :, first:]
        self.kept_BT, self.at = self.kept_BT[stay_B, first:], {key: x[stay_B] for key, x in self.at.items()}
        return out
