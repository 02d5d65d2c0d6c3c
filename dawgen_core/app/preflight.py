"""Everything that can be known to be wrong before the first long step, asked at once."""

from collections import Counter

import pandas as pd
import torch

from dawgen_core import backbones, methods, samplers
from dawgen_core.data import pretrained
from dawgen_core.data.rows import TaskRows
from dawgen_core.methods import lending
from dawgen_core.params import Backbone, Profile
from dawgen_core.tasks import MASK, TaskError


def preflight(study: Profile, rows: TaskRows) -> pd.DataFrame:
    """Reads all rows of a task and asks the classifier's tokenizer for every label word; one line per thing checked.

    Errors: TaskError, ParamsError, BackboneError, as the later steps would raise them, hours later.
    """
    task, found = rows.task, []
    for backbone in (study.classifier, study.generator):
        if not backbone.is_tiny:
            pretrained.check_files(backbone)
    tokenizer = pretrained.load_tokenizer(study.classifier, rows.vocabulary() if study.classifier.is_tiny else ())
    if "hand_prompt" in methods.settings_of(study) and task.classifier.hand is None:
        raise TaskError(f"{task.task}: expected classifier.hand for the method hand_prompt, found none")
    lending.check(study, task)
    for texts in filter(None, (task.classifier, task.classifier.hand)):
        for label in task.labels:
            backbones.word_id(tokenizer, texts.verbalizer[label], study.classifier.model)
    found.append(("label words", f"{task.classifier.verbalizer}: one token each"))
    n = len(tokenizer(task.classifier.template.replace(MASK, backbones.SENTINEL), add_special_tokens=False)["input_ids"])
    if n >= study.prompt_tuning.max_tokens:
        raise TaskError(f"prompt_tuning.max_tokens: expected more than the template's {n} tokens, "
                        f"found {study.prompt_tuning.max_tokens}")  # fmt: skip
    test = rows.test()
    found.append(("test rows", f"{rows.shown_as}: {dict(sorted(Counter(test['label']).items()))}"))
    for seed in study.seeds:
        rows.few_shot(seed)
    found.append(("few-shot splits", f"{study.shots} rows per label to train on and as many for dev, seeds {study.seeds}"))
    if task.generator.mode == "given_first":
        n_firsts = len(rows.first_sentences(10**9, samplers.seeded(0, samplers.FIRSTS))[0])
        if n_firsts < study.generation.per_class:
            raise TaskError(f"first_sentences: expected {study.generation.per_class} of allowed length, found {n_firsts}")
        found.append(("first sentences", f"{n_firsts:,} of allowed length, none of them in the test set"))
    for kind in study.extra_synthetic.get(task.task, []):
        n = sum(len(rows.released_synthetic(kind, seed, study.generation.per_class)) for seed in study.seeds)
        found.append((kind, f"{n} rows over {len(study.seeds)} seeds"))
    return pd.DataFrame(found, columns=["checked", "found"])


def on_meta(backbone: Backbone) -> torch.nn.Module:
    """The whole model on the meta device: every shape, no memory, no download."""
    with torch.device("meta"):
        return pretrained.auto_class(backbone).from_config(pretrained.config_of(backbone))
