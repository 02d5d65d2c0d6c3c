"""PFT with demonstrations (LM-BFF, Gao et al. 2021): every row is read behind one answered row of each class.

Demonstrations come from the half of the real rows that is most like the row (TF-IDF cosine here, sentence embeddings there),
never the row itself; drawn once per row, where LM-BFF averages over many draws.
"""

import pandas as pd
import torch

from dawgen_core import samplers
from dawgen_core.methods import fine_tuning
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.learner import Learner, Learning, learn
from dawgen_core.prompts import EncodedPairs
from dawgen_core.tasks import MASK

SEEDED = True


class Settings(Learning):
    """Rate and weight decay."""


def build(given: Given) -> Learner:
    """All weights, in the task's template."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # heavy: scikit-learn

    texts, train = given.task.classifier, given.train.reset_index(drop=True)
    joined = lambda rows: rows["sentence1"] + " " + rows["sentence2"]  # noqa: E731
    words = TfidfVectorizer(token_pattern=r"\S+").fit(joined(train))
    known = words.transform(joined(train))
    answered = [given.classifier.ids(texts.template.replace("{first}", row.sentence1).replace("{second}", row.sentence2)
                                     .replace(MASK, texts.verbalizer[row.label])) for row in train.itertuples()]  # fmt: skip
    of_class = [train.index[train["label"] == label].tolist() for label in given.task.labels]
    pairs = list(zip(train["sentence1"], train["sentence2"], strict=True))

    def encoded(rows: pd.DataFrame) -> EncodedPairs:
        random, plain, ids = samplers.seeded(given.seed, samplers.DECODING), given.encoded(rows), []
        alike = (words.transform(joined(rows)) @ known.T).toarray()
        asked = zip(rows["sentence1"], rows["sentence2"], strict=True)
        for own, pair, alike_N in zip(plain.ids, asked, alike, strict=True):
            shown = []
            for numbers in of_class:
                others = sorted((i for i in numbers if pairs[i] != pair), key=lambda i: -alike_N[i])
                near = others[: max(1, len(others) // 2)]
                shown += answered[near[torch.randint(len(near), (1,), generator=random).item()]]
            ids.append(shown + own)
        return EncodedPairs(ids, plain.labels, plain.n_shortened)

    plain = fine_tuning.build(given, texts)
    return Learner(plain.weights, encoded, plain.answer)


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: all weights. Errors: ValueError with fewer than two rows of a class: none would be left to show."""
    if (few := given.train["label"].value_counts()).min() < 2:
        raise ValueError(f"pft_demonstrations: expected two real rows or more of each class, found {few.to_dict()}")
    return learn(build(given), given, settings)
