"""OPTIMA (Guo et al. 2022): a source prompt that stays smooth where source rows look like the target's.

Each source row is perturbed in its input embeddings, by a step of fixed length in the direction that changes the answer
most and makes a domain discriminator take the row for one of the target; the prompt then learns to answer the perturbed row
as it did the row. The discriminator reads the state at [MASK] and learns beside, from source rows and unlabelled rows of the
target. Our reading: one ascent step, divergence KL, weights as settings.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dawgen_core import samplers
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.learner import Learner, Learning, batches, learn, tensors
from dawgen_core.methods.prompted import Source, tune_from
from dawgen_core.params import Positive, Rate
from dawgen_core.prompts import initial_prompt

SEEDED = True
READS = ("source", "unlabelled")


class Settings(Learning):
    """Rate and decay on the source; its steps; length of a perturbation; weights of smoothness and of fooling."""

    source_steps: Positive
    length: Rate
    smooth: Rate
    fool: Rate


def transferred(given: Given, settings: Settings) -> Source:
    """After the source task, once for a target and seed."""
    task, train, dev = given.lent.source()

    def make() -> Source:
        limits = {"steps": settings.source_steps, "eval_every": min(settings.source_steps, given.limits.eval_every)}
        there = Given(task, given.classifier, train, dev, dev, given.seed, given.limits.model_copy(update=limits))
        target = given.encoded(given.lent.unlabelled().assign(label=given.task.labels[0]))
        return smoothed(there, settings, target.ids)

    return given.lent.once("optima", f"{task.task}.{given.task.task}", settings, make)


def smoothed(given: Given, settings: Settings, target_ids: list[list[int]]) -> Source:
    """The source prompt, tuned on given's rows, smooth towards target_ids."""
    classifier, words_C = given.classifier, given.words()
    prompt_PD = initial_prompt(classifier, given.limits.prompt_tokens).to(classifier.device).requires_grad_()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(given.seed)
        judge = nn.Sequential(nn.Linear(classifier.width, 64), nn.ReLU(), nn.Linear(64, 1)).to(classifier.device)
    judge_optimiser = torch.optim.Adam(judge.parameters(), lr=1e-3)

    def state(ids: list[list[int]], p_PD: Tensor, delta_BTD: Tensor | None = None) -> Tensor:
        inputs_BTD, kept_BT = classifier.behind(p_PD.expand(len(ids), -1, -1), *tensors(ids, classifier))
        if delta_BTD is not None:
            inputs_BTD = inputs_BTD + F.pad(delta_BTD, (0, 0, len(p_PD), 0))
        return classifier.at_mask(inputs_BTD, kept_BT).float()

    def judged(states_BD: Tensor, target: float) -> Tensor:
        return F.binary_cross_entropy_with_logits(judge(states_BD)[:, 0], states_BD.new_full((len(states_BD),), target))

    learner = Learner({"soft_prompt": prompt_PD}, given.encoded,
                      lambda ids: classifier.scores(state(ids, prompt_PD), words_C))  # fmt: skip
    rows = learner.encoded(given.train)
    stream, random = batches(rows, given), samplers.seeded(given.seed, samplers.SYN)
    n = len(given.task.labels) * given.limits.batch_real_per_class
    targets, noise = samplers.cycle(len(target_ids), n, random), samplers.seeded(given.seed, samplers.NET)

    def next_losses() -> tuple[Tensor]:
        batch = next(stream)
        learner.tokens += 3 * sum(map(len, batch.ids))  # clean, to find the perturbation, perturbed
        clean_BD = state(batch.ids, prompt_PD)
        scores_BC = classifier.scores(clean_BD, words_C)
        fixed_BC = scores_BC.detach().log_softmax(-1)
        kept_BT = tensors(batch.ids, classifier)[1]
        shape = (*kept_BT.shape, classifier.width)
        delta = (1e-3 * torch.randn(shape, generator=noise)).to(classifier.device) * kept_BT[..., None]
        delta.requires_grad_()
        moved_BD = state(batch.ids, prompt_PD.detach(), delta)
        gain = _divergence(fixed_BC, classifier.scores(moved_BD, words_C)) - settings.fool * judged(moved_BD, 1.0)
        (ascent,) = torch.autograd.grad(gain, delta)
        ascent = ascent * kept_BT[..., None]
        step = settings.length * ascent / (ascent.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None])
        smooth = _divergence(fixed_BC, classifier.scores(state(batch.ids, prompt_PD, step), words_C))
        judge_optimiser.zero_grad()
        with torch.no_grad():
            target_BD = state([target_ids[i] for i in next(targets)], prompt_PD)
        (judged(clean_BD.detach(), 0.0) + judged(target_BD, 1.0)).backward()
        judge_optimiser.step()
        labels_B = torch.tensor(batch.labels, device=classifier.device)
        return (F.cross_entropy(scores_BC, labels_B) + settings.smooth * smooth,)

    found = learn(learner, given, settings, next_losses)
    return {"soft_prompt": found.state["soft_prompt"].cpu(), "tokens": torch.tensor(found.metrics["tokens"])}


def _divergence(fixed_BC: Tensor, scores_BC: Tensor) -> Tensor:
    """KL of the answers from the fixed log-shares, mean over rows."""
    return F.kl_div(scores_BC.log_softmax(-1), fixed_BC, reduction="batchmean", log_target=True)


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: the prompt (the discriminator is thrown away)."""
    return tune_from(transferred(given, settings), given)
