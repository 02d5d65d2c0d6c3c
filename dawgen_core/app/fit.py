"""`dawgen fit`: from a file of labelled pairs to a classifier, by the study's own notebooks 01, 02, 04. A run folder holds

    NAME.yaml, tasks/, rows/            what was set up: a profile, a task, the split
    NAME/, notebooks/, logs/            artifacts, executed notebooks, logs, as of every study
    prompt/, synthetic/                 the soft prompt in PEFT's format, the synthetic pairs with their card
    report.html, README.md, fit.json    the audit with a browser of pairs, the model card, options and figures
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from dawgen_core import artifacts
from dawgen_core.app import fit_report, fit_told, reproduce
from dawgen_core.app.fitted import Fitted, about_of
from dawgen_core.backbones import BackboneError, word_id
from dawgen_core.data import files, own, pretrained, profiles
from dawgen_core.data.sources import TaskFile
from dawgen_core.params import ROOT, Backbone, ParamsError, Profile

FIRSTS_PER_ROW = 1.5  # given first sentences for each wanted pair: some attempts are refused
KEPT = ("tfidf_logistic", "fine_tuning")  # compared on the same rows, beside prompt tuning
DEFAULTS = {"tfidf_logistic": {"c": 10.0}, "fine_tuning": {"lr": 3.0e-5, "weight_decay": 0.01}}
STRATEGIES = ["real", "syn", "paired", "paired_surgery"]


class Proposal(NamedTuple):
    """What `fit` is going to do: the split, first sentences, task and profile as they will be written, and `lines` that say
    it. asked: options, digests of the files, label names; it stands in fit.json."""

    folder: Path
    parts: own.Split
    firsts: list[str]
    task: dict
    values: dict
    lines: list[str]
    asked: dict


def fit(
    file: str | Path, text: tuple[str, str] = ("sentence1", "sentence2"), label: str = "label", *, cores: int = 2,
    again: bool = False, say: Callable[[str], None] = print, **options: Any,
) -> Fitted:  # fmt: skip
    """Sets up a run folder (see `proposed` for the options), runs what is not done yet, and reports: the fitted classifier.

    again: start over where the folder holds a run from other pairs or options. Errors: TaskError, ParamsError,
    BackboneError before any long work; StoppedError when a notebook stopped.
    """
    plan = proposed(file, text, label, **options)
    say("\n".join([*plan.lines, fit_told.lasting(plan.values, cores)]))
    folder, profile = plan.folder, plan.folder / f"{plan.folder.name}.yaml"
    set_up(plan, again=again)
    study = profiles.load_profile(str(profile))
    runs = artifacts.Runs.of(study, str(folder.parent))
    indices = [runs.index(study.tasks[0], name, study.seeds) for name in fit_told.STEPS]
    with fit_told.telling(indices, say):
        code = reproduce.workflow(str(profile), cores, "python3", [str(indices[-1]), "--quiet", "all"], folder.parent)
    if code:
        raise reproduce.StoppedError(f"a notebook stopped, see {folder / 'logs'}; the same command goes on where it was")
    fit_report.write(folder)
    return Fitted.load(folder)


def proposed(
    file: str | Path, text: tuple[str, str] = ("sentence1", "sentence2"), label: str = "label", *,
    test: str | Path | None = None, sentences: str | Path | None = None, profile: str = "pocket",
    classifier: str | None = None, generator: str | None = None, out: str | Path | None = None, shots: int = 16,
    per_class: int | None = None, seed: int = 13, seeds: int = 3, words: dict[str, str] | None = None,
    template: str | None = None,
) -> Proposal:  # fmt: skip
    """Reads and checks the pairs, splits them and proposes texts; writes nothing.

    text: the columns of both sentences. test: pairs to hold out instead of a quarter. sentences: a text file of first
    sentences, one a line (else the generator writes both where there are too few). profile: whose models and settings.
    classifier, generator: other models, a hub id or a folder. seed: of the split; seeds: how often all is tuned, from
    this seed on. words: label -> label word; template: with {first}, {second}, [MASK].
    Errors: TaskError, ParamsError, BackboneError.
    """
    given = {"text": list(text), "label": label, "profile": profile, "classifier": classifier, "generator": generator,
             "shots": shots, "per_class": per_class, "seed": seed, "seeds": seeds, "words": words,
             "template": template}  # fmt: skip
    file, read = Path(file), {"file": file, "test": test, "sentences": sentences}
    read = {name: Path(path) for name, path in read.items() if path}
    for path in read.values():
        files.check_there(path)
    for name, value, least, most in (("--shots", shots, 1, 10**6), ("--per-class", per_class, 1, 10**6),
                                     ("--seeds", seeds, 1, 100), ("--seed", seed, 0, 10**9)):  # fmt: skip
        if value is not None and not least <= value <= most:
            raise ParamsError(f"{name}: expected {least} or more, at most {most:,}, found {profiles.brief(value)}")
    folder = (Path(out) if out else ROOT / "runs" / "own" / _name(file.name.partition(".")[0])).resolve()
    if _name(folder.name) != folder.name or len(folder.name) > 80 or not {*"{}\n\0"}.isdisjoint(str(folder)):
        raise ParamsError("--out: expected a folder named in letters, digits, _ and -, at most 80 of them, no braces above "
                          f"it, found {str(folder)!r:.300}")  # fmt: skip
    base = profiles.load_profile(profile)
    models = {"classifier": classifier, "generator": generator}
    changed = {name: _backbone(model, name) for name, model in models.items() if model}
    base = base.model_copy(update=changed)
    mine = own.read(file, text, label)
    parts = own.split(mine, shots, seed, own.read(read["test"], text, label, mine.names) if test else None)
    firsts = _first_sentences(parts, read.get("sentences"))
    per_class = per_class or base.generation.per_class
    both = len(firsts) < FIRSTS_PER_ROW * per_class
    if both and sentences:
        both, per_class = False, max(1, int(len(firsts) / FIRSTS_PER_ROW))
    task = _task(f"own_{folder.name}", mine, base, both, _plain(file.name), words, template)
    profiles.validated(TaskFile, task, "the task, as proposed")
    about = f"{len(mine.rows)} pairs of {_plain(file.name)}"
    values = _profile(folder.name, task["task"], base, profile, parts, per_class, range(seed, seed + seeds), about)
    values |= {name: one.model_dump(exclude_none=True) for name, one in changed.items()}
    asked = {"options": given, "digests": {name: artifacts.digest(path) for name, path in read.items()}, "names": mine.names}
    lines = fit_told.lines(mine, parts, task, base, both, per_class, _plain(file.name), seeds, shots)
    return Proposal(folder, parts, firsts, task, values, lines, asked)


def made_before(plan: Proposal, again: bool = False) -> bool:
    """Whether the run folder was made from the same pairs and options. again: another run may stand there.

    Errors: ParamsError for a folder of other pairs, of other options, or of something else."""
    folder = plan.folder
    if (folder / "fit.json").is_file():
        changed = _changed(about_of(folder), plan.asked)
        if changed and not again:
            raise ParamsError(f"{folder}: expected the pairs and options that it was made from, found other {changed}; "
                              "choose another --out, or --again to start over")  # fmt: skip
        return not changed
    if folder.exists() and any(folder.iterdir()):
        raise ParamsError(f"{folder}: expected a new folder or one that `dawgen fit` made, found another; choose --out")
    return False


def set_up(plan: Proposal, again: bool = False) -> None:
    """Writes the run folder, whole or not at all; one that was made from the same pairs and options stays as it is.

    Errors: as of `made_before`; TaskError; BusyError where the other run is at work."""
    folder = plan.folder
    if made_before(plan, again):
        return
    if (folder / "fit.json").is_file():
        with reproduce.alone(folder, patience=0):
            shutil.rmtree(folder)
    draft = folder.with_name(f".{folder.name}.draft")
    if draft.is_symlink():
        raise ParamsError(f"expected nothing or a folder at {draft}, found a link; remove it")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        _write(plan, draft)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    if folder.exists():
        folder.rmdir()
    draft.rename(folder)


def _write(plan: Proposal, draft: Path) -> None:
    train, dev, test, rest = plan.parts.train, plan.parts.dev, plan.parts.test, plan.parts.rest
    for seed in plan.values["seeds"]:  # the same rows for each
        _write_rows(draft / "rows" / f"few_shot-{seed}-train.jsonl", train)
        _write_rows(draft / "rows" / f"few_shot-{seed}-dev.jsonl", dev)
    _write_rows(draft / "rows" / "pool.jsonl", pd.concat([train, dev, rest]))
    _write_rows(draft / "rows" / "test.jsonl", test)
    _write_text(draft / "rows" / "sentences.txt", "".join(f"{line}\n" for line in plan.firsts))
    _write_yaml(draft / "tasks" / f"{plan.task['task']}.yaml", plan.task, "The task, as `dawgen fit` proposed it.")
    _write_yaml(draft / f"{plan.folder.name}.yaml", plan.values, "A profile made by `dawgen fit`.")
    profiles.load_profile(str(draft / f"{plan.folder.name}.yaml"))
    profiles.load_task(plan.task["task"])  # both are checked as any other
    artifacts.write_json(draft / "fit.json", plan.asked | {"lines": plan.lines})


def _name(text: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in text).strip("_") or "pairs"


def _plain(name: str) -> str:
    """The name of a file as tables show it: what could be markup is a _."""
    return "".join(c if c.isalnum() or c in " ._-()" else "_" for c in name)[:200]


def _changed(known: dict, asked: dict) -> str:
    """What differs between two requests, in words."""
    found = [key for key in asked["options"] if known["options"].get(key) != asked["options"][key]]
    found += [f"contents of {key}" for key in {*known["digests"], *asked["digests"]}
              if known["digests"].get(key) != asked["digests"].get(key)]  # fmt: skip
    return ", ".join(sorted(found))


def _backbone(model: str, name: str) -> Backbone:
    """The record of a hub id or folder, its width read from its configuration."""
    config = pretrained.config_at(model)
    if (name == "classifier") != (config.model_type == "t5"):
        wanted = "a T5" if name == "classifier" else "a causal language model"
        raise BackboneError(f"--{name}: expected {wanted}, found {config.model_type} at {model}")
    width = next((key for key in ("d_model", "n_embd", "hidden_size") if isinstance(getattr(config, key, None), int)), None)
    if width is None:
        raise BackboneError(f"--{name}: expected a model with a width, found {config.model_type} without one at {model}")
    return Backbone(model=model, architecture=config.model_type, shape={width: getattr(config, width)})


def _first_sentences(parts: own.Split, path: Path | None) -> list[str]:
    """Different first sentences that no held-out pair has: of a file, else of the other pairs."""
    held = {text.casefold() for column in own.COLUMNS[:2] for text in parts.test[column]}
    lines = files.text_lines(path) if path else pd.concat([parts.train, parts.dev, parts.rest])["sentence1"]
    lines = dict.fromkeys(" ".join(line.split()) for line in lines)
    return [line for line in lines if line and line.casefold() not in held]


def _task(
    name: str, mine: own.Own, base: Profile, both: bool, file: str, words: dict | None, template: str | None
) -> dict:
    tokenizer = None if base.classifier.is_tiny else pretrained.load_tokenizer(base.classifier)
    texts = own.classifier_texts(mine, base, tokenizer, words)
    texts = texts.model_copy(update={"template": template} if template else {})
    if tokenizer and words:
        for word in texts.verbalizer.values():
            word_id(tokenizer, word, base.classifier.model)  # one token each, or it is said here
    generator, decoding = own.generator_texts(mine, base, both)
    rows = {"train": {"file": "pool.jsonl"}, "test": {"file": "test.jsonl"}, "ready_made": "few_shot-{seed}-{split}.jsonl",
            "shown_as": f"held-out pairs of {file}",
            "first_sentences": {"file": "sentences.txt", "min_words": 1, "max_words": 100}}  # fmt: skip
    return {"task": name, "title": name.removeprefix("own_"), "labels": list(mine.names),
            "classifier": texts.model_dump(exclude_none=True), "generator": generator.model_dump(),
            "decoding": {k: rule.model_dump() for k, rule in decoding.items()},
            "reject_containing": ["\n"], "sources": {"local": rows}}  # fmt: skip


def _profile(
    name: str, task: str, base: Profile, base_name: str, parts: own.Split, per_class: int, seeds: range, about: str
) -> dict:
    """The base profile with what is the user's in place of its tasks and rows."""
    shots, enough = len(parts.train) // parts.train["label"].nunique(), len(parts.dev) >= len(parts.train)
    tuning = {"strategies": STRATEGIES} | ({} if enough else {"eval_every": base.prompt_tuning.steps})  # the last is kept
    nothing = {key: dict.fromkeys(getattr(base, key)) for key in ("extra_synthetic", "transfer_from", "first_seeds")}
    methods = dict.fromkeys(base.methods) | {key: base.methods.get(key, DEFAULTS[key]) for key in KEPT}
    return {"extends": base_name, "profile": name, "about": about, "source": "local", "data_dir": "rows", "tasks": [task],
            "seeds": list(seeds), "seeds_per_job": len(seeds), "shots": shots, "ready_made_splits": "use", "test_rows": None,
            "generator_tuning": {"kinds": ["dawgen"]}, "generation": {"per_class": per_class, "curation": None},
            "prompt_tuning": tuning, "methods": methods, **nothing}  # fmt: skip


def _write_rows(path: Path, rows: pd.DataFrame) -> None:
    _write_text(path, rows[own.COLUMNS].to_json(orient="records", lines=True, force_ascii=False))


class _Lines(yaml.SafeDumper):
    """Every text on one line, so that a mark can stand behind it."""

    def represent_str(self, text: str) -> yaml.ScalarNode:
        """In double quotes where a plain or single-quoted text would go over the line's end."""
        return self.represent_scalar("tag:yaml.org,2002:str", text, '"' if not text.isprintable() else None)


_Lines.add_representer(str, _Lines.represent_str)


def _write_yaml(path: Path, values: dict, title: str) -> None:
    text = yaml.dump(values, Dumper=_Lines, sort_keys=False, width=10**9, default_flow_style=None)
    lines = [line if line.endswith(":") else f"{line}  # ours: dawgen fit" for line in text.splitlines()]
    _write_text(path, f"# {title}\n" + "\n".join(lines) + "\n")


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with artifacts.replacing(path) as part:
        part.write_text(text, encoding="utf-8")
