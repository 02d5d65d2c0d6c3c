"""The two frozen models: a T5 that classifies, a causal LM (CTRL first) that generates. `data.pretrained` loads them.

A backbone never learns: its parameters require no gradient, it runs in eval mode, its `weights_digest` stays the same.
"""

import hashlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import transformers
from torch import Tensor

from dawgen_core.params import Compute

SENTINEL = "<extra_id_0>"  # [MASK] for T5


class BackboneError(ValueError):
    """A model cannot be had, or is not the one that the profile describes."""


def device_of(compute: Compute) -> torch.device:
    """The device of a profile; `auto` takes cuda where there is one. BackboneError when cuda is asked for in vain."""
    if compute.device == "cuda" and not torch.cuda.is_available():
        raise BackboneError("compute.device: expected a CUDA device, found none; set device: auto or cpu")
    return torch.device("cuda" if compute.device != "cpu" and torch.cuda.is_available() else "cpu")


def dtype_of(compute: Compute) -> torch.dtype:
    """bfloat16 on cuda and float32 on cpu for `auto`. float16 is not offered: T5 overflows in it."""
    if compute.dtype == "auto":
        return torch.bfloat16 if device_of(compute).type == "cuda" else torch.float32
    return getattr(torch, compute.dtype)


def dot(states_ND: Tensor, rows_ND: Tensor) -> Tensor:
    """Logits [N] of one output row per state, rounded once like a matrix product's: products are summed in float32."""
    wide = torch.promote_types(states_ND.dtype, torch.float32)
    return (states_ND.to(wide) * rows_ND.to(wide)).sum(-1).to(states_ND.dtype)


