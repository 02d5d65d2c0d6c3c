"""A smaller cache in generation: what is attended to are the first places and the last ones (one simple policy).

FastGen and others drop keys and values that are seldom attended to; cheapest to know are the special places at the start
(the control code, a label's prompt) and the nearest words. Places that the policy drops are masked: the answers are those
of a cache without them, and its size is the share of places that stay.
"""

from torch import Tensor

from dawgen_core.backbones import Generator
from dawgen_core.prompts import PromptLayout


class Compressed(Generator):
    """A generator whose cache keeps the first `head` places and the last `window`; counts what it would have held."""

    def __init__(self, generator: Generator, head: int, window: int):
        if head < 0 or window < 1:
            raise ValueError(f"window: expected at least 1 and a head of at least 0, found {window} and {head}")
        super().__init__(generator.model, generator.tokenizer, generator.name)
        self.limits, self.n_whole, self.n_stay = (head, window), 0, 0

    def states(self, inputs_BTD: Tensor, kept_BT: Tensor, cache=None) -> Tensor:
        """As the generator's; while a sentence goes on, token by token, the middle of the cache is out of sight."""
        if cache is None or inputs_BTD.shape[1] > 1 or kept_BT.shape[1] == 1:
            return super().states(inputs_BTD, kept_BT, cache)
        kept, (head, window) = kept_BT.long(), self.limits
        place_BT = kept.cumsum(-1) - 1
        stay_BT = kept_BT.bool() & ((place_BT < head) | (place_BT > place_BT[:, -1:] - window))
        self.n_whole += int(kept.sum())
        self.n_stay += int(stay_BT.sum())
        places = {"position_ids": place_BT.clamp(min=0)[:, -1:]} if self._counts_places else {}
        return self.model.base_model(inputs_embeds=inputs_BTD.clone(), attention_mask=stay_BT.long(), use_cache=True,
                                     past_key_values=cache, **places).last_hidden_state  # fmt: skip

    @property
    def share(self) -> float:
        """Of the cache that stays, mean over all steps and lanes."""
        return self.n_stay / max(1, self.n_whole)


def longest_head(layout: PromptLayout) -> int:
    """Places before sentence 1: the control code and the longest label's prompt."""
    return layout.n_past or len(layout.code_ids) + max(map(len, layout.slot_ids))
