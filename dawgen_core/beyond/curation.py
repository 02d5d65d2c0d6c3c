"""Curation: which of the written pairs a prompt is tuned on. Every arm keeps as many pairs of each class.

An arm answers, pair by pair. A *filter* says whether a pair may stay; where too few of a class may, pairs that it dropped
fill up, in the order in which they were written, and are counted. A *score* ranks the pairs of a class. No arm reads a
test row, and none but `oracle` the oracle's verdict.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from dawgen_core import samplers, tuning
from dawgen_core.audit import copies
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.learner import tensors
from dawgen_core.methods.prompted import tune_from
from dawgen_core.prompts import initial_prompt

MOMENTUM = 0.9  # of the averaged predictions; established: FewGen's script
CHECKPOINTS = 10  # when predictions are asked in training; ours (FewGen: 30, every 200 of 6,000 steps)
FOLDS = 5  # ours
PENALTY = 0.01  # inverse strength; ours: weaker ones give wider weights and tell the few real rows no better from the others

Bools, Floats = NDArray[np.bool_], NDArray[np.float64]


@dataclass(frozen=True)
class Curated:
    """The kept rows, in the order in which they were written, and what was counted of each label: `candidates`, `accepted`
    and, of a filter, `passed` and `topped_up` (accepted though the filter dropped them)."""

    rows: pd.DataFrame
    counts: dict[str, dict[str, int]]


def curated(arm: str, rows: pd.DataFrame, n: int, given: Callable[[], Given] | None = None) -> Curated:
    """n rows of each label of `rows` (row_id, sentence1, sentence2, label, ...), all columns as they are.

    given: the seed's real rows, its frozen classifier and its budget, asked for by arms of SCORES alone.
    Errors: ValueError for an unknown arm, too few rows of a label, `oracle` without verdicts; DivergedError in tuning.
    """
    if arm not in ARMS:
        raise ValueError(f"curation: expected one of {', '.join(ARMS)}, found {arm!r}")
    answers = FILTERS[arm](rows) if arm in FILTERS else SCORES[arm](given(), rows)
    kept, counts = [], {}
    for label, places in rows.groupby("label", sort=False).indices.items():
        if len(places) < n:
            raise ValueError(f"curation, {label}: expected at least {n} rows to choose from, found {len(places)}")
        best = places[np.argsort(-answers[places].astype(float), kind="stable")[:n]]
        counts[label] = {"candidates": len(places), "accepted": n}
        if arm in FILTERS:
            counts[label] |= {"passed": int(answers[places].sum()), "topped_up": int((~answers[best]).sum())}
        kept += best.tolist()
    return Curated(rows.iloc[sorted(kept)].reset_index(drop=True), counts)


# ---------------------------------------------------------------- filters: [B], may a row stay?


def first(rows: pd.DataFrame) -> Bools:
    """Every row: the first ones are kept. What the other arms are held against."""
    return np.ones(len(rows), bool)


def without_duplicates(rows: pd.DataFrame) -> Bools:
    """Sentence 2, bare (case and punctuation folded), did not stand before under the row's label."""
    return _new(rows, copies.bare(rows["sentence2"]))


def without_near_duplicates(rows: pd.DataFrame) -> Bools:
    """Sentence 2 is not nearly one that stood before under the row's label (`audit.copies`)."""
    return _new(rows, copies.kinds(rows["sentence2"])["near"])


def _new(rows: pd.DataFrame, texts: pd.Series) -> Bools:
    return ~pd.DataFrame({"label": rows["label"], "text": texts}).duplicated().to_numpy()


def without_copies(rows: pd.DataFrame) -> Bools:
    """Sentence 2 is not sentence 1, nor nearly so (`audit.copies`)."""
    return ~copies.copies(rows)["near"].to_numpy()


def oracle(rows: pd.DataFrame) -> Bools:
    """The oracle of the pocket world calls the label right; it says nothing of a pair that it cannot read: dropped."""
    if "label_right" not in rows:
        raise ValueError("curation, oracle: expected the column label_right, found none; only the pocket world has one")
    return rows["label_right"].fillna(False).to_numpy(bool)


# ---------------------------------------------------------------- scores: [B], the higher the better


def confidence(given: Given, rows: pd.DataFrame) -> Floats:
    """Probability of the row's own label under a prompt tuned on the seed's real rows alone (Table 1's Prompt Tuning).

    Source: confidence filtering of generated rows (Anaby-Tavor et al. 2020, with fine-tuning); ours with prompt tuning.
    """
    return _own(_tuned_on_real(given, rows).logits["best"], given.numbers(rows))


