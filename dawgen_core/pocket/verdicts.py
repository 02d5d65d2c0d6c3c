"""The oracle's verdict on written pairs, whoever wrote them: is this the language, is the label right, which slots are not.

>>> verdict("pocket_snli", "a woman is washing red cars", "a lady is rinsing automobiles", "entailment").label_right
True
>>> verdict("pocket_snli", "a woman is washing red cars", "a lady is rinsing green signs", "contradiction").wrong
('object',)
>>> verdict("pocket_snli", "a woman is washing red cars", "a woman is red washing cars", "entailment").in_grammar
False
>>> verdict("pocket_snli", "a woman is washing cars", "the woman washed cars", "entailment")  # a report among captions
Verdict(in_grammar=False, label_right=True, relation='equivalent', wrong=())
"""

from dataclasses import dataclass

import pandas as pd

from dawgen_core.pocket.draws import palette
from dawgen_core.pocket.language import Meaning, Question
from dawgen_core.pocket.oracle import TOO_ALIKE, Relation, diagnose, slot_relations
from dawgen_core.pocket.twins import Side, Twin, twin


@dataclass(frozen=True)
class Verdict:
    """in_grammar: both texts can be read and keep to one genre of the task. label_right and relation: None where a text
    cannot be read. wrong: the slots that keep the pair from its label, () where it is right or cannot be read."""

    in_grammar: bool
    label_right: bool | None
    relation: str | None
    wrong: tuple[str, ...]


def verdict(task: str | Twin, first: str, second: str, label: str) -> Verdict:
    """The verdict on one pair and its label. ValueError for a label that the task does not have."""
    t = twin(task)
    if label not in t.labels:
        raise ValueError(f"label: expected one of {list(t.labels)}, found {label!r}")
    try:
        (one, styles_one), (other, styles_other) = t.read(first, "sentence1"), t.read(second, "sentence2")
    except ValueError:  # NotInGrammar, or more clauses than there may be
        return Verdict(False, None, None, ())
    relation = t.relation(one, other)
    right = t.label_of(relation) == label
    nearest = () if right else min((in_the_way(t, one, other, Relation(name)) for name in t.labels[label]), key=len)
    wrong = () if right else nearest or TOO_ALIKE  # equivalent, where entailment would do but not both ways
    return Verdict(in_genre(t, (one, other), styles_one | styles_other), right, relation.value, wrong)


def judge(task: str | Twin, rows: pd.DataFrame) -> pd.DataFrame:
    """The verdicts on rows with sentence1, sentence2, label: in_grammar, label_right, relation, wrong; the index is kept."""
    found = [verdict(task, *pair) for pair in zip(rows["sentence1"], rows["sentence2"], rows["label"], strict=True)]
    columns = Verdict.__dataclass_fields__
    return pd.DataFrame({name: [getattr(v, name) for v in found] for name in columns}, index=rows.index, dtype=object)


def in_genre(t: Twin, sides: tuple[Side, Side], styles: set[str]) -> bool:
    """True when some genre of the task has these styles, and all concepts of both sides."""
    meanings = [m for side in sides for m in ([side.meaning] if isinstance(side, Question) else side)]
    for genre in t.genres:
        wanted = {"question", genre.style} if t.kind == "answers" else {genre.style}
        if styles == wanted and all(palette(genre.domain, genre.style).fits(m) for m in meanings):
            return True
    return False


def in_the_way(t: Twin, first: Side, second: Side, wanted: Relation) -> tuple[str, ...]:
    """The slots that keep a pair from the wanted relation, as `diagnose` names them; also "asked"."""
    if t.kind == "answers":
        return _not_answered(first, second[0]) if wanted == Relation.entailment else TOO_ALIKE
    if t.kind == "questions":
        differ = [*slot_relations(first.meaning, second.meaning)] + ["asked"] * (first.asked != second.asked)
        return tuple(differ) if wanted == Relation.equivalent else TOO_ALIKE
    return min((diagnose(clause, second[0], wanted) for clause in first), key=len)


def _not_answered(question: Question, sentence: Meaning) -> tuple[str, ...]:
    unsaid = ["asked"] * (getattr(sentence, question.asked) is None)
    return (*unsaid, *diagnose(sentence, question.meaning, Relation.entailment))
