"""The two frozen models: a T5 that classifies, a causal LM (CTRL first) that generates, by hub id, folder or `tiny:`.

A backbone never learns: its parameters require no gradient, it runs in eval mode, `weights_digest` is the
same before and after. Random models (`tiny:`) are transformers' own classes with seeded random weights.
"""

import hashlib
import inspect
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError
from torch import Tensor

from dawgen_core.params import Backbone, Compute, ParamsError

SENTINEL = "<extra_id_0>"  # [MASK] for T5


class BackboneError(ValueError):
    """A model cannot be had, or is not the one that the profile describes."""


def device_of(compute: Compute) -> torch.device:
    """The device of a profile; `auto` takes cuda where there is one. BackboneError when cuda is asked for in vain."""
    if compute.device == "cuda" and not torch.cuda.is_available():
        raise BackboneError("compute.device: expected a CUDA device, found none; set device: auto or cpu")
    cuda = compute.device == "cuda" or (compute.device == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if cuda else "cpu")


def dtype_of(compute: Compute) -> torch.dtype:
    """bfloat16 on cuda and float32 on cpu for `auto`. float16 is not offered: T5 overflows in it."""
    if compute.dtype == "auto":
        return torch.bfloat16 if device_of(compute).type == "cuda" else torch.float32
    return getattr(torch, compute.dtype)


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
        states_BTD = self.embedding(ids_BT)
        if prompts_BPD is not None:
            states_BTD = torch.cat([prompts_BPD.to(states_BTD.dtype), states_BTD], dim=1)
            kept_BT = torch.cat([kept_BT.new_ones(prompts_BPD.shape[:2]), kept_BT], dim=1)
        encoded_BTD = self.model.encoder(inputs_embeds=states_BTD, attention_mask=kept_BT).last_hidden_state
        decoded_BTD = self.model.decoder(
            input_ids=torch.tensor([self.decoder_ids], device=ids_BT.device).expand(len(ids_BT), -1),
            encoder_hidden_states=encoded_BTD, encoder_attention_mask=kept_BT, use_cache=False,
        ).last_hidden_state  # fmt: skip
        at_mask_BD = decoded_BTD[:, -1]
        if self.model.config.scale_decoder_outputs:
            at_mask_BD = at_mask_BD * self.width**-0.5
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
        if not (logits_1TV - whole_1TV).abs().max() <= 1e-2 * whole_1TV.abs().max():  # NaN counts as other
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


def load_tokenizer(backbone: Backbone, texts: Iterable[str] = ()):
    """A backbone's tokenizer alone, to check texts before a large model is loaded. Errors: BackboneError."""
    return _tiny_tokenizer(texts, backbone.n_words) if backbone.is_tiny else _from_pretrained(backbone)[1]


def load_classifier(backbone: Backbone, compute: Compute, texts: Iterable[str] = ()) -> Classifier:
    """The profile's T5. `texts` (training rows, template, label words) make the vocabulary of a tiny: model."""
    return Classifier(*_load(backbone, compute, texts))


def load_generator(backbone: Backbone, compute: Compute, texts: Iterable[str] = ()) -> Generator:
    """The profile's causal LM; `texts` as for `load_classifier`."""
    return Generator(*_load(backbone, compute, texts))


def auto_class(backbone: Backbone):
    """The class of transformers that makes such a model: sequence to sequence for T5, a causal LM for the others."""
    return transformers.AutoModelForSeq2SeqLM if backbone.architecture == "t5" else transformers.AutoModelForCausalLM


def config_of(backbone: Backbone) -> transformers.PretrainedConfig:
    """The configuration that a backbone's `shape` describes, without weights: for tiny: models and for counting."""
    try:
        plain = transformers.AutoConfig.for_model(backbone.architecture)
    except ValueError as error:
        raise BackboneError("architecture: expected a model type that transformers knows, such as ctrl, gpt2 or llama, "
                            f"found {backbone.architecture!r}") from error  # fmt: skip
    if unknown := [key for key in backbone.shape if not hasattr(plain, key)]:
        raise BackboneError(f"shape: expected keys of {type(plain).__name__}, found {unknown}")
    still = {"decoder_start_token_id": 0, "dropout_rate": 0.0, "tie_word_embeddings": False}
    return type(plain)(**backbone.shape, **(still if backbone.architecture == "t5" else {}))