@contextmanager
def enough_memory(key: str, n: int, *, otherwise: str) -> Iterator[None]:
    """Where n at once may not fit: MemoryError that names the value of the profile to lower, or others when n is 1."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # the GPU's is a RuntimeError with a class, the CPU's has its text only
        if not any(sign in repr(error) for sign in ("MemoryError", "not enough memory", "allocate memory")):
            raise
        advice = f"set it to {n // 2}" if n > 1 else f"lower {otherwise}"
        raise MemoryError(f"{key}: expected memory for {n} at once, found too little; {advice}") from error


class Frozen:
    """A frozen model and its tokenizer."""

    def __init__(self, model: torch.nn.Module, tokenizer, name: str):
        self.model, self.tokenizer, self.name = model.eval().requires_grad_(False), tokenizer, name
        self.embedding = model.get_input_embeddings()
        self.n_vocab, self.width = self.embedding.weight.shape

    @property
    def device(self) -> torch.device:
        return self.embedding.weight.device

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def weights_digest(self) -> str:
        """SHA-256 over names, shapes and bytes of all parameters, and the tokenizer's vocabulary."""
        total = hashlib.sha256()
        for name, p in self.model.state_dict().items():
            total.update(f"{name} {tuple(p.shape)} {p.dtype}".encode())
            total.update(p.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        total.update(repr(sorted(self.tokenizer.get_vocab().items())).encode())
        return total.hexdigest()


class Classifier(Frozen):
    """A T5: soft prompt and text at the encoder, the start token and the first sentinel at the decoder."""

    def __init__(self, model, tokenizer, name: str):
        super().__init__(model, tokenizer, name)
        sentinel = tokenizer.convert_tokens_to_ids(SENTINEL)
        start = getattr(model.config, "decoder_start_token_id", None)
        self.decoder_ids = [model.config.pad_token_id if start is None else start, sentinel]

    def label_word_logits(
        self, ids_BT: Tensor, kept_BT: Tensor, words_C: Tensor, prompts_BPD: Tensor | None = None
    ) -> Tensor:
        """Logits of the label words at the sentinel, [B, C] in float32 or wider; differentiable in prompts_BPD."""
        return self.scores(self.at_mask(*self.behind(prompts_BPD, ids_BT, kept_BT)), words_C)

    def behind(self, prompts_BPD: Tensor | None, ids_BT: Tensor, kept_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Input embeddings and mask of a text behind a soft prompt, if there is one."""
        if prompts_BPD is None:
            return self.embedding(ids_BT), kept_BT
        inputs_BTD = torch.cat([prompts_BPD.to(self.embedding.weight.dtype), self.embedding(ids_BT)], dim=1)
        return inputs_BTD, torch.cat([kept_BT.new_ones(prompts_BPD.shape[:2]), kept_BT], dim=1)

    def at_mask(self, inputs_BTD: Tensor, kept_BT: Tensor, decoder_ids: list[int] | None = None) -> Tensor:
        """The decoder's last state [B, D] at the sentinel, from input embeddings; differentiable in all of them."""
        encoded_BTD = self.model.encoder(inputs_embeds=inputs_BTD, attention_mask=kept_BT).last_hidden_state
        decoded_BTD = self.model.decoder(
            input_ids=torch.tensor([decoder_ids or self.decoder_ids], device=kept_BT.device).expand(len(kept_BT), -1),
            encoder_hidden_states=encoded_BTD, encoder_attention_mask=kept_BT, use_cache=False,
        ).last_hidden_state  # fmt: skip
        return decoded_BTD[:, -1] * (self.width**-0.5 if self.model.config.scale_decoder_outputs else 1.0)

    def scores(self, at_mask_BD: Tensor, words_C: Tensor) -> Tensor:
        """Logits [B, C] of words, in float32 or wider."""
        wide = torch.promote_types(at_mask_BD.dtype, torch.float32)
        return at_mask_BD.to(wide) @ self.model.lm_head.weight[words_C].to(wide).T

    def alphabetic_words(self, n: int) -> list[int]:
        """Ids of the first n alphabetic whole-word tokens of the vocabulary (OPTIMA's prompt initialisation)."""
        tokens = self.tokenizer.convert_ids_to_tokens(range(len(self.tokenizer)))
        ids = [i for i, t in enumerate(tokens) if t.startswith("▁") and t[1:].isascii() and t[1:].isalpha()][:n]
        if len(ids) < n:
            raise BackboneError(f"prompt_tokens: expected {n} alphabetic words in the vocabulary of {self.name}, "
                                f"found {len(ids)}; lower prompt_tokens")  # fmt: skip
        return ids


class Generator(Frozen):
    """A causal LM: hidden states from input embeddings, logits from hidden states by a linear head.

    Errors: BackboneError for a model whose logits are something else (scaled or capped, say) or depend on padding.
    """

    def __init__(self, model, tokenizer, name: str):
        super().__init__(model, tokenizer, name)
        self.head, self.positions = model.get_output_embeddings(), getattr(model.config, "max_position_embeddings", None)
        self._counts_places = "position_ids" in inspect.signature(model.base_model.forward).parameters
        ids_1T = torch.arange(4, device=self.device)[None] % self.n_vocab
        with torch.no_grad():  # behind a place of padding
            logits_1TV = self.logits(self.states(self.embedding(ids_1T), ids_1T > 0))[:, 1:]
            whole_1TV = model(input_ids=ids_1T[:, 1:]).logits
        wide = self.embedding.weight.dtype in (torch.float32, torch.float64)
        if not (logits_1TV - whole_1TV).abs().max() <= (1e-2 if wide else 0.1) * whole_1TV.abs().max():  # NaN: other
            raise BackboneError(f"{name}: expected a causal LM whose logits are a linear head on its last hidden states, "
                                f"padded or not, found others ({model.config.model_type}); use CTRL, GPT-2 or Llama, say")

    def states(self, inputs_BTD: Tensor, kept_BT: Tensor, cache: transformers.Cache | None = None) -> Tensor:
        """Last-layer hidden states [B, T, D]; a cache is read and extended, kept_BT then covers its places too.

        The input is cloned: CTRL scales it in place.
        """
        kept = kept_BT.long()
        places = {"position_ids": (kept.cumsum(-1) - 1).clamp(min=0)[:, -inputs_BTD.shape[1] :]}
        return self.model.base_model(
            inputs_embeds=inputs_BTD.clone(), attention_mask=kept, use_cache=cache is not None, past_key_values=cache,
            **(places if self._counts_places else {}),
        ).last_hidden_state  # fmt: skip

    def logits(self, states_ND: Tensor) -> Tensor:
        """LM logits [N, V] in float32 or wider."""
        logits_NV = self.head(states_ND)
        return logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32))


def word_id(tokenizer, word: str, name: str) -> int:
    """The one token of a label word. BackboneError when it is not exactly one known token."""
    ids = tokenizer(word, add_special_tokens=False)["input_ids"]
    if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
        raise BackboneError(f"verbalizer: expected a word that is one token of {name}, found {word!r} = "
                            f"{tokenizer.convert_ids_to_tokens(ids)}; choose another word")  # fmt: skip
    return ids[0]
