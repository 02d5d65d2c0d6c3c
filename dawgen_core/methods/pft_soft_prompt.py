"""PFT + soft prompt: template and label words, all weights and a soft prompt in front of them tuned together (Table 1)."""

from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.learner import Learner, Learning, learn, tensors
from dawgen_core.prompts import initial_prompt

SEEDED = True


class Settings(Learning):
    """Rate (of weights and prompt alike) and weight decay."""


def build(given: Given) -> Learner:
    """All weights and P [P, D], which starts as everywhere: the embeddings of the first alphabetic words."""
    whole, words_C = given.copy(), given.words()
    prompt_PD = initial_prompt(whole, given.limits.prompt_tokens).to(whole.device).requires_grad_()
    return Learner({"soft_prompt": prompt_PD, **dict(whole.model.named_parameters())}, given.encoded,
                   lambda ids: whole.label_word_logits(*tensors(ids, whole), words_C, prompt_PD.expand(len(ids), -1, -1)))


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: all weights and the prompt."""
    return learn(build(given), given, settings)
