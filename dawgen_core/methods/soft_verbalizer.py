"""Prompt tuning with a soft verbalizer: the classes' output rows are trained too, from the label words' (WARP, 2021)."""

import torch

from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.learner import Learner, learn, tensors
from dawgen_core.params import Record
from dawgen_core.prompts import initial_prompt

SEEDED = True


class Settings(Record):
    """None: optimiser, rate and batches are prompt tuning's, so that the output rows are all that is new."""


def build(given: Given) -> Learner:
    """P [P, D] and one output row per class [C, D]; the classifier stays frozen."""
    classifier, words_C = given.classifier, given.words()
    prompt_PD = initial_prompt(classifier, given.limits.prompt_tokens).to(classifier.device).requires_grad_()
    rows_CD = classifier.model.lm_head.weight[words_C].detach().float().clone().requires_grad_()

    def answer(ids: list[list[int]]) -> torch.Tensor:
        ids_BT, kept_BT = tensors(ids, classifier)
        inputs_BTD, kept_BT = classifier.behind(prompt_PD.expand(len(ids), -1, -1), ids_BT, kept_BT)
        return classifier.at_mask(inputs_BTD, kept_BT).float() @ rows_CD.T

    return Learner({"soft_prompt": prompt_PD, "verbalizer": rows_CD}, given.encoded, answer)


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: the prompt and a row per class."""
    return learn(build(given), given, None)
