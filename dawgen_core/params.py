"""Every value of a study as frozen, validated records; `data.profiles` reads them from YAML."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

ROOT = Path(__file__).resolve().parent.parent
PARAMS = ROOT / "params"


class ParamsError(ValueError):
    """A value of a study is missing, misspelt, of the wrong type or impossible."""


class Record(BaseModel):
    """Frozen, strict, no unknown keys, no NaN and no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=100)]  # it becomes a folder name
# One line that tables, pages and plots show as it is: no markup, no formula, nothing invisible.
Title = Annotated[str, Field(pattern=r"^([^\p{C}\p{Zl}\p{Zp}<>|`$\\=+@-][^\p{C}\p{Zl}\p{Zp}<>|`$\\]*)?$", max_length=300)]
Positive = Annotated[int, Field(ge=1, le=10**9)]
STRATEGIES = ("real", "syn", "pooled", "pooled_smoothed", "real_then_syn", "syn_then_real",
              "paired", "paired_surgery", "paired_symmetric", "paired_drop")  # fmt: skip
ARMS = ("none", "exact", "near_duplicate", "anti_copy", "confidence", "temporal_ensemble", "two_sample", "oracle")
Rate = Annotated[float, Field(gt=0)]


class Backbone(Record):
    """A frozen model: a hub id, a local folder, or `tiny:ARCHITECTURE` (random weights of the given shape)."""

    model: Title
    architecture: Name  # transformers' model type: t5 for the classifier, ctrl, gpt2, llama, ... for the generator
    shape: dict[str, int | float | str | bool]  # config values: built for tiny:, checked against the config otherwise
    n_words: Positive | None = None  # tiny: only: how many words of the training rows become tokens

    @property
    def is_tiny(self) -> bool:
        return self.model.startswith("tiny:")

    @model_validator(mode="after")
    def _tiny(self) -> "Backbone":
        if self.is_tiny and self.model != f"tiny:{self.architecture}":
            raise ValueError(f"expected tiny:{self.architecture} for architecture {self.architecture}")
        if not (widths := {"d_model", "n_embd", "hidden_size"}) & set(self.shape):
            raise ValueError(f"shape: expected one of {sorted(widths)} among its keys, found {list(self.shape)}")
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

    kinds: list[Literal["mle", "fewgen", "dawgen", "fewgen_original"]]
    prompt: Literal["soft", "prefix"]
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
    discrimination_rows: Positive  # real rows read at once under all labels in L_disc
    alignment: Literal["class_triplet", "prompt_contrast"]
    margin: Annotated[float, Field(ge=0)]
    weights_over: Literal["batch", "per_label"]
    eos: Literal["token", "learned"]
    max_tokens: Positive
    max_first_tokens: Positive
    stack: Positive  # (kind, seed) prompts tuned at once

    def n_steps(self, n_classes: int) -> int:
        return 160 * n_classes if self.steps == "by_classes" else self.steps

    def of(self, kind: str) -> "GeneratorTuning":
        """The settings of a kind. `fewgen_original` has the net input and the scores of FewGen's own code; its prompt,
        steps and learning rates stay the profile's (FewGen also trains under dropout and decays the net's rate)."""
        original = {"net_reads": "loss", "discrimination": "raw_logit", "weights_over": "batch"}
        return self.model_copy(update=original) if kind == "fewgen_original" else self


class Curation(Record):
    """Arms that choose among the rows of one kind, as many of each class; what an arm keeps is a kind of its own."""

    of: Name
    arms: list[Literal[ARMS]]  # empty: nothing is curated
    kept_per_class: Positive


class Generation(Record):
    """How many rows, how long, and what happens to a sentence that does not end."""

    per_class: Positive
    max_new_tokens: Positive
    batch_size: Positive  # sentences written side by side
    block: Positive  # attempts between two saves
    on_length: Literal["reject", "close"]
    max_attempts_per_row: Annotated[float, Field(ge=1)]
    shard: Positive | None = None  # rows of a label that one job writes; none: a task's job writes all of them
    curation: Curation | None = None


