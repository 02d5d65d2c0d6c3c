"""What the pocket models read, text by text and with its kind, and the words of it that only tasks use."""

from functools import cache

from dawgen_core.pocket import corpus
from dawgen_core.pocket.lexicon import SLOTS, lexicon
from dawgen_core.pocket.lexicon import words as words_of_the_language
from dawgen_core.pocket.twins import free_domains

NAMING = {"classifier": ("rewrite", "compare", "follows", "same", "answered", "told_follows", "told_same"),
          "generator": ("joined",)}  # fmt: skip
TABLES = {"classifier": corpus.CLASSIFIER_TEXTS, "generator": corpus.GENERATOR_TEXTS}


@cache
def words_of_tasks_only() -> frozenset[str]:
    """Words of task domains that no free domain has; every form that is of task domains only holds one of them."""
    book = lexicon()
    theirs, free = ({form for domain in domains for slot in SLOTS for name in book.domains[domain][slot]
                     for form in book.concepts[slot][name].forms}
                    for domains in (corpus.tested_domains(), free_domains()))  # fmt: skip
    words = frozenset(word for form in theirs for word in form.split()) - {word for form in free for word in form.split()}
    assert all(words & set(form.split()) for form in theirs - free), "a form of task domains made of free words"
    return words


@cache
def naming_words() -> frozenset[str]:
    """Words that say how two sentences lie to each other, and are not of the language."""
    said = [*corpus.FOLLOWS, *corpus.SAME, *corpus.ANSWERED, *corpus.TOLD_FOLLOWS, *corpus.TOLD_SAME,
            *corpus.JOINED_BY.values(), "polarity"]  # fmt: skip
    words = {word for text in said for word in text.split() if word.strip(".,:?").isalpha()}
    return frozenset(words) - set(words_of_the_language())


def listen(monkeypatch, made: list[tuple[str, tuple[str, str]]]) -> None:
    """Every text, as source and target, is appended to `made` behind its kind, before random words come in front of it."""

    def listened(kind, make):
        def function(dice):
            text = make(dice)
            made.append((kind, text))
            return text

        return function

    for table in TABLES.values():
        for kind, make in table.items():
            monkeypatch.setitem(table, kind, listened(kind, make))


def restored(source: str, target: str) -> str:
    """A text whose spans were taken out, with every span back in the place of its mark."""
    spans, current = {}, None
    for word in target.split():
        if word.startswith("<extra_id_"):
            current = spans.setdefault(word, [])
        else:
            current.append(word)
    return " ".join(" ".join(spans.get(word, [word])) for word in source.split())
