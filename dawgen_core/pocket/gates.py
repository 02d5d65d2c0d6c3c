"""`make pocket-gates`: is the pocket world fit to ask the paper's question in? Gates fixed before any FewGen or DawGen run.

Every gate takes seeds from 1000 and pairs outside the test sets. The report is bound to the weights, and to the settings and
texts under which it was measured, by their digests.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch

from dawgen_core import artifacts, generation, prompts, samplers, tuning
from dawgen_core.backbones import Classifier, Generator, word_id
from dawgen_core.data import pretrained, recipes, synthetic
from dawgen_core.data.encoding import encode_pairs
from dawgen_core.data.profiles import load_profile, load_task
from dawgen_core.data.rows import TaskRows
from dawgen_core.params import Profile
from dawgen_core.pocket import corpus, pairs
from dawgen_core.pocket.chance import Dice
from dawgen_core.pocket.language import Question, parse, parse_question, realise, realise_question
from dawgen_core.pocket.twins import free_domains, twins
from dawgen_core.tasks import ClassifierTexts, Task

SEEDS = (1000, 1001, 1002)
REPORT = Path(__file__).with_name("weights") / "gates.json"
GATES = {  # what is measured -> (at least, at most)
    "sentences of the generator that the parser reads back": (1.0, 1.0),
    "classifier, pairs of the free domains, a form it was trained on": (0.90, 1.0),
    "classifier, zero-shot in the task's form, points above chance": (0.0, 1.0),
    "classifier, zero-shot in the task's form": (0.0, 0.80),
    "prompt tuning, 1000 oracle pairs per class minus 16": (0.08, 1.0),
    "plain MLE, label accuracy": (0.55, 0.85),
    "plain MLE, in the grammar": (0.85, 1.0),
}


def accuracy(
    classifier: Classifier, task: Task, rows: pd.DataFrame, texts: ClassifierTexts, prompts_GPD: torch.Tensor | None = None
) -> list[float]:
    """Of each prompt, or of none at all, on rows with every label equally often: balanced accuracy."""
    encoded = encode_pairs(task.model_copy(update={"classifier": texts}), classifier, rows, max_tokens=128)
    words_C = label_words(classifier, task, texts)
    sets = [encoded] * (1 if prompts_GPD is None else len(prompts_GPD))
    found = tuning.predict(prompts_GPD, sets, classifier, words_C, 128)
    return [(logits_BC.argmax(-1) == torch.tensor(encoded.labels)).double().mean().item() for logits_BC in found]


def label_words(classifier: Classifier, task: Task, texts: ClassifierTexts) -> torch.Tensor:
    """Token ids [C]."""
    return torch.tensor([word_id(classifier.tokenizer, texts.verbalizer[c], classifier.name) for c in task.labels])


def read_back(generator: Generator, task: Task, study: Profile) -> float:
    """Share of the untuned generator's sentences of the language that are read, said and read again without a change."""
    rows, twin = TaskRows(task, study), twins()[task.task]
    layout = prompts.PromptLayout(task, generator, study.generator_tuning)
    settings = study.generation.model_copy(update={"per_class": 200})
    ask = generation.continuations(layout, layout.initial(), settings, SEEDS[0])
    firsts = rows.first_sentences(600, samplers.seeded(SEEDS[0], samplers.FIRSTS))
    same = []
    for text in synthetic.generate(task, ask, firsts, settings, progress=False).rows["sentence2"]:
        try:
            said, styles = twin.read(text, "sentence2")
        except ValueError:  # not of the language: counted by the last gate
            continue
        if isinstance(said, Question):
            same.append(parse_question(realise_question(said)) == said)
        else:
            same.append(parse(realise(said[0], *styles)) == said[0])
    return sum(same) / max(len(same), 1)


def held_out_pairs(name: str, per_label: int) -> pd.DataFrame:
    """Labelled pairs whose first meanings belong to no split that is trained or reported on, each label equally often."""
    t, dice = twins()[name], Dice(samplers.seeded(SEEDS[0], twins()[name].number))
    rows = [("", *pairs.draw_pair(t, label, pairs.SPLITS["unlabelled"], dice), label)
            for label in t.labels for _ in range(per_label)]  # fmt: skip
    return pd.DataFrame(rows, columns=pairs.COLUMNS)


def on_the_free_domains(classifier: Classifier) -> dict[str, float]:
    """Accuracy per kind of sister task, in the hand form of the development tasks."""
    found = {}
    for kind, name in (("follows", "pocket_dev_nli"), ("same", "pocket_dev_paraphrase")):
        task, rows = load_task(name), pairs.draw(corpus.sister(kind, free_domains()), "oracle", SEEDS[0], 600)
        found[name.removeprefix("pocket_dev_")] = accuracy(classifier, task, rows, task.classifier.hand)[0]
    return found


def of_prompt_tuning(classifier: Classifier, task: Task, study: Profile, held_out: pd.DataFrame) -> dict[str, list]:
    """Accuracy of tuned prompts, a value per seed: on 16 pairs per class (`real`), on 1000 oracle pairs of each (`syn`)."""
    settings, rows = study.prompt_tuning, TaskRows(task, study)

    def encoded(frame: pd.DataFrame) -> prompts.EncodedPairs:
        return encode_pairs(task, classifier, frame, max_tokens=settings.max_tokens)

    conditions = []
    for seed in SEEDS:
        train, dev = map(encoded, rows.few_shot(seed))
        oracle = encoded(rows.released_synthetic("oracle", seed, 1000))
        conditions += [tuning.Condition(strategy, seed, train, oracle, dev) for strategy in ("real", "syn")]
    words_C = label_words(classifier, task, task.classifier)
    start = torch.stack([prompts.initial_prompt(classifier, settings.prompt_tokens)] * len(conditions))
    tuned = tuning.tune_prompts(start, conditions, classifier, words_C, settings, progress=False)
    found = accuracy(classifier, task, held_out, task.classifier, torch.stack([one.last_PD for one in tuned]))
    return {s: [a for a, c in zip(found, conditions, strict=True) if c.strategy == s] for s in ("real", "syn")}