class PromptTuning(Record):
    """Algorithm 2."""

    strategies: list[Literal[STRATEGIES]]
    prompt_tokens: Positive
    optimiser: Literal["adafactor", "adamw"]
    lr: Rate
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Literal["cosine", "constant"]
    clip_norm: Rate
    eps: Annotated[float, Field(ge=0)]
    label_smoothing: Annotated[float, Field(gt=0, lt=1)]  # of pooled_smoothed alone
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
    about: Title
    random_models: bool
    source: Literal["embedded", "local", "hub", "pocket"]
    data_dir: str | None
    tasks: list[Name]
    extra_synthetic: dict[Name, list[Name]] = {}
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]]
    seeds_per_job: Positive
    shots: Positive
    ready_made_splits: Literal["use", "ignore"]
    test_rows: Positive | None = None  # of drawn tasks, in place of the task file's number
    classifier: Backbone
    generator: Backbone
    compute: Compute
    generator_tuning: GeneratorTuning
    generation: Generation
    prompt_tuning: PromptTuning
    methods: dict[Name, dict[str, Any]]  # compared methods and their settings (dawgen_core/methods checks them)
    transfer_from: dict[Name, Name] = {}  # task -> the task whose rows SPoT and OPTIMA learn from
    first_seeds: dict[str, Positive] = {}  # METHOD or GENERATOR/METHOD -> it is run on the first n seeds only

    @model_validator(mode="after")
    def _possible(self) -> "Profile":
        tuning, curation, strategies = self.generator_tuning, self.generation.curation, self.prompt_tuning.strategies
        lists = [("tasks", self.tasks, ()), ("seeds", self.seeds, ()), ("generator_tuning.kinds", tuning.kinds, ("dawgen",)),
                 ("prompt_tuning.strategies", strategies, ("paired", "paired_surgery"))]  # fmt: skip
        lists += [("generation.curation.arms", curation.arms, ("none",))] if curation and curation.arms else []
        for name, values, needed in lists:
            if not values or not set(needed) <= set(values) or len(set(values)) != len(values):
                raise ValueError(f"{name}: expected {', '.join(needed) or 'at least one'} and no repeats, found {values}")
        if self.classifier.architecture != "t5" or self.generator.architecture == "t5":
            raise ValueError("architecture: expected t5 for the classifier and a causal LM for the generator")
        if self.generation.on_length == "close" and not self.random_models:
            raise ValueError("generation.on_length: `close` is for random models only; expected reject")
        if self.random_models != (self.classifier.is_tiny or self.generator.is_tiny):
            raise ValueError("random_models: expected true exactly when a backbone is tiny:")
        if (first := tuning.max_first_tokens) >= tuning.max_tokens:
            raise ValueError(f"generator_tuning.max_first_tokens: expected less than {tuning.max_tokens}, found {first}")
        positions = self.generator.shape.get("n_positions", tuning.max_tokens)
        if isinstance(positions, int) and tuning.max_tokens > positions:
            raise ValueError(f"generator_tuning.max_tokens: expected at most the generator's {positions} positions")
        if extra := set(self.extra_synthetic) - set(self.tasks):
            raise ValueError(f"extra_synthetic: expected tasks of this profile, found {sorted(extra)}")
        if curation and curation.of not in tuning.kinds:
            raise ValueError(f"generation.curation.of: expected one of {tuning.kinds}, found {curation.of!r}")
        if curation and curation.kept_per_class > (most := self.generation.per_class):
            raise ValueError(f"generation.curation.kept_per_class: expected at most {most}, found {curation.kept_per_class}")
        if curation and "oracle" in curation.arms and self.source != "pocket":
            raise ValueError(f"generation.curation.arms: expected `oracle` with source pocket only, found {self.source}")
        return self

    @property
    def curated(self) -> dict[str, str]:
        """Kinds of rows that curation makes, and the arm that makes each: `dawgen_exact` -> `exact`."""
        curation = self.generation.curation
        return {f"{curation.of}_{arm}": arm for arm in curation.arms} if curation else {}

    def kinds(self, task: str) -> list[str]:
        """Every kind of synthetic rows that a task has: written by a generator, released (or drawn) beside, curated."""
        return [*self.generator_tuning.kinds, *self.extra_synthetic.get(task, []), *self.curated]

    def seed_groups(self) -> list[list[int]]:
        """The unit of work: groups of seeds whose prompts are tuned together; a smaller one comes first."""
        starts = sorted({0, *range(len(self.seeds) % self.seeds_per_job, len(self.seeds), self.seeds_per_job)})
        return [self.seeds[a:b] for a, b in zip(starts, [*starts[1:], len(self.seeds)], strict=True)]
