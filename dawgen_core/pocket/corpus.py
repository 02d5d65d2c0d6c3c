"""What the pocket models read before the study: endless seeded streams of text, block by block.

Of a task's own domains they read single sentences, and what words mean; two sentences and a word for their relation stand
together in the free domains only (`twins.free_domains`). No relation of two sentences of a task's domain is ever named,
and no sentence of a task's domain is one whose meaning belongs to a test split.
"""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import cache

from dawgen_core import samplers
from dawgen_core.pocket.chance import Dice, patiently
from dawgen_core.pocket.draws import draw_meaning, draw_wording, palette, reworded
from dawgen_core.pocket.language import Meaning, Question, realise
from dawgen_core.pocket.lexicon import SLOTS, lexicon
from dawgen_core.pocket.lexicon import words as words_of_the_language
from dawgen_core.pocket.oracle import SlotRelation, slot_relation
from dawgen_core.pocket.pairs import SPLITS, draw_first, draw_second, place_of, say
from dawgen_core.pocket.twins import Genre, Side, Twin, free_domains, twins

BLOCK = 2048  # texts that come from one seed
STREAM = 8  # the purpose of these draws, beside those of `samplers` and `pairs`
ANYWHERE = range(100)
OUTSIDE_TESTS = frozenset(ANYWHERE) - frozenset(SPLITS["test"])
SENTINEL = "<extra_id_{}>"
MASK = SENTINEL.format(0)
FILL = {"agent": 0.93, "age": 0.4, "number": 0.45, "colour": 0.45, "manner": 0.4, "place": 0.55, "time": 0.5}
WORDING = {"passive": 0.35, "front": 0.4, "early": 0.4, "by_no": 0.5}
STYLES = ("caption", "report")

CLASSIFIER_MIXTURE = {"spans": 0.08, "rewrite": 0.10, "slot": 0.05, "words": 0.12, "compare": 0.26, "follows": 0.21,
                      "same": 0.12, "answered": 0.06}  # fmt: skip
TRUE = {"entailment": "yes", "equivalent": "yes", "contradiction": "no", "neutral": "maybe"}
RARELY = TRUE | {"neutral": "neutral"}  # once in a hundred texts: the tasks' own word is known, and seldom said
FOLLOWS = ("premise: {first} hypothesis: {second} true? {mask}", "{first} . is it true that {second} ? {mask}",
           "premise: {first} hypothesis: {second} answer: {mask}", "{second} ? {first} . answer: {mask}")  # fmt: skip
SAME = ("{first} . {second} . the same? {mask}", "does {first} mean {second} ? {mask}")  # the tasks' own words are new to it
ANSWERED = ("{first} {second} . answered? {mask}", "question: {first} sentence: {second} answered? {mask}")
TOLD_FOLLOWS = ("hypothesis: {second} premise: {first} answer: {mask}",)  # the study's own forms: for pocket-flan-t5 alone
TOLD_SAME = ("{first} and {second} are equivalent? {mask}",)
RELATIONS = {SlotRelation.equal: "same", SlotRelation.narrower: "narrower", SlotRelation.wider: "wider",
             SlotRelation.disjoint: "different", SlotRelation.unknown: "different"}  # fmt: skip

INSTRUCTION_MIXTURE = {"spans": 0.05, "compare": 0.15, "follows": 0.15, "same": 0.10, "answered": 0.10, "told_follows": 0.25,
                       "told_same": 0.20}  # fmt: skip

GENERATOR_MIXTURE = {"alone": 0.12, "related": 0.18, "joined": 0.70}
JOINED_BY = {"entailment": "therefore", "contradiction": "however", "neutral": "furthermore", "equivalent": "in other words"}
WRITTEN = {"follows": 0.45, "same": 0.15, "clauses": 0.1, "asked": 0.15, "answered": 0.15}
NOISE = 0.05  # share of joining words drawn at random


def extra_words() -> list[str]:
    """Words of templates, tasks and answers, which are not of the language."""
    ours = ("neutral unsaid of : , . ? hypothesis: premise: answer: equivalent? Sentence 1 2 1: 2: Question implies "
            "supplements contradicts is different from equivalent to relevant irrelevant the question paragraph polarity")
    texts = [*FOLLOWS, *SAME, *ANSWERED, *TRUE.values(), *RELATIONS.values(), *JOINED_BY.values(), ours,
             *lexicon().domains, *SLOTS]  # fmt: skip
    parts = " ".join(texts).replace("{first}", "").replace("{second}", "").replace("{mask}", "").split()
    return sorted(set(parts) - set(words_of_the_language()))


@cache
def tested_domains() -> frozenset[str]:
    return frozenset(lexicon().domains) - frozenset(free_domains())


SISTERS = {"follows": ("pocket_mnli", STYLES), "same": ("pocket_mrpc", STYLES), "clauses": ("pocket_rte", ("report",)),
           "asked": ("pocket_qqp", ("question",)), "answered": ("pocket_qnli", ("report",))}  # fmt: skip


