"""Variants of a study on one task: pairs are written and prompts tuned under changed settings, each variant once.

A variant is a profile with something changed. What it makes is kept under a digest of all that went into it, so that two
sweeps that share a variant share its work, and a stopped sweep goes on where it was.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import torch

from dawgen_core import artifacts, generation, methods, prompts, samplers, tuning
from dawgen_core.artifacts import digest_of
from dawgen_core.beyond.compression import Compressed, longest_head
from dawgen_core.data import pretrained, synthetic
from dawgen_core.data.encoding import encode_pairs
from dawgen_core.data.rows import TaskRows
from dawgen_core.data.sources import TaskFile
from dawgen_core.methods.given import Given
from dawgen_core.params import ROOT, Profile

KIND = "dawgen"


class Arms:
    """All variants on one task and group of seeds. root: where they are kept; code: a digest of the code they rest on."""

    def __init__(self, study: Profile, task: TaskFile, seeds: Sequence[int], root: Path, code: str):
        self.study, self.task, self.seeds, self.root, self.code = study, task, list(seeds), root, code
        self.rows, self._drawn = TaskRows(task, study), {}
        vocabulary = self.rows.vocabulary() if study.classifier.is_tiny else ()
        self.classifier = pretrained.load_classifier(study.classifier, study.compute, vocabulary)
        self.test, self.weights = self.rows.test(), self.classifier.weights_digest()
        self.firsts = digest_of(self.rows.first_sentences(10**9, samplers.seeded(0, samplers.FIRSTS))[1])

    def kept(self, what: str, study: Profile, inputs: dict, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """A table from disk (held against its digest), or made and put there. inputs: what it depends on beside the task,
        the seeds, the code, and the few-shot rows of this profile."""
        rows = [frame.values.tolist() for seed in self.seeds for frame in self.few_shot(study, seed)]
        made_from = {"task": self.task.model_dump(exclude={"sources"}), "seeds": self.seeds, "code": self.code,
                     "few_shot": digest_of(rows), "compute": study.compute.model_dump(), **inputs}  # fmt: skip
        folder = self.root / what / digest_of(made_from)[:24]
        if not artifacts.done(folder, "variant", made_from):
            artifacts.begin(folder)
            began = time.perf_counter()
            artifacts.write_table(folder / "table.parquet", make())
            artifacts.finish(folder, "variant", made_from, {}, {"seconds": round(time.perf_counter() - began, 3)})
        return pd.read_parquet(folder / "table.parquet")

    def few_shot(self, study: Profile, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """(train, dev) of a seed under this profile's number of shots, drawn once."""
        if (key := (study.shots, seed)) not in self._drawn:
            self._drawn[key] = TaskRows(self.task, study).few_shot(seed)
        return self._drawn[key]

    def pairs(self, study: Profile, window: int | None = None) -> pd.DataFrame:
        """DawGen's pairs of all seeds (column `seed`), with the oracle's verdicts where there is one.

        window: they are written with a compressed cache (its share is the column `cache`); tuning is as ever.
        """
        inputs = {"generator": study.generator.model_dump(), "files": _files(study.generator.model), "window": window,
                  "tuning": study.generator_tuning.model_dump(exclude={"kinds", "stack"}), "firsts": self.firsts,
                  "generation": study.generation.model_dump(exclude={"curation"})}  # fmt: skip
        return self.kept("pairs", study, inputs, lambda: self._write(study, window))

    def _write(self, study: Profile, window: int | None) -> pd.DataFrame:
        rows, task, settings = TaskRows(self.task, study), self.task, study.generator_tuning
        vocabulary = rows.vocabulary() if study.generator.is_tiny else ()
        generator = pretrained.load_generator(study.generator, study.compute, vocabulary)
        layout, jobs, out = prompts.PromptLayout(task, generator, settings), [], []
        for seed in self.seeds:
            train, _ = rows.few_shot(seed)
            real = [(generator.ids(a)[: settings.max_first_tokens], generator.ids(b)) for a, b in
                    zip(train["sentence1"], train["sentence2"], strict=True)]  # fmt: skip
            jobs.append(tuning.GeneratorJob(KIND, seed, real, [task.number(label) for label in train["label"]]))
        tuned = tuning.tune_generators(layout, jobs, settings, progress=False)
        if window:
            generator = Compressed(generator, longest_head(layout), window)
            layout = prompts.PromptLayout(task, generator, settings)
        n_firsts = int(study.generation.per_class * study.generation.max_attempts_per_row)
        for job, one in zip(jobs, tuned, strict=True):
            ask = generation.continuations(layout, one.q_CSD, study.generation, job.seed)
            firsts = rows.first_sentences(n_firsts, samplers.seeded(job.seed, samplers.FIRSTS))
            found = synthetic.generate(task, ask, firsts, study.generation, progress=False).rows
            out.append(found.join(rows.verdicts(found)).assign(seed=job.seed))
        written = pd.concat(out, ignore_index=True)
        return written.assign(cache=generator.share) if window else written

    def tuned(self, study: Profile, strategy: str, pairs: pd.DataFrame | None) -> pd.DataFrame:
        """Prompt tuning of all seeds at once: seed, accuracy on the test rows, conflict. pairs: of all seeds, or none."""
        settings = study.prompt_tuning
        inputs = {"strategy": strategy, "pairs": pairs is not None and _content(pairs), "weights": self.weights,
                  "settings": settings.model_dump(exclude={"strategies", "stack", "eval_batch_size"}),
                  "test": digest_of(self.test.values.tolist())}  # fmt: skip
        return self.kept("tuned", study, inputs, lambda: self._tune(study, strategy, pairs))

    def _tune(self, study: Profile, strategy: str, pairs: pd.DataFrame | None) -> pd.DataFrame:
        settings, conditions = study.prompt_tuning, []
        for seed in self.seeds:
            train, dev = map(self.encoded, self.few_shot(study, seed))
            own = None if pairs is None else self.encoded(pairs[pairs["seed"] == seed])
            conditions.append(tuning.Condition(strategy, seed, train, own, dev))
        words_C = self.given(study, self.seeds[0]).words()
        start_PD, test, out = prompts.initial_prompt(self.classifier, settings.prompt_tokens), self.encoded(self.test), []
        for i in range(0, len(conditions), settings.stack):
            part = conditions[i : i + settings.stack]
            tuned = tuning.tune_prompts(torch.stack([start_PD] * len(part)), part, self.classifier, words_C, settings,
                                        progress=False)  # fmt: skip
            if errors := [one.error for one in tuned if one.error]:
                raise tuning.DivergedError("\n".join(errors))
            best = torch.stack([one.best_PD for one in tuned])
            found = tuning.predict(best, [test] * len(part), self.classifier, words_C, settings.eval_batch_size)
            for condition, one, logits_BC in zip(part, tuned, found, strict=True):
                conflict = pd.DataFrame(one.trace)["conflict"].mean()
                out.append({"seed": condition.seed, "accuracy": self.accuracy(logits_BC), "conflict": conflict})
        return pd.DataFrame(out)

    def method(self, study: Profile, name: str, values: dict) -> pd.DataFrame:
        """A compared method of all seeds: seed, accuracy."""
        inputs = {"method": name, "values": values, "weights": self.weights, "test": digest_of(self.test.values.tolist()),
                  "budget": study.prompt_tuning.model_dump(exclude={"strategies", "stack", "eval_batch_size"})}  # fmt: skip
        module = methods.method(name).module

        def make() -> pd.DataFrame:
            settings = module.Settings.model_validate(values)
            found = [module.run(self.given(study, seed), settings).logits["best"] for seed in self.seeds]
            return pd.DataFrame({"seed": self.seeds, "accuracy": map(self.accuracy, found)})

        return self.kept("methods", study, inputs, make)

    def given(self, study: Profile, seed: int) -> Given:
        return Given(self.task, self.classifier, *self.few_shot(study, seed), self.test, seed, study.prompt_tuning)

    def encoded(self, rows: pd.DataFrame) -> prompts.EncodedPairs:
        limits = self.study.prompt_tuning
        return encode_pairs(self.task, self.classifier, rows, max_tokens=limits.max_tokens, shorten=limits.shorten)

    def accuracy(self, scores_BC: torch.Tensor) -> float:
        """Share of the test rows that are answered rightly."""
        labels = torch.tensor([self.task.number(label) for label in self.test["label"]])
        return (scores_BC.argmax(-1) == labels).double().mean().item()


def _content(pairs: pd.DataFrame) -> str:
    return digest_of(pairs[["sentence1", "sentence2", "label", "seed"]].values.tolist())


def _files(model: str) -> dict[str, str]:
    """Digests of a local model's weights; a name on the hub, or of random weights, has none here."""
    return {path.name: artifacts.digest(path) for path in sorted((ROOT / model).glob("*.safetensors"))}
