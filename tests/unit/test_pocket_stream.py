"""All that the pocket models read, replayed: no test pair in it, in these or other words, where a relation is named, and no
word of a task's domain there.

Every 50th block is read; all of them with DAWGEN_STREAM=all in the environment (a few minutes).
"""

import math
import os
from collections import defaultdict
from functools import cache

import pytest
from pocket_texts import NAMING, listen, naming_words, restored, words_of_tasks_only

from dawgen_core.pocket import corpus, pretraining
from dawgen_core.pocket.language import parse_question, read_clauses
from dawgen_core.pocket.lexicon import words as words_of_the_language
from dawgen_core.pocket.pairs import draw
from dawgen_core.pocket.twins import twins

WHOLE = os.environ.get("DAWGEN_STREAM") == "all"
LANGUAGE = frozenset(words_of_the_language()) - {"?"}
JOINTS = ("and", "that")  # words of the language that may stand in front of a whole sentence


def blocks_of(plan: dict) -> list[tuple[int, int]]:
    """(number, longest prefix) of every block that a model reads."""
    n = math.ceil(plan["steps"] * plan["batch"] / corpus.BLOCK)
    per_block = corpus.BLOCK // plan["batch"]
    return [(number, pretraining.prefix_at(number * per_block / plan["steps"])) for number in range(n)]


def streams() -> list[str]:
    """Every classifier, and of the generators, which share one stream, the one that reads longest."""
    classifiers = [name for name, plan in pretraining.MODELS.items() if plan["kind"] == "t5"]
    generators = [name for name, plan in pretraining.MODELS.items() if plan["kind"] != "t5"]
    return [*classifiers, max(generators, key=lambda name: len(blocks_of(pretraining.MODELS[name])))]


# ---------------------------------------------------------------- finding a pair in a text


class Pairs:
    """Finds pairs in texts by the first three words of their first sentence."""

    def __init__(self, pairs):
        self.found = defaultdict(list)
        for first, second in pairs:
            self.found[tuple(first.split()[:3])].append((first.split(), second.split()))

    def within(self, text: str) -> list[tuple[str, str]]:
        """The pairs both of whose sentences stand in the text as whole sentences."""
        words = text.split()
        found = []
        for at in range(len(words) - 2):
            for first, second in self.found.get(tuple(words[at : at + 3]), ()):
                if stands(first, words, at) and any(stands(second, words, i) for i in range(len(words))):
                    found.append((" ".join(first), " ".join(second)))
        return found


def stands(sentence: list[str], words: list[str], at: int) -> bool:
    """True when the sentence begins there, and neither side of it is the rest of a longer one."""
    end = at + len(sentence)
    if words[at:end] != sentence:
        return False
    begins = at == 0 or words[at - 1] in JOINTS or words[at - 1] not in LANGUAGE
    after = words[end : end + 2]
    ends = not after or sentence[-1] == "?" or after[0] == "and" or after[0] not in LANGUAGE
    return begins and (ends or after == ["are", "equivalent?"])


@pytest.fixture(scope="module")
def tested() -> Pairs:
    rows = [row for name in twins() for row in draw(name, "test", 0, 2000).itertuples()]
    assert len(rows) == 2000 * len(twins()) == 18000
    return Pairs((row.sentence1, row.sentence2) for row in rows)


@cache
def meaning(text: str):
    return parse_question(text) if text.endswith("?") else frozenset(read_clauses(text)[0])


def saying(first: str, second: str) -> frozenset:
    """What two texts say, in whatever words and order."""
    return frozenset({meaning(first), meaning(second)})


@pytest.fixture(scope="module")
def tested_meanings() -> set[frozenset]:
    return {saying(row.sentence1, row.sentence2) for name in twins() for row in draw(name, "test", 0, 2000).itertuples()}


def test_a_pair_is_known_by_what_it_says():
    said = saying("what did the lady discover ?", "what was found by the woman ?")
    assert said == saying("what did the woman find ?", "what did the woman discover ?")
    assert said != saying("what did the woman find ?", "what did the man find ?")
    assert saying(FIRST, "a boy is covering flowers") == saying(SECOND, FIRST)


FIRST, SECOND = "red flowers were covered", "a lad is covering blossoms"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{FIRST} . {SECOND}", True),
        (f"{SECOND} , {FIRST}", True),
        (f"premise: {FIRST} hypothesis: {SECOND} true? <extra_id_0> yes", True),
        (f"{FIRST} . is it true that {SECOND} ? <extra_id_0> no", True),
        (f"{FIRST} and {SECOND} are equivalent? <extra_id_0> no", True),
        (f"does {FIRST} mean {SECOND} ? <extra_id_0> no", True),
        (f"music and {FIRST} and trees were covered . {SECOND}", True),
        (f"three {FIRST} . {SECOND}", False),  # another sentence
        (f"{FIRST} by a lad . {SECOND}", False),
        (f"{FIRST} . {SECOND} slowly", False),
        (f"{FIRST} . a lad is covering trees", False),
        (SECOND, False),
    ],
)
def test_a_pair_is_found_where_both_sentences_stand(text, found):
    assert Pairs([(FIRST, SECOND)]).within(text) == [(FIRST, SECOND)] * found


