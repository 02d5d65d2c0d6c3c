"""Every value of a study: YAML profiles and task files, read into validated, frozen records.

A profile may `extend` another. Every value line of a profile carries a mark: `# established`,
`# inferred` or `# ours`, then a note (`app.entry.marks` reads them back for the notebooks).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

ROOT = Path(__file__).resolve().parent.parent
PARAMS = ROOT / "params"


class ParamsError(ValueError):
    """A value of a study is missing, misspelt, of the wrong type or impossible."""


class Record(BaseModel):
    """Frozen, strict, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


R = TypeVar("R", bound=Record)
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]  # it becomes a folder name
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Backbone(Record):
    """A frozen model: a hub id, a local folder, or `tiny:t5` / `tiny:ctrl` (random weights of the given shape)."""

    model: str
    architecture: Literal["t5", "ctrl"]
    shape: dict[str, int | float | str | bool]  # config values: built for tiny:, checked against the config otherwise
    n_words: Positive | None = None  # tiny: only: how many words of the training rows become tokens

    @property
    def is_tiny(self) -> bool:
        return self.model.startswith("tiny:")

    @model_validator(mode="after")
    def _tiny(self) -> "Backbone":
        if self.is_tiny and self.model != f"tiny:{self.architecture}":
            raise ValueError(f"expected tiny:{self.architecture} for architecture {self.architecture}")
        width = {"t5": "d_model", "ctrl": "n_embd"}[self.architecture]
        if width not in self.shape:
            raise ValueError(f"shape: expected {width} among its keys, found {list(self.shape)}")
        if self.is_tiny != (self.n_words is not None):
            raise ValueError("n_words: expected for tiny: models, and for them only")
        return self


class Compute(Record):
    """Where and in which number format."""

    device: Literal["auto", "cpu", "cuda"]  # auto: cuda where there is one
    dtype: Literal["auto", "float32", "bfloat16"]  # auto: bfloat16 on cuda, float32 on cpu
    threads: Positive  # fixed: sums on more threads may round differently


class GeneratorTuning(Record):
    """Algorithm 1."""

    kinds: list[Literal["mle", "fewgen", "dawgen"]]
    prompt: Literal["soft"]
    steps: Literal["by_classes"] | Annotated[int, Field(ge=3)]  # by_classes: 160 per class (320 for two, 480 for three)
    rows_per_class: Annotated[int, Field(ge=2)]
    lr: Rate
    clip_norm: Rate
    virtual_lr: Rate
    weight_decay: Annotated[float, Field(ge=0)]
    net_reads: Literal["hidden", "loss"]
    net_lr: Rate
    net_weight_decay: Annotated[float, Field(ge=0)]
    discrimination: Literal["log_ratio", "ratio", "raw_logit"]
    alignment: Literal["class_triplet", "prompt_contrast"]
    margin: Annotated[float, Field(ge=0)]
    weights_over: Literal["batch", "per_label"]
    eos: Literal["token", "learned"]
    max_tokens: Positive
    max_first_tokens: Positive
    stack: Positive  # (kind, seed) prompts tuned at once

    def n_steps(self, n_classes: int) -> int:
        return 160 * n_classes if self.steps == "by_classes" else self.steps


class Generation(Record):
    """How many rows, how long, and what happens to a sentence that does not end."""

    per_class: Positive
    max_new_tokens: Positive
    batch_size: Positive
    on_length: Literal["reject", "close"]
    max_attempts_per_row: Annotated[float, Field(ge=1)]


class PromptTuning(Record):
    """Algorithm 2."""

    strategies: list[Literal["real", "syn", "pooled", "paired", "paired_surgery"]]
    prompt_tokens: Positive
    optimiser: Literal["adafactor", "adamw"]
    lr: Rate
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Literal["cosine", "constant"]
    clip_norm: Rate
    eps: Annotated[float, Field(ge=0)]
    steps: Annotated[int, Field(ge=3)]  # notebook 04 writes three of them out
    eval_every: Positive
    batch_real_per_class: Positive
    batch_syn_per_class: Positive
    max_tokens: Positive
    shorten: Literal["longer_field", "tail"]
    stack: Positive  # prompts tuned at once
    eval_batch_size: Positive


