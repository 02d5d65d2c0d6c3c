"""Models of a given shape with random weights, for benches."""

from contextlib import contextmanager
from unittest import mock

import torch
import transformers

from dawgen_core import backbones
from dawgen_core.data import pretrained
from dawgen_core.data.profiles import load_task
from dawgen_core.params import Backbone


def generator_of(shape: dict, n_vocab: int, device: torch.device, dtype: torch.dtype) -> backbones.Generator:
    """A CTRL with random weights and the smoke profile's words."""
    config = transformers.CTRLConfig(vocab_size=n_vocab, initializer_range=0.05, **shape)
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    return backbones.Generator(model, _tokenizer(), "CTRL, random weights")


def classifier_of(shape: dict, n_vocab: int, device: torch.device, dtype: torch.dtype) -> backbones.Classifier:
    """A T5 with random weights."""
    spec = Backbone(model="tiny:t5", architecture="t5", shape=shape | {"vocab_size": n_vocab}, n_words=1)
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        model = transformers.AutoModelForSeq2SeqLM.from_config(pretrained.config_of(spec), dtype=dtype)
    return backbones.Classifier(model, _tokenizer(), "T5, random weights")


def _tokenizer():
    task = load_task("mrpc")
    words = [task.generator.control_code, task.generator.infix, *task.generator.prefix.values(), "yes no neutral ."]
    spec = Backbone(model="tiny:t5", architecture="t5", shape={"d_model": 8}, n_words=400)
    return pretrained.load_tokenizer(spec, [" ".join(words)])


@contextmanager
def never_ends(lm: backbones.Generator, end: int):
    """Inside, the generator never says the token `end`: every row is as long as it may be."""
    def logits(states_ND):
        return type(lm).logits(lm, states_ND).index_fill(-1, torch.tensor([end], device=states_ND.device), -torch.inf)

    with mock.patch.object(lm, "logits", logits):
        yield


def named(name: str, shape: dict, n_vocab: int) -> str:
    """A shape in words."""
    width, layers = (shape.get(a) or shape.get(b) for a, b in (("n_embd", "d_model"), ("n_layer", "num_layers")))
    return f"{name} {width} x {layers}, vocabulary {n_vocab:,}"