def test_a_question_and_its_answer_are_found():
    pair = ("what did the lad cover ?", "the lad covered flowers")
    assert Pairs([pair]).within("what did the lad cover ? the lad covered flowers . answered? <extra_id_0> yes") == [pair]


def test_the_test_rows_find_themselves(tested):
    for row in draw("pocket_qnli", "test", 0, 2000)[::20].itertuples():  # other numbers draw other rows
        assert (row.sentence1, row.sentence2) in tested.within(f"{row.sentence1} . {row.sentence2} : <extra_id_0>")


# ---------------------------------------------------------------- which blocks are read


@pytest.mark.parametrize("name", pretraining.MODELS)
def test_a_model_reads_whole_blocks_up_to_its_last_step(name):
    plan = pretraining.MODELS[name]
    assert corpus.BLOCK % plan["batch"] == 0
    last = (plan["steps"] - 1) // (corpus.BLOCK // plan["batch"])  # the block of the last step
    assert len(blocks_of(plan)) == last + 1 == blocks_of(plan)[-1][0] + 1


def test_prefixes_grow_by_pencil():
    # 4 words until 0.6 of the steps; 10 steps of 32 texts are 5 blocks of 64: at 0, 0.2, 0.4, 0.6, 0.8
    assert [pretraining.prefix_at(share) for share in (0.0, 0.59, 0.6, 0.99)] == [4, 4, 12, 12]


def test_training_reads_these_blocks(tmp_path, monkeypatch):
    """A small model, blocks of 64: what pretraining asks for is what is replayed here."""
    asked, real = [], corpus.classifier_block

    def block(number, longest_prefix, *told):
        asked.append((number, longest_prefix))
        return real(number, longest_prefix, *told)

    small = {"d_model": 16, "d_kv": 8, "num_heads": 2, "d_ff": 16, "num_layers": 1, "num_decoder_layers": 1}
    plan = pretraining.MODELS["pocket-t5"]
    plan = plan | {"steps": 9, "batch": 32, "shape": plan["shape"] | small}
    monkeypatch.setattr(corpus, "BLOCK", 64)
    monkeypatch.setattr(corpus, "classifier_block", block)
    monkeypatch.setitem(pretraining.MODELS, "pocket-t5", plan)
    pretraining.pretrain("pocket-t5", tmp_path, 1)
    assert asked == blocks_of(plan) == [(0, 4), (1, 4), (2, 4), (3, 12), (4, 12)]  # shares 0, 2/9, 4/9, 6/9, 8/9


# ---------------------------------------------------------------- the streams


@pytest.mark.parametrize("name", streams())
def test_the_stream_holds_nothing_that_the_study_asks_about(name, tested, tested_meanings, monkeypatch, capsys):
    plan = pretraining.MODELS[name]
    blocks, classifies = blocks_of(plan), plan["kind"] == "t5"
    chosen = blocks if WHOLE else blocks[::50]
    naming = NAMING["classifier" if classifies else "generator"]
    made: list[tuple[str, tuple[str, str]]] = []
    listen(monkeypatch, made)
    pair, named = corpus._pair, []
    monkeypatch.setattr(corpus, "_pair", lambda *told: named.append(pair(*told)) or named[-1])
    for number, longest_prefix in chosen:
        made.clear()
        named.clear()
        if classifies:
            read = list(corpus.classifier_block(number, longest_prefix, "instructed" in plan))
        else:
            read = list(corpus.generator_block(number))
        assert len(read) == len(made) == corpus.BLOCK
        for given, (what, text) in zip(read, made, strict=True):
            assert " ".join(given).endswith(" ".join(text))  # the random words in front are not looked at
            if classifies:
                plain = restored(*text) if what == "spans" else " ".join(text)
            else:
                plain = " ".join(text).partition(" ")[2]  # behind its domain
            told = set(plain.split()) & (words_of_tasks_only() if what in naming else naming_words())
            assert not told, (number, what, text)
            assert not tested.within(plain), (number, what, text)
        assert named
        for first, second, *_ in named:
            assert saying(first, second) not in tested_meanings, (number, first, second)
    with capsys.disabled():
        print(f"\n{name}: {len(chosen)} of {len(blocks)} blocks of {corpus.BLOCK:,} texts were read")
