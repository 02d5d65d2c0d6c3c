"""LoRA (Hu et al. 2022) through peft: low-rank additions to the query and value maps of every attention."""

import copy

import torch

from dawgen_core.backbones import Classifier
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.learner import Learner, Learning, learn, tensors
from dawgen_core.params import Positive, Rate

SEEDED = True


class Settings(Learning):
    """Rate, weight decay; rank and alpha (additions are scaled by alpha / rank)."""

    rank: Positive
    alpha: Rate


def build(given: Given, settings: Settings) -> Learner:
    """The additions alone, in a copy of the classifier whose own weights stay frozen. No dropout, as everywhere here."""
    from peft import LoraConfig, inject_adapter_in_model  # heavy

    config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=["q", "v"], lora_dropout=0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(given.seed)
        model = inject_adapter_in_model(config, copy.deepcopy(given.classifier.model))
    classifier, words_C = Classifier(model, given.classifier.tokenizer, given.classifier.name), given.words()
    for name, w in model.named_parameters():
        if "lora_" in name:  # in bfloat16 small steps would round to nothing
            w.data = w.data.float()
    added = {name: w.requires_grad_() for name, w in model.named_parameters() if "lora_" in name}
    return Learner(added, given.encoded, lambda ids: classifier.label_word_logits(*tensors(ids, classifier), words_C))


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: two low-rank factors per map."""
    return learn(build(given, settings), given, settings)