def of_plain_mle(generator: Generator, task: Task, study: Profile, per_class: int = 200) -> pd.DataFrame:
    """Oracle verdicts on what the MLE arm writes: a row per seed with label_right and in_grammar."""
    rows, settings = TaskRows(task, study), study.generator_tuning
    layout, jobs = prompts.PromptLayout(task, generator, settings), []
    for seed in SEEDS:
        train, _ = rows.few_shot(seed)
        real = [(generator.ids(a), generator.ids(b)) for a, b in zip(train["sentence1"], train["sentence2"], strict=True)]
        jobs.append(tuning.GeneratorJob("mle", seed, real, [task.number(label) for label in train["label"]]))
    asked, found = study.generation.model_copy(update={"per_class": per_class}), []
    tuned = tuning.tune_generators(layout, jobs, settings, progress=False)
    for seed, one in zip(SEEDS, tuned, strict=True):
        ask = generation.continuations(layout, one.q_CSD, asked, seed)
        firsts = rows.first_sentences(int(per_class * asked.max_attempts_per_row), samplers.seeded(seed, samplers.FIRSTS))
        written = synthetic.generate(task, ask, firsts, asked, progress=False).rows
        found.append(rows.verdicts(written)[["label_right", "in_grammar"]].mean().astype(float))
    return pd.DataFrame(found, index=pd.Index(SEEDS, name="seed"))


def measure(study: Profile, names: list[str]) -> Iterator[dict]:
    """One row per measured value: gate, task, value, the values of the seeds."""
    read, zero_above, zero, apart, right, grammar = (name for i, name in enumerate(GATES) if i != 1)
    sources = list(GATES)[1]
    classifier = pretrained.load_classifier(study.classifier, study.compute)
    generator = pretrained.load_generator(study.generator, study.compute)
    for name, value in on_the_free_domains(classifier).items():
        yield {"gate": sources, "task": f"sister tasks, {name}", "value": value}
    for name in names:
        task = load_task(name)
        held_out = held_out_pairs(name, 300)
        yield {"gate": read, "task": name, "value": read_back(generator, task, study)}
        plain = accuracy(classifier, task, held_out, task.classifier)[0]
        yield {"gate": zero_above, "task": name, "value": plain - 1 / len(task.labels)}
        yield {"gate": zero, "task": name, "value": plain}
        tuned = {k: pd.Series(v) for k, v in of_prompt_tuning(classifier, task, study, held_out).items()}
        yield {"gate": apart, "task": name, "value": tuned["syn"].mean() - tuned["real"].mean(),
               "seeds": {k: v.round(4).tolist() for k, v in tuned.items()}}  # fmt: skip
        written = of_plain_mle(generator, task, study)
        for gate, column in ((right, "label_right"), (grammar, "in_grammar")):
            yield {"gate": gate, "task": name, "value": written[column].mean(), "seeds": written[column].round(4).tolist()}


def settings_digest() -> str:
    """Of the parts of the profile and the task files that the gates depend on beside the weights (they write 200 pairs)."""
    parts = load_profile("pocket").model_dump(
        include={"classifier", "generator", "generator_tuning", "generation", "prompt_tuning"},
        exclude={"generator_tuning": {"kinds", "stack"}, "generation": {"curation", "per_class", "shard"},
                 "prompt_tuning": {"strategies", "stack", "eval_batch_size"}},
    )  # fmt: skip
    return artifacts.digest_of([parts, [recipes.texts(load_task(name)) for name in twins()]])


def required(task: str) -> bool:
    """Whether the study stands or falls with this task's gates: those of the default run and the development tasks."""
    return task in load_profile("pocket").tasks or not task.startswith("pocket_") or "_dev_" in task


def digests() -> dict[str, str]:
    """SHA-256 of all committed weights."""
    return {path.relative_to(REPORT.parent).as_posix(): artifacts.digest(path)
            for path in sorted(REPORT.parent.glob("*/*.safetensors"))}  # fmt: skip


def main() -> None:
    """Measure every gate on the development tasks and the twins, print a line for each, write the report."""
    study = load_profile("pocket")
    torch.set_num_threads(study.compute.threads)
    rows = []
    for row in measure(study, list(twins())):
        low, high = GATES[row["gate"]]
        value = round(float(row["value"]), 4)
        row |= {"value": value, "low": low, "high": high, "passed": low <= value <= high, "required": required(row["task"])}
        rows.append(row)
        verdict = "passed" if row["passed"] else "MISSED" if row["required"] else "missed"
        print(f"{verdict}  {value:.3f} in [{low}, {high}]  {row['task']}: {row['gate']}", flush=True)
    artifacts.write_json(REPORT, {"weights": digests(), "settings": settings_digest(), "gates": rows})
    if missed := [row for row in rows if row["required"] and not row["passed"]]:
        raise SystemExit(f"{len(missed)} required gates missed")


def report() -> dict:
    """The committed report."""
    return json.loads(REPORT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
