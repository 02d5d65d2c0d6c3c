"""Soft prompts on disk, in PEFT's own format."""

import json
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from dawgen_core.artifacts import ArtifactError, read_tensors, replacing
from dawgen_core.backbones import Classifier


def save_prompt(folder: Path, prompt_PD: Tensor, classifier: Classifier) -> None:
    """The prompt in PEFT's own format: `PeftModel.from_pretrained(model, folder)` loads it. Encoder only."""
    from peft import PromptTuningConfig, TaskType  # heavy

    folder.mkdir(parents=True, exist_ok=True)
    config = PromptTuningConfig(
        task_type=TaskType.SEQ_2_SEQ_LM, num_virtual_tokens=prompt_PD.shape[0], token_dim=prompt_PD.shape[1],
        num_transformer_submodules=1, num_layers=classifier.model.config.num_layers,
        num_attention_heads=classifier.model.config.num_heads, base_model_name_or_path=classifier.name,
        inference_mode=True,
    )  # fmt: skip
    with replacing(folder / "adapter_model.safetensors") as part:
        save_file({"prompt_embeddings": prompt_PD.detach().float().cpu().contiguous()}, part)
    with replacing(folder / "adapter_config.json") as part:
        values = {k: sorted(v) if isinstance(v, set) else v for k, v in config.to_dict().items()}
        part.write_text(json.dumps(values, indent=1, sort_keys=True, default=str) + "\n", encoding="utf-8")


def load_prompt(folder: Path) -> Tensor:
    """The saved prompt [P, D]. Errors: ArtifactError."""
    tensors = read_tensors(folder / "adapter_model.safetensors")
    if set(tensors) != {"prompt_embeddings"} or tensors["prompt_embeddings"].dim() != 2:
        raise ArtifactError(f"{folder}: expected one tensor prompt_embeddings [P, D], found {list(tensors)}")
    return tensors["prompt_embeddings"]
