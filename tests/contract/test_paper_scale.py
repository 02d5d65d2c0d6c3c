"""The paper's sizes, checked without its weights: shapes on the meta device, the job list, the counts of trained numbers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dawgen_core.app.preflight import on_meta
from dawgen_core.data.profiles import load_profile, load_task
from dawgen_core.params import PARAMS, ROOT

pytestmark = pytest.mark.parametrize("name", ["paper", "flan"])


def count(model: torch.nn.Module, *, without: str = "no such name") -> int:
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith(without))


def test_t5_large(name):
    """v1.1: 783,150,080 numbers, 32,128 x 1,024 of them an output head of its own (transformers 5 builds it tied)."""
    shape = load_profile(name).classifier.shape
    model = on_meta(load_profile(name).classifier)
    assert all(p.is_meta for p in model.parameters())
    assert count(model, without="lm_head") + shape["vocab_size"] * shape["d_model"] == 783_150_080
    assert model.config.scale_decoder_outputs is False
    print(f"T5-large v1.1: {count(model, without='lm_head') + shape['vocab_size'] * shape['d_model']:,}")


def test_ctrl(name):
    model = on_meta(load_profile(name).generator)
    print(f"CTRL: {count(model):,}")
    assert all(p.is_meta for p in model.parameters())
    assert count(model) == 1_637_964_550  # 1.64 billion


def test_the_soft_prompt_has_102_400_numbers(name):
    profile = load_profile(name)
    assert profile.prompt_tuning.prompt_tokens * profile.classifier.shape["d_model"] == 102_400


def test_settings_of_the_paper(name):
    profile = load_profile(name)
    assert profile.shots == 16 and profile.generation.per_class == 1000 and not profile.random_models
    assert profile.generation.on_length == "reject" and profile.generator_tuning.eos == "learned"
    assert [profile.generator_tuning.n_steps(len(load_task(t).labels)) for t in ("mrpc", "mnli")] == [320, 480]
    assert profile.generator_tuning.max_tokens <= profile.generator.shape["n_positions"]


def test_snakemake_plans_every_job(name, tmp_path):
    """Seven tasks x groups of seeds x (tune, generate, prompt), then analysis, tables, all: without GPU, without rows."""
    profile = load_profile(name)
    bin_folder = str(Path(sys.executable).parent)
    env = {k: v for k, v in os.environ.items() if k != "DAWGEN_DATA"} | {"HF_HUB_OFFLINE": "1"}
    env |= {"PATH": f"{bin_folder}{os.pathsep}{env['PATH']}", "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "snakemake", "-n", "--forceall", "--nolock", "--cores", "2", "--quiet", "rules"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path), "--config", f"profile={name}"]
    for folder in ("dawgen_core", "notebooks", PARAMS.name):  # a fresh folder: no lock, nothing done there yet
        (tmp_path / folder).symlink_to(ROOT / folder)
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE))
    each = len(profile.tasks) * len(profile.seed_groups())
    stages = dict.fromkeys(("generator_tuning", "generation", "prompt_tuning"), str(each))
    once = dict.fromkeys(("data_analysis", "tables", "all"), "1")
    assert jobs == stages | once | {"total": str(3 * each + 3)}
