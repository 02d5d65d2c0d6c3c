"""Models by name: a hub id, a local folder, or `tiny:` (transformers' own classes with seeded random weights)."""

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from pickle import UnpicklingError

import torch
import transformers
from safetensors import SafetensorError, safe_open

from dawgen_core.backbones import BackboneError, Classifier, Generator, device_of, dtype_of
from dawgen_core.params import ROOT, Backbone, Compute, ParamsError

TOKENIZERS = {"tokenizer.json", "spiece.model", "vocab.json"}
LARGEST_TINY = 10**9  # the product of a shape's numbers, from which a tiny: model would be none


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
    try:  # the paper's T5 is published as a .bin alone: of such a file tensors are read, and nothing in it is run
        transformers.utils.logging.disable_progress_bar()  # a line of noise in every notebook and command
        model, report = auto_class(backbone).from_pretrained(name, dtype=dtype, trust_remote_code=False, weights_only=True,
                                                             output_loading_info=True)  # fmt: skip
    except UnpicklingError as error:  # torch's own message advises to run it
        raise BackboneError(f"model: expected whole weights for {name}, found a pickle with more than tensors, which would "
                            "run code; ask for .safetensors") from error  # fmt: skip
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, EOFError, SafetensorError) as error:
        if "memory" in str(error):
            raise
        raise BackboneError(f"model: expected whole weights for {name}, found {_first_line(error)}") from error
    if report["missing_keys"] or report["mismatched_keys"]:  # transformers would fill the gaps with random numbers
        raise BackboneError(f"model: expected all weights in {name}, found none for {sorted(report['missing_keys'])}")
    return model.to(device), tokenizer, backbone.model  # the name that the profile gives, wherever the project lies


def _from_pretrained(backbone: Backbone) -> tuple:
    """(name, tokenizer) of a hub id or a local folder whose configuration has the shape that the profile describes."""
    path = _path(backbone.model)
    looks_local = backbone.model.startswith((".", "/", "~")) or backbone.model.count("/") > 1 or path.is_dir()
    there = {file.name for file in path.iterdir()} if path.is_dir() else set()
    if looks_local and not ("config.json" in there and there & TOKENIZERS):
        raise BackboneError(f"model: expected a folder with weights, config.json and a tokenizer (one of "
                            f"{', '.join(sorted(TOKENIZERS))}), found {sorted(there) or 'none'} at {path}")  # fmt: skip
    name = str(path) if looks_local else backbone.model
    config = config_at(name)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises Exception itself
        raise BackboneError(f"model: expected a tokenizer for {name} on the hub, in its cache or in a folder, found none "
                            f"({_first_line(error)}); connect once, or give a folder") from error  # fmt: skip
    _check_shape(config, backbone)
    return name, tokenizer


def config_at(name: str) -> transformers.PretrainedConfig:
    """The configuration of a hub id or a folder. Its own code is never run. Errors: BackboneError."""
    try:
        return transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # of a configuration that others wrote anything may be raised
        raise BackboneError(f"model: expected {name:.200} on the hub, in its cache or in a folder, found none "
                            f"({_first_line(error)}); connect once, or give a folder") from error  # fmt: skip


def _path(model: str) -> Path:
    """A relative folder is the project's, wherever a notebook runs."""
    try:
        return ROOT / Path(model).expanduser()
    except RuntimeError:  # ~ of nobody
        return ROOT / model


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def check_files(backbone: Backbone) -> None:
    """Asks a local folder for whole safetensors before any long work: a file that was cut is found by its header alone.

    Errors: BackboneError."""
    for path in sorted(_path(backbone.model).glob("*.safetensors")):
        try:
            with safe_open(path, "pt"):
                pass
        except (OSError, SafetensorError) as error:
            raise BackboneError(f"model: expected whole weights in {path}, found {error}") from error


def _check_shape(config, backbone: Backbone) -> None:
    if config.model_type != backbone.architecture:
        raise BackboneError(f"{backbone.model}: expected architecture {backbone.architecture}, found {config.model_type}")
    for key, expected in backbone.shape.items():
        if (found := getattr(config, key, None)) != expected:
            raise BackboneError(f"{backbone.model}: shape.{key}: expected {expected}, found {found}")


def _tiny(backbone: Backbone, texts: Iterable[str]) -> torch.nn.Module:
    sizes = [size for size in backbone.shape.values() if type(size) is int]
    if min(sizes, default=0) < 0 or math.prod(max(size, 1) for size in sizes) > LARGEST_TINY:
        raise BackboneError(f"shape: expected a tiny model, its numbers' product at most {LARGEST_TINY:,}, found {sizes}")
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