def _load(backbone: Backbone, compute: Compute, texts: Iterable[str]) -> tuple:
    device, dtype = device_of(compute), dtype_of(compute)
    if backbone.is_tiny:
        model = _tiny(backbone, texts).to(device=device, dtype=dtype)
        return model, _tiny_tokenizer(texts, backbone.n_words), f"{backbone.model} (random weights)"
    name, tokenizer = _from_pretrained(backbone)
    try:
        model, report = auto_class(backbone).from_pretrained(name, dtype=dtype, trust_remote_code=False,
                                                             output_loading_info=True)  # fmt: skip
    except (OSError, SafetensorError) as error:
        raise BackboneError(f"model: expected whole weights for {name}, found {str(error).splitlines()[0]}") from error
    if report["missing_keys"] or report["mismatched_keys"]:  # transformers would fill the gaps with random numbers
        raise BackboneError(f"model: expected all weights in {name}, found none for {sorted(report['missing_keys'])}")
    return model.to(device), tokenizer, name


def _from_pretrained(backbone: Backbone) -> tuple:
    """(name, tokenizer) of a hub id or a local folder whose configuration has the shape that the profile describes."""
    path = Path(backbone.model).expanduser()
    looks_local = backbone.model.startswith((".", "/", "~")) or path.is_dir()
    if looks_local and not (path / "config.json").is_file():
        raise BackboneError(f"model: expected a folder with config.json, tokenizer and weights, found none at {path}")
    name = str(path) if looks_local else backbone.model
    try:
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise BackboneError(f"model: expected {name} on the hub, in its cache or in a folder, found none "
                            f"({str(error).splitlines()[0]}); connect once, or give a folder") from error  # fmt: skip
    _check_shape(config, backbone)
    return name, tokenizer


def _check_shape(config, backbone: Backbone) -> None:
    if config.model_type != backbone.architecture:
        raise BackboneError(f"{backbone.model}: expected architecture {backbone.architecture}, found {config.model_type}")
    for key, expected in backbone.shape.items():
        if (found := getattr(config, key, None)) != expected:
            raise BackboneError(f"{backbone.model}: shape.{key}: expected {expected}, found {found}")


def _tiny(backbone: Backbone, texts: Iterable[str]) -> torch.nn.Module:
    n_vocab = len(_tiny_tokenizer(texts, backbone.n_words))
    config = config_of(backbone.model_copy(update={"shape": backbone.shape | {"vocab_size": n_vocab}}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return auto_class(backbone).from_config(config)


def _tiny_tokenizer(texts: Iterable[str], n_words: int | None):
    """T5's own tokenizer class over the words of the first text and the most frequent n_words of all; else characters."""
    texts = list(texts)
    counts = Counter(word for text in texts for word in text.split())
    if not counts or n_words is None:
        raise ParamsError("tiny: models need texts to build their vocabulary from, found none")
    frequent = sorted(counts, key=lambda w: (-counts[w], w))[:n_words]
    words = list(dict.fromkeys([*texts[0].split(), *frequent]))
    letters = sorted({c for word in counts for c in word} | set(map(chr, range(33, 127))))
    total = sum(counts.values())
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -20.0)]
    pieces += [(f"▁{word}", math.log(counts[word] / total)) for word in words]
    known = {piece for piece, _ in pieces}
    pieces += [(letter, -20.0) for letter in letters if letter not in known]
    pieces += [(f"<extra_id_{i}>", 0.0) for i in reversed(range(4))]
    return transformers.T5Tokenizer(vocab=pieces, extra_ids=4)