def temporal_ensemble(given: Given, rows: pd.DataFrame) -> Floats:
    """Probability of the row's own label, averaged over a tuning on the rows themselves: a label that the others contradict
    is learnt late and forgotten often.

    Starts, as FewGen does, from what was tuned on the real rows. Source: FewGen's filter (established: moving average with
    momentum, corrected for its start, as Laine and Aila 2017); inferred, since every arm keeps as many rows: the highest are
    kept, not those above 0.8, and once, after the last step, not while tuning goes on. Errors: DivergedError.
    """
    whole, limits, seen = given.encoded(rows), given.limits, []
    limits = limits.model_copy(update={"eval_every": max(1, limits.steps // CHECKPOINTS)})
    condition = tuning.Condition("syn", given.seed, given.encoded(given.train), whole, whole)  # asked where dev would be
    start_1PD = _tuned_on_real(given, rows).state["soft_prompt"][None]
    (one,) = tuning.tune_prompts(start_1PD, [condition], given.classifier, given.words(), limits, progress=False,
                                 on_dev=lambda logits: seen.append(_own(logits[0], whole.labels)))  # fmt: skip
    if one.error:
        raise tuning.DivergedError(one.error)
    return moving_average(seen)


def moving_average(values: Sequence[Floats], momentum: float = MOMENTUM) -> Floats:
    """z <- momentum z + (1 - momentum) value, from zero, and z / (1 - momentum^T) at the end: the weights sum to one.

    >>> moving_average([np.array([1.0]), np.array([4.0])], 0.5).round(6).tolist()
    [3.0]
    """
    average = np.zeros_like(values[0])
    for value in values:
        average = momentum * average + (1 - momentum) * value
    return average / (1 - momentum ** len(values))


def two_sample(given: Given, rows: pd.DataFrame) -> Floats:
    """A draw without replacement in proportion to w = p(real) / p(synthetic): log w and Gumbel noise, whose n highest are
    such a draw (Gumbel top-k, Kool et al. 2019).

    Class by class, a logistic classifier of the frozen encoder's mean states tells real rows (train and dev) from synthetic
    ones. Source: importance weights by classification (Grover et al. 2019); ours for rows of a prompt.
    """
    real = pd.concat([given.train, given.dev], ignore_index=True)
    own_BD, real_BD, log_w = mean_states(given, rows), mean_states(given, real), np.zeros(len(rows))
    for label, places in rows.groupby("label").indices.items():
        log_w[places] = log_ratio(real_BD[real["label"] == label], own_BD[places])
    random = samplers.seeded(given.seed, samplers.CURATION)
    uniform = torch.rand(len(rows), generator=random, dtype=torch.float64).clamp(min=torch.finfo(torch.float64).tiny)
    return log_w - np.log(-np.log(uniform.numpy()))


def log_ratio(real_RD: Floats, own_BD: Floats) -> Floats:
    """log p(real) / p(synthetic) of each synthetic row up to a constant, [B]: log odds under a classifier that was fitted
    without the row (cross-fitting)."""
    both, is_real = np.concatenate([real_RD, own_BD]), np.repeat([1, 0], [len(real_RD), len(own_BD)])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=1000))
    folds = min(FOLDS, len(real_RD), len(own_BD))
    return cross_val_predict(model, both, is_real, cv=folds, method="decision_function")[len(real_RD) :]


@torch.inference_mode()
def mean_states(given: Given, rows: pd.DataFrame) -> Floats:
    """The frozen encoder's last states of each row in the task's template, mean over its tokens, [B, D]."""
    ids, size, out = given.encoded(rows).ids, given.limits.eval_batch_size, []
    for start in range(0, len(ids), size):
        inputs_BTD, kept_BT = given.classifier.behind(None, *tensors(ids[start : start + size], given.classifier))
        states_BTD = given.classifier.model.encoder(inputs_embeds=inputs_BTD, attention_mask=kept_BT).last_hidden_state
        share_BT1 = (kept_BT / kept_BT.sum(1, keepdim=True))[..., None]
        out.append((states_BTD.double() * share_BT1).sum(1).cpu())
    return torch.cat(out).numpy()


def _tuned_on_real(given: Given, rows: pd.DataFrame) -> Outcome:
    """Prompt Tuning on the real rows; its logits are those of `rows`."""
    start_PD = initial_prompt(given.classifier, given.limits.prompt_tokens)
    return tune_from({"soft_prompt": start_PD, "tokens": torch.tensor(0)}, replace(given, test=rows))


def _own(logits_BC: Tensor, labels: list[int]) -> Floats:
    return logits_BC.double().softmax(-1)[range(len(labels)), labels].numpy()


FILTERS: dict[str, Callable[[pd.DataFrame], Bools]] = {
    "none": first, "exact": without_duplicates, "near_duplicate": without_near_duplicates, "anti_copy": without_copies,
    "oracle": oracle}  # fmt: skip
SCORES: dict[str, Callable[[Given, pd.DataFrame], Floats]] = {
    "confidence": confidence, "temporal_ensemble": temporal_ensemble, "two_sample": two_sample}  # fmt: skip
ARMS = FILTERS | SCORES
