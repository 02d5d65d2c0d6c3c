"""`make pocket-models`: trains the pocket models from seeds. Resumable, with progress; every block of text has its own seed.

The learning rate follows the scale of each tensor (Adafactor): with one rate for all, these small models sit on a plateau.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from tqdm.auto import tqdm
from transformers.optimization import Adafactor

from dawgen_core import samplers
from dawgen_core.artifacts import replacing, write_json
from dawgen_core.params import ROOT
from dawgen_core.pocket import corpus, lexicon

CTRL = {"n_positions": 128, "initializer_range": 0.08, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
T5 = {"d_model": 128, "d_kv": 32, "num_heads": 4, "d_ff": 256, "num_layers": 3, "num_decoder_layers": 2,
      "feed_forward_proj": "gated-gelu_pytorch_tanh", "dropout_rate": 0.0, "decoder_start_token_id": 0}  # fmt: skip
MODELS = {  # name -> what is built, how long it reads, and (instructed) what it is before
    "pocket-t5": {"kind": "t5", "steps": 15000, "batch": 32, "shape": T5},
    "pocket-flan-t5": {"kind": "t5", "instructed": "pocket-t5", "steps": 3000, "batch": 32, "shape": T5},
    "pocket-ctrl": {"kind": "ctrl", "steps": 24000, "batch": 32,
                    "shape": CTRL | {"n_embd": 128, "n_layer": 4, "n_head": 4, "dff": 384}},
    "pocket-ctrl-small": {"kind": "ctrl", "steps": 24000, "batch": 32,
                          "shape": CTRL | {"n_embd": 64, "n_layer": 3, "n_head": 4, "dff": 192}},
    "pocket-ctrl-large": {"kind": "ctrl", "steps": 24000, "batch": 32,
                          "shape": CTRL | {"n_embd": 160, "n_layer": 5, "n_head": 5, "dff": 480}},
}  # fmt: skip
LR, WARM_UP, SAVE_EVERY = 1e-2, 200, 500
PREFIXES = ((0.6, 4), (1.0, 12))  # (until this share of the steps, up to so many random words): short ones learn faster


def tokenizer() -> transformers.T5Tokenizer:
    """A word is a token; what is no word of the language is spelt, letter by letter."""
    known = ["<pad>", "</s>", "<unk>", "▁"]
    found = sorted({*lexicon.words(), *corpus.extra_words()})
    letters = [chr(i) for i in range(33, 127)]
    pieces = [(piece, 0.0 if piece != "▁" else -20.0) for piece in known] + [(f"▁{word}", -5.0) for word in found]
    pieces += [(letter, -20.0) for letter in letters] + [(f"<extra_id_{i}>", 0.0) for i in reversed(range(4))]
    return transformers.T5Tokenizer(vocab=pieces, extra_ids=4)


def untrained(name: str) -> torch.nn.Module:
    """The model before its first step, from a seed."""
    kind, shape = MODELS[name]["kind"], MODELS[name]["shape"] | {"vocab_size": len(tokenizer())}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "t5":
            return transformers.T5ForConditionalGeneration(transformers.T5Config(**shape, tie_word_embeddings=True))
        return transformers.CTRLLMHeadModel(transformers.CTRLConfig(**shape))


def batches(plan: dict, encode, block: int, longest_prefix: int) -> Iterator[dict[str, torch.Tensor]]:
    """One block of text in batches of texts of similar length, in seeded order."""
    end, kind, size = 1, plan["kind"], plan["batch"]  # 1: </s>
    if kind == "t5":
        texts = corpus.classifier_block(block, longest_prefix, "instructed" in plan)
        rows = [(encode(source), [*encode(target), end]) for source, target in texts]
    else:
        rows = [(encode(given), [*encode(text), end]) for given, text in corpus.generator_block(block)]
    rows.sort(key=lambda row: (len(row[0]), len(row[1])))
    groups = [rows[i : i + size] for i in range(0, len(rows), size)]
    for i in torch.randperm(len(groups), generator=samplers.seeded(corpus.STREAM, 2, block)).tolist():
        sources, targets = zip(*groups[i], strict=True)
        if kind == "t5":
            ids_BT, kept_BT = _padded(sources, 0)
            labels_BT = _padded(targets, -100)[0]
        else:
            ids_BT, kept_BT = _padded([given + text for given, text in groups[i]], 0)
            labels_BT = _padded([[-100] * len(given) + text for given, text in groups[i]], -100)[0]
        yield {"input_ids": ids_BT, "attention_mask": kept_BT, "labels": labels_BT}


def _padded(rows: Sequence[list[int]], value: int) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    ids = torch.tensor([row + [value] * (width - len(row)) for row in rows])
    return ids, torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])


def prefix_at(share: float) -> int:
    """The longest prefix of random words when this share of the steps is done."""
    return next(length for until, length in PREFIXES if share < until)


def pretrain(name: str, folder: Path, threads: int, device: str = "cpu") -> None:
    """Trains to the end, from the last save if there is one; the folder then holds what `from_pretrained` loads.

    Errors: SystemExit where the model it begins as is not there yet.
    """
    torch.set_num_threads(threads)
    plan, tokens, started = MODELS[name], tokenizer(), time.monotonic()
    n_steps, before = plan["steps"], plan.get("instructed")
    if before and not (folder.parent / before / "config.json").is_file():
        raise SystemExit(f"{name}: expected {before}, which it begins as, in {folder.parent}, found none; train it first")
    model = transformers.T5ForConditionalGeneration.from_pretrained(folder.parent / before) if before else untrained(name)
    model.to(device).train()
    cache: dict[str, list[int]] = {}

    def encode(text: str) -> list[int]:
        out = []
        for word in text.split():
            if word not in cache:
                cache[word] = tokens(word, add_special_tokens=False)["input_ids"]
            out += cache[word]
        return out

    optimiser = Adafactor(model.parameters(), lr=LR, scale_parameter=True, relative_step=False, warmup_init=False)
    state = folder / "state"
    begun = (state / "progress.json").is_file()
    done = _resumed(model, optimiser, state) if begun else {"step": 0, "tokens": 0, "seconds": 0.0}
    step, n_read, per_block = done["step"], done["tokens"], corpus.BLOCK // plan["batch"]
    bar, losses = tqdm(total=n_steps, initial=step, desc=name, mininterval=10), []
    while step < n_steps:
        block = step // per_block
        longest_prefix = prefix_at(block * per_block / n_steps)
        for i, batch in enumerate(batches(plan, encode, block, longest_prefix)):
            if i < step % per_block or step >= n_steps:
                continue
            rate = LR * min(1.0, (step + 1) / WARM_UP) * max(0.02, 0.5 * (1 + math.cos(math.pi * step / n_steps)))
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss = model(**{key: value.to(device) for key, value in batch.items()}).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            step, n_read = step + 1, n_read + int(batch["attention_mask"].sum())
            losses.append(loss.item())
            bar.update()
            if step % SAVE_EVERY == 0 or step == n_steps:
                bar.set_postfix(loss=sum(losses) / len(losses), tokens=f"{n_read:,}")
                seconds = done["seconds"] + time.monotonic() - started
                _save(model, optimiser, state, {"step": step, "tokens": n_read, "seconds": seconds,
                                                "threads": threads, "loss": sum(losses) / len(losses)})  # fmt: skip
                losses = []
    model.cpu().eval().save_pretrained(folder)
    tokens.save_pretrained(folder)


def _save(model, optimiser, state: Path, progress: dict) -> None:
    state.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{k}": v.clone() for k, v in model.state_dict().items()}
    for i, one in enumerate(optimiser.state_dict()["state"].values()):
        tensors |= {f"optimiser.{i}.{k}": torch.as_tensor(v).clone() for k, v in one.items() if v is not None}
    with replacing(state / "state.safetensors") as part:
        save_file(tensors, part)
    write_json(state / "progress.json", progress)


def _resumed(model, optimiser, state: Path) -> dict:
    tensors = load_file(state / "state.safetensors")
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    values: dict[int, dict] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, i, name = key.split(".", 2)
            values.setdefault(int(i), {})[name] = value.item() if name in ("step", "RMS") else value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": values, "param_groups": groups})
    return json.loads((state / "progress.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m dawgen_core.pocket.pretraining", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(MODELS)}; all, in this order, when none is named")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "pocket-models")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    known = parser.parse_args()
    if unknown := set(known.names) - set(MODELS):
        parser.error(f"expected names of {', '.join(MODELS)}, found {', '.join(sorted(unknown))}")
    for one in known.names or MODELS:
        pretrain(one, known.folder / one, known.threads, known.device)
