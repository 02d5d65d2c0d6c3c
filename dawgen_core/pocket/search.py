"""`make pocket-search`: how the settings of profile `pocket` were chosen, on the two development tasks alone.

Each line of search.yaml is a configuration: what it changes of the profile. Where it asks for `generator`, the oracle says
how many labels are right and how many sentences are of the language; where it asks for `classifier`, prompts are tuned on
rows of the profile's own generators and asked on the development tasks' own test pairs. All that was found: search.csv.
The compared methods' few settings are tried likewise: methods.yaml, methods.csv.
"""

import json
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import torch

from dawgen_core import generation, methods, prompts, samplers, tuning
from dawgen_core.artifacts import Runs, digest_of, replacing, write_table
from dawgen_core.backbones import word_id
from dawgen_core.data import pretrained, recipes, synthetic
from dawgen_core.data.encoding import encode_pairs
from dawgen_core.data.profiles import load_profile, load_task, read_yaml
from dawgen_core.data.rows import TaskRows
from dawgen_core.methods import lending
from dawgen_core.methods.given import Given
from dawgen_core.params import ROOT, Profile
from dawgen_core.pocket import pairs
from dawgen_core.tasks import Task

TASKS = ("pocket_dev_paraphrase", "pocket_dev_nli")
LINES, FOUND = Path(__file__).with_name("search.yaml"), Path(__file__).with_name("search.csv")
METHOD_LINES, METHODS_FOUND = Path(__file__).with_name("methods.yaml"), Path(__file__).with_name("methods.csv")
KINDS = ("mle", "fewgen", "dawgen")
PER_CLASS = 1000  # synthetic pairs that every configuration was tried with
WAYS = ("syn", "paired", "paired_surgery")


def written(study: Profile, task: Task, seeds: list[int], per_class: int) -> dict[tuple[str, int], pd.DataFrame]:
    """(kind, seed) -> synthetic rows with the oracle's verdicts, under the settings of `study`."""
    generator, rows = pretrained.load_generator(study.generator, study.compute), TaskRows(task, study)
    layout, jobs = prompts.PromptLayout(task, generator, study.generator_tuning), []
    for seed in seeds:
        train, _ = rows.few_shot(seed)
        real = [(generator.ids(a), generator.ids(b)) for a, b in zip(train["sentence1"], train["sentence2"], strict=True)]
        labels = [task.number(label) for label in train["label"]]
        jobs += [tuning.GeneratorJob(kind, seed, real, labels) for kind in study.generator_tuning.kinds]
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
    settings, kinds = study.prompt_tuning, study.generator_tuning.kinds

    def encoded(frame: pd.DataFrame) -> prompts.EncodedPairs:
        return encode_pairs(task, classifier, frame, max_tokens=settings.max_tokens)

    conditions, names = [], []
    for seed in seeds:
        train, dev = map(encoded, rows.few_shot(seed))
        sets = {kind: encoded(synthetic_rows[kind, seed]) for kind in kinds}
        sets["oracle"] = encoded(rows.released_synthetic("oracle", seed, PER_CLASS))
        asked = [("none", "real"), ("oracle", "syn"), *((kind, way) for kind in kinds for way in WAYS)]
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


def try_out(name: str, line: dict, task_name: str, seeds: list[int]) -> list[dict]:
    """One configuration on one task: a row per measured value."""
    torch.set_num_threads(1)
    task, study = load_task(task_name), changed(load_profile("pocket"), line)
    if "temperature" in line:
        decoding = {c: d.model_copy(update={"temperature": line["temperature"]}) for c, d in task.decoding.items()}
        task = task.model_copy(update={"decoding": decoding})
    if line["asks"] == "generator":
        found = of_generators(study, task, seeds)
    else:
        rows = {key: pd.read_parquet(kept(task, *key)) for key in product(KINDS, seeds)}
        found = of_classifiers(study, task, seeds, rows)
    return [{"line": name, "task": task_name, "what": what, "mean": pd.Series(values).mean(), "sd": pd.Series(values).std(),
             "n": len(values)} for what, values in found.items()]  # fmt: skip


