"""Shared fixtures: the smoke profile, two tasks, tiny frozen models. Everything offline and on one thread."""

import copy
import os

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
from requirements_plugin import pytest_runtest_makereport  # noqa: F401  a hook, found by its name

from dawgen_core import backbones, params, tasks
from dawgen_core.data import pretrained, profiles
from dawgen_core.data.rows import TaskRows

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def smoke() -> params.Profile:
    return profiles.load_profile("smoke")


@pytest.fixture(scope="session")
def mrpc() -> tasks.Task:
    return profiles.load_task("mrpc")


@pytest.fixture(scope="session")
def sick() -> tasks.Task:
    return profiles.load_task("sick")


@pytest.fixture(scope="session")
def mrpc_rows(smoke, mrpc) -> TaskRows:
    return TaskRows(mrpc, smoke)


@pytest.fixture(scope="session")
def texts(smoke, mrpc, sick) -> list[str]:
    """What the tiny vocabularies are built from: the texts of both tasks first, then their rows."""
    of_tasks = [TaskRows(task, smoke).vocabulary() for task in (mrpc, sick)]
    return [" ".join(own for own, *_ in of_tasks), *(row for _, *rows in of_tasks for row in rows)]


@pytest.fixture(scope="session")
def classifier(smoke, texts) -> backbones.Classifier:
    return pretrained.load_classifier(smoke.classifier, smoke.compute, texts)


@pytest.fixture(scope="session")
def generator(smoke, texts) -> backbones.Generator:
    return pretrained.load_generator(smoke.generator, smoke.compute, texts)


def in_float64(frozen: backbones.Frozen) -> backbones.Frozen:
    return type(frozen)(copy.deepcopy(frozen.model).double(), frozen.tokenizer, frozen.name)


@pytest.fixture(scope="session")
def classifier64(classifier) -> backbones.Classifier:
    return in_float64(classifier)


@pytest.fixture(scope="session")
def generator64(generator) -> backbones.Generator:
    return in_float64(generator)
