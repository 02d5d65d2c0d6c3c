"""Soft prompts from other starts: Algorithm 2 for one prompt, as every transfer method ends."""

from itertools import islice

import torch
from torch import Tensor

from dawgen_core import tuning
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.params import PromptTuning
from dawgen_core.prompts import EncodedPairs
from dawgen_core.tasks import Task

Source = dict[str, Tensor]  # what a transfer method makes before: `soft_prompt` [P, D] and `tokens`, the number it read


def tune_from(start: Source, given: Given, strategy: str = "real", second: EncodedPairs | None = None) -> Outcome:
    """Prompt tuning from a prompt on the real rows, and on second rows beside them where the strategy has such.

    Errors: DivergedError on a non-finite loss.
    """
    train, dev, test = map(given.encoded, (given.train, given.dev, given.test))
    condition, words_C = tuning.Condition(strategy, given.seed, train, second, dev), given.words()
    (one,) = tuning.tune_prompts(start["soft_prompt"][None], [condition], given.classifier, words_C, given.limits,
                                  progress=False)  # fmt: skip
    if one.error:
        raise tuning.DivergedError(one.error)
    both_2PD = torch.stack([one.best_PD, one.last_PD])
    best, last = tuning.predict(both_2PD, [test, test], given.classifier, words_C, given.limits.eval_batch_size)
    metrics = {"dev_best": one.best_dev_accuracy, "best_step": one.best_step, "n_shortened": test.n_shortened,
               "tokens": tokens_read(condition, given.limits), "tokens_before": int(start["tokens"])}  # fmt: skip
    conflicts = [row["conflict"] for row in one.trace if row["conflict"] == row["conflict"]]
    metrics |= {"conflict": sum(conflicts) / len(conflicts)} if conflicts else {}
    return Outcome({"best": best, "last": last}, one.best_PD.numel(), metrics, {"soft_prompt": one.best_PD})


def tokens_read(condition: tuning.Condition, settings: PromptTuning) -> int:
    """Tokens of the rows of all steps (of text: a prompt's own places are not counted, here and elsewhere)."""
    steps = islice(tuning.batches(condition, settings), settings.steps)
    return sum(len(ids) for pair in steps for part in pair if part is not None for ids in part.ids)


def tuned_on(start_PD: Tensor, given: Given, rows: EncodedPairs, dev: EncodedPairs, words_C: Tensor, steps: int) -> Source:
    """After `steps` on other rows than the task's: P [P, D], best on their dev rows, and the tokens that were read."""
    limits = given.limits.model_copy(update={"steps": steps, "eval_every": min(steps, given.limits.eval_every)})
    condition = tuning.Condition("real", given.seed, rows, None, dev)
    (one,) = tuning.tune_prompts(start_PD[None], [condition], given.classifier, words_C, limits, progress=False)
    if one.error:
        raise tuning.DivergedError(one.error)
    return {"soft_prompt": one.best_PD, "tokens": torch.tensor(tokens_read(condition, limits))}


def in_words_of(given: Given, task: Task, rows: EncodedPairs) -> EncodedPairs:
    """Another task's rows whose label word is also a word of this task, with this task's class numbers.

    Errors: ValueError where no word is shared.
    """
    number = {word: given.task.number(label) for label, word in given.task.classifier.verbalizer.items()}
    said = [task.classifier.verbalizer[task.labels[label]] for label in rows.labels]
    kept = [i for i, word in enumerate(said) if word in number]
    if not kept:
        raise ValueError(f"source {task.task}: expected a label word of {given.task.task} ({', '.join(number)}), "
                         f"found {', '.join(sorted(set(said)))}")  # fmt: skip
    return EncodedPairs([rows.ids[i] for i in kept], [number[said[i]] for i in kept], 0)
