"""Trainable prompts: Q, one per label for the generator, and P for the classifier; and the inputs they stand in.

Generator input of one row: control code (frozen) | prefix | sentence 1 | infix | sentence 2 | end. The infix
is made of slots, trainable input embeddings; the prefix too (`soft`), or it is keys and values at every layer
(`prefix`). In id form a slot is a number past the vocabulary: n_vocab + slot, so that a whole input is one plain
row of ids. Shapes: G stacked prompts, C classes, S rows of Q, D width, P places of keys and values.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache

from dawgen_core.backbones import BackboneError, Classifier, Generator
from dawgen_core.params import GeneratorTuning
from dawgen_core.tasks import Task


@dataclass(frozen=True)
class Reading:
    """A padded batch of generator inputs. at_BL: where the scored tokens stand; prompt_B: whose Q (0..G-1)."""

    ids_BT: Tensor
    kept_BT: Tensor
    at_BL: Tensor
    scored_BL: Tensor
    label_B: Tensor
    prompt_B: Tensor


class PromptLayout:
    """Where the rows of each label's Q stand, and what they start from.

    The prefix starts from the words that state the label's relation, the infix from "Sentence 2:".
    prompt: `soft` has one row of Q per prefix token, an input embedding; `prefix` (FewGen, Li and Liang 2021) has
    two per token and layer, a key and a value, with those of the control code before them, frozen.
    eos: `token` ends a sentence with the tokenizer's end token; `learned` adds one slot per label whose
    vector is both the end's input embedding and its output row (CTRL has no end token).
    mode: `given_first` scores sentence 2 and its end; `both` scores each sentence with its end (sentence 1 is
    then closed by the end too, and a `prefix` keeps its last token as a slot, for the model to go on from).
    """

    def __init__(self, task: Task, generator: Generator, settings: GeneratorTuning):
        self.task, self.generator, self.settings = task, generator, settings
        texts, self.both = task.generator, task.generator.mode == "both"
        codes = getattr(generator.tokenizer, "control_codes", None)
        if codes and texts.control_code not in codes:
            raise ValueError(f"generator.control_code: expected one of {', '.join(codes)}, found {texts.control_code!r}")
        self.code_ids = generator.ids(texts.control_code)
        self.prefix_ids = [generator.ids(texts.prefix[label]) for label in task.labels]
        self.infix_ids = generator.ids(texts.infix)
        self.learned_eos = settings.eos == "learned"
        eos = generator.tokenizer.eos_token_id
        if not self.learned_eos and eos is None:
            raise ValueError(f"generator_tuning.eos: expected `learned` for {generator.name}, whose tokenizer has no "
                             "end token; found `token`")  # fmt: skip
        soft = settings.prompt == "soft"
        self.slot_ids = [ids if soft else ids[len(ids) - self.both :] for ids in self.prefix_ids]  # before sentence 1
        self.state_ids = [ids[: len(ids) - len(s)] for ids, s in zip(self.prefix_ids, self.slot_ids, strict=True)]
        ends = [generator.n_vocab + len(s) + len(self.infix_ids) for s in self.slot_ids]
        self.eos_ids = ends if self.learned_eos else [eos] * len(ends)
        self.n_slots = max(map(len, self.slot_ids)) + len(self.infix_ids) + self.learned_eos
        self.code_states = None if soft else self._states_of(self.code_ids + self.state_ids[0])[:, :, : len(self.code_ids)]
        self.n_past = 0 if soft else len(self.code_ids) + max(map(len, self.state_ids))

    def initial(self) -> Tensor:
        """Q before tuning, [C, S, D] float32: embeddings, keys and values of the texts; what a label leaves unused is 0."""
        rows_CSD = torch.zeros(len(self.prefix_ids), self.n_slots, self.generator.width)
        stop, device = self.generator.ids(".")[-1], self.generator.device
        for label, slots in enumerate(self.slot_ids):
            ids = slots + self.infix_ids + ([stop] if self.learned_eos else [])
            rows_CSD[label, : len(ids)] = self.generator.embedding(torch.tensor(ids, device=device)).float().cpu()
        if self.code_states is None:
            return rows_CSD
        n_code, whole = len(self.code_ids), []
        for ids in self.state_ids:
            states_NPW = self._states_of(self.code_ids + ids).flatten(3).flatten(0, 1)[:, n_code:].float().cpu()
            free = self._rows_per_state * self.generator.width - states_NPW.shape[2]
            states_NPW = F.pad(states_NPW, (0, free, 0, self.n_past - n_code - len(ids)))
            whole.append(states_NPW.reshape(-1, self.generator.width))
        return torch.cat([rows_CSD, torch.stack(whole)], dim=1)

    @torch.no_grad()
    def _states_of(self, ids: Sequence[int]) -> Tensor:
        """Keys and values of a text at every layer, [layers, 2, P, H, D/H]."""
        cache = DynamicCache()
        words_1TD = self.generator.embedding(torch.tensor([ids], device=self.generator.device))
        self.generator.states(words_1TD, words_1TD.new_ones(1, len(ids), dtype=torch.bool), cache)
        shapes = {tuple(getattr(layer, side).shape) for layer in cache.layers for side in ("keys", "values")}
        if len(shapes) != 1:
            raise BackboneError(f"generator_tuning.prompt: expected `soft` for {self.generator.name}, whose layers keep "
                                f"keys and values of unequal shapes {sorted(shapes)}; found `prefix`")  # fmt: skip
        return torch.stack([torch.stack([la.keys[0], la.values[0]]) for la in cache.layers]).transpose(2, 3)

    @property
    def _rows_per_state(self) -> int:
        return -(-self.code_states.shape[3:].numel() // self.generator.width)

    def states(
        self, q_GCSD: Tensor, ids_BT: Tensor, kept_BT: Tensor, label_B: Tensor, prompt_B: Tensor,
        cache: DynamicCache | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Last hidden states [B, T, D] of a batch of inputs; differentiable in q_GCSD. Also the mask of all places that
        were attended to, [B, P + T]. An empty `cache` is filled, for decoding to go on from."""
        if self.code_states is not None:
            cache = DynamicCache() if cache is None else cache
            kept_BT = torch.cat([self._fill(cache, q_GCSD, label_B, prompt_B), kept_BT], dim=1)
        return self.generator.states(self.embed(q_GCSD, ids_BT, label_B, prompt_B), kept_BT, cache), kept_BT

    def _fill(self, cache: DynamicCache, q_GCSD: Tensor, label_B: Tensor, prompt_B: Tensor) -> Tensor:
        """Puts control code and prefix of each row into the cache; their mask [B, P]."""
        n_layers, _, n_code, n_heads, width = self.code_states.shape
        shape = (len(label_B), n_layers, 2, self.n_past - n_code, n_heads, width)
        rows_BSD = q_GCSD[prompt_B, label_B, self.n_slots :]
        used = rows_BSD.reshape(*shape[:4], self._rows_per_state * self.generator.width)[..., : n_heads * width]
        used = used.reshape(shape).to(self.code_states.dtype)
        code = self.code_states.expand(len(label_B), *self.code_states.shape)
        states = torch.cat([code, used], dim=3).transpose(3, 4)
        for layer in range(n_layers):
            cache.update(states[:, layer, 0], states[:, layer, 1], layer)
        n_kept = torch.tensor([n_code + len(ids) for ids in self.state_ids], device=label_B.device)
        return torch.arange(self.n_past, device=label_B.device)[None, :] < n_kept[label_B][:, None]

    def opening(self, label: int, first_ids: Sequence[int] | None) -> list[int]:
        """Ids of everything before sentence 2; None: of everything before sentence 1."""
        n, n_slots = self.generator.n_vocab, len(self.slot_ids[label])
        slots = list(range(n, n + n_slots + len(self.infix_ids)))
        before = [*(self.code_ids if self.code_states is None else []), *slots[:n_slots]]
        if first_ids is None:
            return before
        end = [self.eos_ids[label]] if self.both else []
        return [*before, *first_ids[: self.settings.max_first_tokens], *end, *slots[n_slots:]]

    def room(self, first_ids: Sequence[int]) -> int:
        """Tokens left for sentence 2 and its end under the longest prefix, so that every label reads the same tokens."""
        longest = max(range(len(self.prefix_ids)), key=lambda label: len(self.prefix_ids[label]))
        return self.settings.max_tokens - self.n_past - len(self.opening(longest, first_ids))

    def read(
        self, rows: Sequence[tuple[list[int], list[int]]], labels: Sequence[int], prompts: Sequence[int] | None = None
    ) -> Reading:
        """The rows (ids of sentence 1, of sentence 2) under the prompts of `labels`.

        A second sentence that does not fit is cut before its end. Errors: ValueError if not even one token fits.
        """
        ids, scored = [], []
        for (first, second), label in zip(rows, labels, strict=True):
            opening = self.opening(label, first)
            if (room := self.room(first)) < 2:
                raise ValueError(f"generator_tuning.max_tokens: expected room for sentence 2, found {room} tokens after "
                                 f"an opening of {self.n_past + len(opening)}; raise max_tokens or lower "
                                 "max_first_tokens")  # fmt: skip
            ids.append(opening + second[: room - 1] + [self.eos_ids[label]])
            sentence_1 = range(len(self.opening(label, None)), len(opening) - len(self.infix_ids)) if self.both else ()
            scored.append([*sentence_1, *range(len(opening), len(ids[-1]))])
        ids_BT, kept_BT = padded(ids, 0)
        at_BL, scored_BL = padded(scored, 1)
        prompt_B = torch.tensor([0] * len(labels) if prompts is None else prompts)
        parts = (ids_BT, kept_BT, at_BL, scored_BL, torch.tensor(labels), prompt_B)
        return Reading(*(part.to(self.generator.device) for part in parts))

    def embed(self, q_GCSD: Tensor, ids_BT: Tensor, label_B: Tensor, prompt_B: Tensor) -> Tensor:
        """Input embeddings [B, T, D]: table rows for words, rows of Q for slots; differentiable in q_GCSD."""
        slot_BT = ids_BT - self.generator.n_vocab
        words_BTD = self.generator.embedding(ids_BT.masked_fill(slot_BT >= 0, 0))
        slots_BTD = q_GCSD[prompt_B[:, None], label_B[:, None], slot_BT.clamp(min=0)].to(words_BTD.dtype)
        return torch.where((slot_BT >= 0)[..., None], slots_BTD, words_BTD)

    def eos_rows(self, q_GCSD: Tensor, label_B: Tensor, prompt_B: Tensor) -> Tensor:
        """The learned end rows [B, D] of each row's label."""
        ends = torch.tensor(self.eos_ids, device=label_B.device) - self.generator.n_vocab
        return q_GCSD[prompt_B, label_B, ends[label_B]]


def padded(rows: Sequence[Sequence[int]], value: int) -> tuple[Tensor, Tensor]:
    """Right-padded ids [B, T] and the mask of what is kept."""
    kept_BT = torch.arange(max(map(len, rows)))[None, :] < torch.tensor([len(r) for r in rows])[:, None]
    ids_BT = torch.full(kept_BT.shape, value)
    ids_BT[kept_BT] = torch.tensor([i for row in rows for i in row], dtype=torch.long)
    return ids_BT, kept_BT


@dataclass(frozen=True)
class EncodedPairs:
    """Classifier inputs of some rows: token ids and class numbers; n_shortened rows did not fit whole."""

    ids: list[list[int]]
    labels: list[int]
    n_shortened: int

    def take(self, rows: Sequence[int]) -> "EncodedPairs":
        return EncodedPairs([self.ids[i] for i in rows], [self.labels[i] for i in rows], 0)


def initial_prompt(classifier: Classifier, n_tokens: int) -> Tensor:
    """P before tuning, [P, D] float32: embeddings of the first alphabetic whole words (OPTIMA, inferred)."""
    return classifier.embedding.weight[classifier.alphabetic_words(n_tokens)].detach().float().cpu().clone()
