"""`make pocket-search`: how the settings of profile `pocket` were chosen, on the two development tasks alone.

Each line of search.yaml is a configuration: what it changes of the profile. Where it asks for `generator`, the oracle says
how many labels are right and how many sentences are of the language; where it asks for `classifier`, prompts are tuned on
rows of the profile's own generators and asked on the development tasks' own test pairs. All that was found: search.csv.
"""

from pathlib import Path

import pandas as pd
import torch

from dawgen_core import generation, prompts, samplers, tuning
from dawgen_core.artifacts import replacing
from dawgen_core.backbones import word_id
from dawgen_core.data import pretrained, synthetic
from dawgen_core.data.encoding import encode_pairs
from dawgen_core.data.profiles import load_profile, load_task, read_yaml
from dawgen_core.data.rows import TaskRows
from dawgen_core.params import Profile
from dawgen_core.pocket import pairs
from dawgen_core.tasks import Task

TASKS = ("pocket_dev_paraphrase", "pocket_dev_nli")
LINES, FOUND = Path(__file__).with_name("search.yaml"), Path(__file__).with_name("search.csv")
KINDS = ("mle", "fewgen", "dawgen")
WAYS = ("syn", "paired", "paired_surgery")


def written(study: Profile, task: Task, seeds: list[int], per_class: int) -> dict[tuple[str, int], pd.DataFrame]:
    """(kind, seed) -> synthetic rows with the oracle's verdicts, under the settings of `study`."""
    generator, rows = pretrained.load_generator(study.generator, study.compute), TaskRows(task, study)
    layout, jobs = prompts.PromptLayout(task, generator, study.generator_tuning), []
    for seed in seeds:
        train, _ = rows.few_shot(seed)
        real = [(generator.ids(a), generator.ids(b)) for a, b in zip(train["sentence1"], train["sentence2"], strict=True)]
        jobs += [tuning.GeneratorJob(kind, seed, real, [task.number(label) for label in train["label"]]) for kind in KINDS]
    asked, out = study.generation.model_copy(update={"per_class": per_class}), {}
    tuned = tuning.tune_generators(layout, jobs, study.generator_tuning, progress=False)
    for job, one in zip(jobs, tuned, strict=True):
        ask = generation.continuations(layout, one.q_CSD, asked, job.seed)
        n_firsts = int(per_class * asked.max_attempts_per_row)
        firsts = rows.first_sentences(n_firsts, samplers.seeded(job.seed, samplers.FIRSTS))
        found = synthetic.generate(task, ask, firsts, asked, progress=False).rows
        out[job.kind, job.seed] = found.join(rows.verdicts(found))
    return out


def of_generators(study: Profile, task: Task, seeds: list[int]) -> dict[str, list[float]]:
    """Label accuracy and in-grammar rate, a value per seed."""
    found = {}
    for (kind, _), rows in written(study, task, seeds, 150).items():
        for column in ("label_right", "in_grammar"):
            found.setdefault(f"{kind} {column}", []).append(float(rows[column].mean()))
    return found


def of_classifiers(study: Profile, task: Task, seeds: list[int], synthetic_rows: dict) -> dict[str, list[float]]:
    """Test accuracy, a value per seed."""
    classifier, rows = pretrained.load_classifier(study.classifier, study.compute), TaskRows(task, study)
    settings = study.prompt_tuning

    def encoded(frame: pd.DataFrame) -> prompts.EncodedPairs:
        return encode_pairs(task, classifier, frame, max_tokens=settings.max_tokens)

    conditions, names = [], []
    for seed in seeds:
        train, dev = map(encoded, rows.few_shot(seed))
        sets = {kind: encoded(synthetic_rows[kind, seed]) for kind in KINDS}
        sets["oracle"] = encoded(rows.released_synthetic("oracle", seed, study.generation.per_class))
        asked = [("none", "real"), ("oracle", "syn"), *((kind, way) for kind in KINDS for way in WAYS)]
        conditions += [tuning.Condition(way, seed, train, sets.get(kind), dev) for kind, way in asked]
        names += [f"{kind} {way}" for kind, way in asked]
    verbalizer = task.classifier.verbalizer
    words_C = torch.tensor([word_id(classifier.tokenizer, verbalizer[c], classifier.name) for c in task.labels])
    test = encoded(pairs.draw(task.task, "test", 0, 1000))
    start = torch.stack([prompts.initial_prompt(classifier, settings.prompt_tokens)] * len(conditions))
    tuned = tuning.tune_prompts(start, conditions, classifier, words_C, settings, progress=False)
    logits = tuning.predict(torch.stack([one.last_PD for one in tuned]), [test] * len(tuned), classifier, words_C, 128)
    found = {}
    for name, logits_BC in zip(names, logits, strict=True):
        right = (logits_BC.argmax(-1) == torch.tensor(test.labels)).double().mean().item()
        found.setdefault(name, []).append(right)
    return found


def changed(study: Profile, line: dict) -> Profile:
    """The profile with what a line changes."""
    keys = [key for key in ("generator_tuning", "prompt_tuning") if key in line]
    return study.model_copy(update={key: getattr(study, key).model_copy(update=line[key]) for key in keys})


def main() -> None:
    """Runs the lines that have no result yet, printing each."""
    lines, study = read_yaml(LINES), load_profile("pocket")
    torch.set_num_threads(study.compute.threads)
    seeds, cached = lines["seeds"], {}
    table = pd.read_csv(FOUND) if FOUND.is_file() else pd.DataFrame(columns=["line", "task"])
    for name, line in lines["lines"].items():
        for task_name in TASKS:
            if ((table["line"] == name) & (table["task"] == task_name)).any():
                continue
            task, now = load_task(task_name), changed(study, line)
            if "temperature" in line:
                decoding = {c: d.model_copy(update={"temperature": line["temperature"]}) for c, d in task.decoding.items()}
                task = task.model_copy(update={"decoding": decoding})
            if line["asks"] == "generator":
                found = of_generators(now, task, seeds)
            else:
                if task_name not in cached:
                    cached[task_name] = written(study, load_task(task_name), seeds, study.generation.per_class)
                found = of_classifiers(now, task, seeds, cached[task_name])
            rows = [{"line": name, "task": task_name, "what": what, "mean": pd.Series(values).mean(),
                     "sd": pd.Series(values).std(), "n": len(values)} for what, values in found.items()]  # fmt: skip
            table = pd.concat([table, pd.DataFrame(rows).round(4)], ignore_index=True)
            with replacing(FOUND) as part:
                table.to_csv(part, index=False, lineterminator="\n")
            print(name, task_name, {row["what"]: (round(row["mean"], 3), round(row["sd"], 3)) for row in rows}, flush=True)


if __name__ == "__main__":
    main()