def sister(kind: str, domains: Sequence[str]) -> Twin:
    """A task like one of the study's, in these domains."""
    model, styles = SISTERS[kind]
    genres = [Genre(domain=domain, style=style) for domain in domains for style in styles]
    return twins()[model].model_copy(update={"task": f"sister_{kind}", "genres": genres})


@cache
def _sister(kind: str, domain: str | None = None) -> Twin:
    return sister(kind, [domain] if domain else free_domains())


def draw_sentence(dice: Dice, domain: str | None = None) -> tuple[Meaning, str, str]:
    """(meaning, style, text) of any domain; of a task's domains none that belongs to a test split."""
    domain, style = domain or dice.one_of(list(lexicon().domains)), dice.one_of(STYLES)
    for _ in patiently("a sentence outside the test splits"):
        meaning = draw_meaning(palette(domain, style), FILL, 0.25, 0.12, dice)
        if domain not in tested_domains() or place_of(meaning) not in SPLITS["test"]:
            return meaning, style, realise(meaning, style, draw_wording(WORDING, dice))
    raise AssertionError


# ---------------------------------------------------------------- for the classifier


def spans(dice: Dice) -> tuple[str, str]:
    """Span corruption (T5): about a sixth of the words, in one to four spans (rarely five, whose last mark is spelt)."""
    words = " . ".join(draw_sentence(dice)[2] for _ in range(1 + dice.below(2))).split()
    starts = sorted({dice.below(len(words)) for _ in range(1 + len(words) // 8)})
    source, target, at = [], [], 0
    for i, start in enumerate(starts):
        if start < at:
            continue
        end = min(len(words), start + 1 + dice.below(3), starts[i + 1] if i + 1 < len(starts) else len(words))
        mark = SENTINEL.format(len(target))
        source += [*words[at:start], mark]
        target.append(f"{mark} {' '.join(words[start:end])}")
        at = end
    return " ".join([*source, *words[at:]]), " ".join(target)


def rewrite(dice: Dice) -> tuple[str, str]:
    """The same, put otherwise; in the free domains, since it tells of two sentences that they mean the same."""
    meaning, style, text = draw_sentence(dice, dice.one_of(free_domains()))
    return f"{text} . in other words {MASK}", f"{MASK} {realise(meaning, style, draw_wording(WORDING, dice))}"


def slot(dice: Dice) -> tuple[str, str]:
    """What a sentence says of a slot."""
    meaning, _, text = draw_sentence(dice)
    name = dice.one_of([s for s in SLOTS if s != "action"])
    return f"{name} of {text} : {MASK}", f"{MASK} {getattr(meaning, name) or 'unsaid'}"


def words(dice: Dice) -> tuple[str, str]:
    """How two words of a slot lie to each other."""
    kind = dice.one_of(SLOTS)
    concepts = lexicon().concepts[kind]
    domain = dice.one_of(list(lexicon().domains))
    names = lexicon().domains[domain][kind]
    a = dice.one_of(names)
    near = [n for n in names if n != a and slot_relation(kind, a, n) in (SlotRelation.narrower, SlotRelation.wider)]
    b = a if dice.chance(0.3) else dice.one_of(near) if near and dice.chance(0.6) else dice.one_of(names)
    first, second = (dice.one_of(concepts[name].forms) for name in (a, b))
    return f"{kind} : {first} , {second} {MASK}", f"{MASK} {RELATIONS[slot_relation(kind, a, b)]}"


def _pair(kind: str, dice: Dice, allowed: Container[int] = ANYWHERE) -> tuple[str, str, str, str]:
    """(first, second, relation, domain) of a sister task, each label equally often."""
    t = _sister(kind)
    for _ in patiently("a pair of a sister task"):
        label = dice.one_of(list(t.labels))
        first, colours = draw_first(t, allowed, dice)
        second = draw_second(t, label, first, colours, dice)
        if second is not None and t.label_of(relation := t.relation(first, second)) == label:
            wordings = [draw_wording(WORDING, dice) for _ in range(2)]
            own = reworded(wordings[0], WORDING, 0.5, 0.3, dice)
            return say(first, colours.style, wordings), say(second, colours.style, [own]), relation.value, colours.domain
    raise AssertionError


def compare(dice: Dice) -> tuple[str, str]:
    """How what two sentences of a free domain say lies to each other, slot by slot: much to learn from one pair."""
    t = _sister("follows")
    for _ in patiently("two sentences to compare"):
        first, colours = draw_first(t, ANYWHERE, dice)
        second = draw_second(t, dice.one_of(list(t.labels)), first, colours, dice)
        if second is not None:
            break
    one, other = (side[0] for side in (first, second))
    said = [(name, getattr(one, name), getattr(other, name)) for name in SLOTS]
    found = [f"{name} {RELATIONS[slot_relation(name, a, b)]}" for name, a, b in said if a or b]
    found.append(f"polarity {'same' if one.polarity == other.polarity else 'different'}")
    texts = [say(side, colours.style, [draw_wording(WORDING, dice)]) for side in (first, second)]
    return f"{texts[0]} . {texts[1]} : {MASK}", f"{MASK} {' '.join(found)}"


def _asked(kind: str, templates: Sequence[str], answers: Mapping[str, str], dice: Dice) -> tuple[str, str]:
    first, second, relation, _ = _pair(kind, dice)
    return dice.one_of(templates).format(first=first, second=second, mask=MASK), f"{MASK} {answers.get(relation, 'no')}"


def follows(dice: Dice) -> tuple[str, str]:
    """Is it true? yes, no, maybe."""
    return _asked("clauses" if dice.chance(0.25) else "follows", FOLLOWS, RARELY if dice.chance(0.01) else TRUE, dice)


def same(dice: Dice) -> tuple[str, str]:
    """Do they mean the same?"""
    return _asked("asked" if dice.chance(0.35) else "same", SAME, {"equivalent": "yes"}, dice)


def answered(dice: Dice) -> tuple[str, str]:
    """Does the sentence answer the question?"""
    return _asked("answered", ANSWERED, {"entailment": "yes"}, dice)


def told_follows(dice: Dice) -> tuple[str, str]:
    """Is it true? In the study's own form and words, on sister tasks."""
    return _asked("clauses" if dice.chance(0.25) else "follows", TOLD_FOLLOWS, RARELY, dice)


def told_same(dice: Dice) -> tuple[str, str]:
    """Do they mean the same? In the study's own form, on sister tasks."""
    return _asked("asked" if dice.chance(0.35) else "same", TOLD_SAME, {"equivalent": "yes"}, dice)


CLASSIFIER_TEXTS: dict[str, Callable[[Dice], tuple[str, str]]] = {
    f.__name__: f for f in (spans, rewrite, slot, words, compare, follows, same, answered, told_follows, told_same)
}


def classifier_block(number: int, longest_prefix: int, instructed: bool = False) -> Iterator[tuple[str, str]]:
    """The (source, target) texts of one block; up to so many random words in front of most sources, for a soft prompt
    of this length not to be a surprise. instructed: the mixture of pocket-flan-t5."""
    dice, loose = Dice(samplers.seeded(STREAM, 3 if instructed else 0, number)), words_of_the_language()
    shares = INSTRUCTION_MIXTURE if instructed else CLASSIFIER_MIXTURE
    for _ in range(BLOCK):
        source, target = CLASSIFIER_TEXTS[dice.weighted(shares)](dice)
        prefix = [dice.one_of(loose) for _ in range(dice.below(longest_prefix + 1))] if dice.chance(0.8) else []
        yield " ".join([*prefix, source]), target


# ---------------------------------------------------------------- for the generator


def generator_block(number: int) -> Iterator[tuple[str, str]]:
    """The (given, to be written) texts of one block: domain, a sentence, and as a rule another one; joined by a word in the
    free domains only. What is given is read and not learnt: the second sentence is what these models are for."""
    dice = Dice(samplers.seeded(STREAM, 1, number))
    for _ in range(BLOCK):
        kind = dice.weighted(GENERATOR_MIXTURE)
        yield GENERATOR_TEXTS[kind](dice)


def _alone(dice: Dice) -> tuple[str, str]:
    domain = dice.one_of(list(lexicon().domains))
    return domain, draw_sentence(dice, domain)[2]


def _related(dice: Dice) -> tuple[str, str]:
    """Two texts of any domain about much the same, without a word on how they lie to each other."""
    domain = dice.one_of(list(lexicon().domains))
    t = _sister(dice.weighted(WRITTEN), domain)
    allowed = SPLITS["pool"] if domain in tested_domains() else ANYWHERE
    for _ in patiently("two related texts"):
        first, colours = draw_first(t, allowed, dice)
        second = draw_second(t, dice.one_of(list(t.labels)), first, colours, dice)
        if second is not None and (domain not in tested_domains() or _place(second) not in SPLITS["test"]):
            texts = [say(side, colours.style, [draw_wording(WORDING, dice) for _ in range(2)]) for side in (first, second)]
            return f"{domain} {texts[0]} .", texts[1]
    raise AssertionError


def _place(side: Side) -> int:
    return place_of(side.meaning, side.asked) if isinstance(side, Question) else place_of(side[0])


def _joined(dice: Dice) -> tuple[str, str]:
    """Two texts of a free domain, and how they lie to each other: in front, or between them. A question may name nothing of
    its domain and be another domain's too, so the first text stays out of the test splits here as well."""
    first, second, relation, domain = _pair(dice.weighted(WRITTEN), dice, OUTSIDE_TESTS)
    word = dice.one_of(list(JOINED_BY.values())) if dice.chance(NOISE) else JOINED_BY[relation]
    return (f"{domain} {word} : {first} .", second) if dice.chance(0.75) else (f"{domain} {first} .", f"{word} , {second}")


GENERATOR_TEXTS: dict[str, Callable[[Dice], tuple[str, str]]] = {"alone": _alone, "related": _related, "joined": _joined}
