"""Ours with LoRA: real and synthetic batches in pairs, surgery over the gradients of the low-rank additions.

Asked for by the reviewers: does surgery need a prompt? Everything is as in LoRA, and the pairs as in `paired_surgery`.
"""

from dawgen_core import samplers
from dawgen_core.methods import lora
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.learner import batches, learn

SEEDED = True
READS = ("synthetic",)
Settings = lora.Settings


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: as LoRA's."""
    learner = lora.build(given, settings)
    real, synthetic = learner.encoded(given.train), learner.encoded(given.lent.synthetic())
    n = len(given.task.labels) * given.limits.batch_syn_per_class
    reals, pairs = batches(real, given), samplers.cycle(len(synthetic.ids), n, samplers.seeded(given.seed, samplers.SYN))
    return learn(learner, given, settings,
                 lambda: (learner.loss(next(reals)), learner.loss(synthetic.take(next(pairs)))))  # fmt: skip