class Profile(Record):
    """A whole study: rows, models, and the settings of every step."""

    extends: str | None = None
    profile: Name
    about: str
    random_models: bool
    source: Literal["embedded", "local", "hub"]
    data_dir: str | None
    tasks: list[Name]
    extra_synthetic: dict[Name, list[Name]] = {}
    seeds: list[Annotated[int, Field(ge=0)]]
    seeds_per_job: Positive
    shots: Positive
    ready_made_splits: Literal["use", "ignore"]
    classifier: Backbone
    generator: Backbone
    compute: Compute
    generator_tuning: GeneratorTuning
    generation: Generation
    prompt_tuning: PromptTuning

    @model_validator(mode="after")
    def _possible(self) -> "Profile":
        for name in ("tasks", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ValueError(f"{name}: expected at least one and no repeats, found {values}")
        if (self.classifier.architecture, self.generator.architecture) != ("t5", "ctrl"):
            raise ValueError("architecture: expected t5 for the classifier and ctrl for the generator")
        if self.generation.on_length == "close" and not self.random_models:
            raise ValueError("generation.on_length: `close` is for random models only; expected reject")
        if self.random_models != (self.classifier.is_tiny or self.generator.is_tiny):
            raise ValueError("random_models: expected true exactly when a backbone is tiny:")
        tuning, strategies = self.generator_tuning, self.prompt_tuning.strategies
        if "dawgen" not in tuning.kinds or len(set(tuning.kinds)) != len(tuning.kinds):
            raise ValueError(f"generator_tuning.kinds: expected dawgen among them and no repeats, found {tuning.kinds}")
        if not {"paired", "paired_surgery"} <= set(strategies) or len(set(strategies)) != len(strategies):
            raise ValueError(f"prompt_tuning.strategies: expected paired, paired_surgery, no repeats, found {strategies}")
        if (first := tuning.max_first_tokens) >= tuning.max_tokens:
            raise ValueError(f"generator_tuning.max_first_tokens: expected less than {tuning.max_tokens}, found {first}")
        positions = self.generator.shape.get("n_positions", tuning.max_tokens)
        if isinstance(positions, int) and tuning.max_tokens > positions:
            raise ValueError(f"generator_tuning.max_tokens: expected at most the generator's {positions} positions")
        if extra := set(self.extra_synthetic) - set(self.tasks):
            raise ValueError(f"extra_synthetic: expected tasks of this profile, found {sorted(extra)}")
        return self

    def seed_groups(self) -> list[list[int]]:
        """The unit of work: groups of seeds whose prompts are tuned together."""
        return [self.seeds[i : i + self.seeds_per_job] for i in range(0, len(self.seeds), self.seeds_per_job)]


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping with unique keys. ParamsError names the file, the line and what was expected."""
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml"))) or "none"
        raise ParamsError(f"expected a file at {path}, found none; known here: {known}")
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _unique_keys(node, path)
        value = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: expected UTF-8 text, found a byte that is not ({error}); re-save it") from error
    except RecursionError as error:
        raise ParamsError(f"{path}: expected plain values, found an alias inside itself") from error
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: expected YAML, found {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise ParamsError(f"{path}: expected keys with values, found {type(value).__name__}")
    return value


def _unique_keys(node: yaml.Node | None, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in seen:
                line = key.start_mark.line + 1
                raise ParamsError(f"{path}, line {line}: expected each key once, a plain word, found {key.value!r}")
            seen.add(key.value)
            _unique_keys(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _unique_keys(item, path)


def validated(record: type[R], values: Mapping[str, Any], where: str | Path) -> R:
    """The record, or a ParamsError that lists every wrong key with its path, what was expected and found."""
    try:
        return record.model_validate(dict(values))
    except ValidationError as error:
        lines = []
        for e in error.errors():
            key = ".".join(str(part) for part in e["loc"]) or "(whole file)"
            found = "" if e["type"] == "missing" or isinstance(e["input"], dict) else f", found {e['input']!r}"
            hint = ""
            if isinstance(e["input"], str) and e["type"] == "float_type":
                hint = " (YAML reads 5e-3 as text: write 5.0e-3)"
            lines.append(f"  {key}: {e['msg']}{found}{hint}")
        raise ParamsError(f"{where}:\n" + "\n".join(lines)) from error


def profile_path(name: str) -> Path:
    """A profile by name (`params/NAME.yaml`), or by the path of a YAML file."""
    return Path(name) if name.endswith(".yaml") else PARAMS / f"{name}.yaml"


def _merged(name: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    if name in seen:
        raise ParamsError(f"extends: expected no circle, found {' -> '.join((*seen, name))}")
    values = read_yaml(profile_path(name))
    base = values.get("extends")
    return _overlay(_merged(base, (*seen, name)), values) if isinstance(base, str) else values


def _overlay(base: dict, top: dict) -> dict:
    whole = ("classifier", "generator", "extra_synthetic")  # a backbone is replaced, never mixed
    out = dict(base)
    for key, value in top.items():
        nested = key not in whole and isinstance(value, dict) and isinstance(base.get(key), dict)
        out[key] = _overlay(base[key], value) if nested else value
    return out


def load_profile(name: str) -> Profile:
    """The profile `params/NAME.yaml` with what it extends, checked. Errors: ParamsError."""
    profile = validated(Profile, _merged(name), profile_path(name))
    if profile.profile != profile_path(name).stem:
        raise ParamsError(f"{profile_path(name)}: profile: expected {profile_path(name).stem}, found {profile.profile}")
    for task in profile.tasks:
        if not (PARAMS / "tasks" / f"{task}.yaml").is_file():
            raise ParamsError(f"{profile_path(name)}: tasks: expected a file params/tasks/{task}.yaml, found none")
    return profile
