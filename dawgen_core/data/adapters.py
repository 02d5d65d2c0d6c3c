"""Soft prompts on disk, in PEFT's own format; those that others published are imported into it."""

import json
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from dawgen_core.artifacts import ArtifactError, read_tensors, replacing
from dawgen_core.backbones import BackboneError, Classifier

LARGEST = 2**28  # bytes of a file to import, packed or not
MOST_TOKENS = 10_000


def save_prompt(folder: Path, prompt_PD: Tensor, classifier: Classifier) -> None:
    """The prompt in PEFT's own format: `PeftModel.from_pretrained(model, folder)` loads it. Encoder only."""
    write_prompt(folder, prompt_PD, classifier.model.config, classifier.name)


def write_prompt(folder: Path, prompt_PD: Tensor, config, name: str) -> None:
    """The same for a T5 of this configuration and name, which need not be loaded."""
    from peft import PromptTuningConfig, TaskType  # heavy

    folder.mkdir(parents=True, exist_ok=True)
    about = PromptTuningConfig(
        task_type=TaskType.SEQ_2_SEQ_LM, num_virtual_tokens=prompt_PD.shape[0], token_dim=prompt_PD.shape[1],
        num_transformer_submodules=1, num_layers=config.num_layers, num_attention_heads=config.num_heads,
        base_model_name_or_path=name, inference_mode=True,
    )  # fmt: skip
    with replacing(folder / "adapter_model.safetensors") as part:
        save_file({"prompt_embeddings": prompt_PD.detach().float().cpu().contiguous()}, part)
    with replacing(folder / "adapter_config.json") as part:
        values = {k: sorted(v) if isinstance(v, set) else v for k, v in about.to_dict().items()}
        part.write_text(json.dumps(values, indent=1, sort_keys=True, default=str) + "\n", encoding="utf-8")


def load_prompt(folder: Path) -> Tensor:
    """The saved prompt [P, D]. Errors: ArtifactError."""
    tensors = read_tensors(folder / "adapter_model.safetensors")
    if set(tensors) != {"prompt_embeddings"} or tensors["prompt_embeddings"].dim() != 2:
        raise ArtifactError(f"{folder}: expected one tensor prompt_embeddings [P, D], found {list(tensors)}")
    return _checked(tensors["prompt_embeddings"], folder)


def imported_prompt(path: Path, config, name: str) -> Tensor:
    """A soft prompt [P, D] that others published for a T5 of this configuration, in float32: the one matrix of floats in a
    .safetensors file or in a .pt, alone or in a dictionary (OPTIMA's are tensors [100, 1024]).

    Of a .pt tensors and plain containers are read; whatever would run code is refused, and never run.
    Errors: ArtifactError, BackboneError for another model than a T5.
    """
    if config.model_type != "t5":
        raise BackboneError(f"expected a T5, which has an encoder for the prompt, found {config.model_type} at {name}")
    if not path.is_file():
        raise ArtifactError(f"expected a soft prompt at {path}, found no file")
    if path.stat().st_size > LARGEST:
        raise ArtifactError(f"{path}: expected a soft prompt of at most {LARGEST:,} bytes, found more; is it a whole model?")
    found = read_tensors(path) if path.suffix == ".safetensors" else _plain_tensors(path)
    known = found if isinstance(found, dict) else {"": found}
    matrices = [one for one in known.values() if isinstance(one, Tensor) and one.dim() == 2 and one.is_floating_point()]
    if len(matrices) != 1:
        raise ArtifactError(f"{path}: expected a matrix of floats [tokens, width], or a dictionary with one, found "
                            f"{len(matrices)} in a {type(found).__name__}")  # fmt: skip
    prompt_PD = _checked(matrices[0], path)
    if prompt_PD.shape[1] != config.d_model:
        raise ArtifactError(f"{path}: expected tokens of {config.d_model} numbers, the width of {name}, found "
                            f"{list(prompt_PD.shape)}; choose the model that it was tuned for")  # fmt: skip
    return prompt_PD.detach().float().contiguous()


def _plain_tensors(path: Path) -> object:
    try:
        if zipfile.is_zipfile(path) and (n := sum(one.file_size for one in zipfile.ZipFile(path).infolist())) > LARGEST:
            raise ValueError(f"parts of {n:,} bytes")
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or hostile file may raise
        raise ArtifactError(f"{path}: expected tensors in torch's format and nothing that runs code, found other things "
                            f"({type(error).__name__}); ask for a .safetensors file") from error  # fmt: skip


def _checked(prompt_PD: Tensor, where: Path) -> Tensor:
    """A prompt that is there, of a size that prompts have, of finite floats. Shape first: a tensor may claim any."""
    plain = prompt_PD.layout == torch.strided and prompt_PD.device.type == "cpu" and prompt_PD.is_floating_point()
    if not (plain and 1 <= prompt_PD.shape[0] <= MOST_TOKENS and 1 <= prompt_PD.shape[1] <= 2**16):
        raise ArtifactError(f"{where}: expected 1 to {MOST_TOKENS:,} tokens, floats [tokens, width], found "
                            f"{list(prompt_PD.shape)} of {prompt_PD.dtype}")  # fmt: skip
    if not prompt_PD.float().isfinite().all():
        raise ArtifactError(f"{where}: expected finite numbers, found NaN or infinity; the tuning that made it went wrong")
    return prompt_PD