def try_method(name: str, values: dict, task_name: str, lines: dict) -> dict:
    """One compared method under these settings on one task: accuracy on 1,000 test rows, mean over the seeds."""
    torch.set_num_threads(1)
    task, study = load_task(task_name), load_profile("pocket").model_copy(update={"transfer_from": lines["transfer_from"]})
    rows, classifier = TaskRows(task, study), pretrained.load_classifier(study.classifier, study.compute)
    test, found, module = pairs.draw(task.task, "test", 0, 1000), [], methods.method(name).module
    lender = lending.Lender(rows, study, Runs(ROOT / "runs" / "pocket-search"), classifier.name, lambda _: "")
    for seed in lines["seeds"]:
        lent = replace(lender.lend(seed), once=lambda *asked: asked[-1]())
        given = Given(task, classifier, *rows.few_shot(seed), test, seed, study.prompt_tuning, lent)
        scores_BC = module.run(given, module.Settings.model_validate(values)).logits["best"]
        found.append((scores_BC.argmax(-1) == torch.tensor(given.numbers(test))).double().mean().item())
    accuracy = pd.Series(found)
    return {"method": name, "settings": json.dumps(values), "task": task_name, "mean": accuracy.mean(), "sd": accuracy.std(),
            "n": len(found)}  # fmt: skip


def kept(task: Task, kind: str, seed: int) -> Path:
    """Where the rows of the profile's own generators, under its settings, are kept for the classifiers' lines."""
    study = load_profile("pocket")
    writing = study.generation.model_dump(exclude={"curation"})
    made_by = digest_of([study.generator_tuning.model_dump(), writing, recipes.texts(task)])[:12]
    return ROOT / "runs" / "pocket-search" / made_by / f"{task.task}.{kind}.{seed}.parquet"


def write_rows(task_name: str, seeds: list[int]) -> None:
    """Makes them, unless they are there."""
    torch.set_num_threads(1)
    study, task = load_profile("pocket"), load_task(task_name)
    if not all(kept(task, *key).is_file() for key in product(KINDS, seeds)):
        for key, rows in written(study, task, seeds, PER_CLASS).items():
            kept(task, *key).parent.mkdir(parents=True, exist_ok=True)
            write_table(kept(task, *key), rows)


def main(cores: int) -> None:
    """Runs the lines that have no result yet, printing each."""
    lines = read_yaml(LINES)
    seeds, done = lines["seeds"], _done(FOUND, ["line", "task"])
    todo = [(name, line, task) for name, line in lines["lines"].items() for task in TASKS if (name, task) not in done]
    asked = read_yaml(METHOD_LINES)
    done = _done(METHODS_FOUND, ["method", "settings", "task"])
    tries = [(name, values, task, asked) for name, several in asked["lines"].items() for values in several for task in TASKS
             if (name, json.dumps(values), task) not in done]  # fmt: skip
    with ProcessPoolExecutor(cores) as pool:
        if any(line["asks"] == "classifier" for _, line, _ in todo):
            list(pool.map(write_rows, TASKS, [seeds] * len(TASKS)))
        running = {pool.submit(try_out, *one, seeds): (FOUND, ["line", "task"]) for one in todo}
        running |= {pool.submit(try_method, *one): (METHODS_FOUND, ["method", "settings", "task"]) for one in tries}
        for future in as_completed(running):
            path, key = running[future]
            found = future.result()
            rows = pd.DataFrame(found if isinstance(found, list) else [found]).round(4)
            table = pd.concat([pd.read_csv(path), rows], ignore_index=True) if path.is_file() else rows
            with replacing(path) as part:
                table.sort_values(key, kind="stable").to_csv(part, index=False, lineterminator="\n")
            print(rows.to_string(index=False, header=False), flush=True)


def _done(path: Path, key: list[str]) -> set[tuple]:
    return set(pd.read_csv(path)[key].itertuples(index=False, name=None)) if path.is_file() else set()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
