"""Puts trained pocket models where the study finds them, each with a model card: `python -m dawgen_core.pocket.cards`."""

import argparse
import json
import os
import shutil
from pathlib import Path

from dawgen_core.artifacts import replacing, write_json
from dawgen_core.params import ROOT
from dawgen_core.pocket import corpus, pretraining
from dawgen_core.pocket.gates import REPORT
from dawgen_core.pocket.twins import free_domains

WEIGHTS = REPORT.parent
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")

CARD = Path(__file__).with_name("card.md")


def mixture(plan: dict) -> str:
    """Kinds of text with their shares in percent."""
    shares = corpus.CLASSIFIER_MIXTURE if plan["kind"] == "t5" else corpus.GENERATOR_MIXTURE
    shares = corpus.INSTRUCTION_MIXTURE if "instructed" in plan else shares
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())


def publish(name: str, trained: Path, target: Path = WEIGHTS) -> None:
    """Copies the files of one trained model, with the record of its training and its card."""
    plan, progress = pretraining.MODELS[name], json.loads((trained / "state" / "progress.json").read_text(encoding="utf-8"))
    for file in FILES:
        with replacing(target / name / file) as part:
            shutil.copyfile(trained / file, part)
        os.chmod(target / name / file, 0o644)
    write_json(target / name / "training.json", {**progress, **plan})
    shape = ", ".join(f"{key} {value}" for key, value in plan["shape"].items() if isinstance(value, int) and value)
    is_t5 = plan["kind"] == "t5"
    n = sum(p.numel() for p in pretraining.untrained(name).parameters())
    begins = "random weights from a seed"
    if "instructed" in plan:
        begins = f"`{plan['instructed']}`; it then met the study's own forms, on sister tasks in other domains"
    text = CARD.read_text(encoding="utf-8").format(
        name=name, kind="T5" if is_t5 else "CTRL", millions=n / 1e6, shape=shape, n_tokens=len(pretraining.tokenizer()),
        architecture="T5ForConditionalGeneration" if is_t5 else "CTRLLMHeadModel",
        auto="ModelForSeq2SeqLM" if is_t5 else "ModelForCausalLM", tokens=progress["tokens"], steps=plan["steps"],
        batch=plan["batch"], loss=progress["loss"], mixture=mixture(plan), lr=pretraining.LR,
        begins=begins, minutes=progress["seconds"] / 60, threads=progress["threads"], domains=", ".join(free_domains()),
    )  # fmt: skip
    with replacing(target / name / "README.md") as part:
        part.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m dawgen_core.pocket.cards", description=__doc__)
    parser.add_argument("names", nargs="*", default=list(pretraining.MODELS))
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "pocket-models")
    known = parser.parse_args()
    for one in known.names:
        publish(one, known.folder / one)
