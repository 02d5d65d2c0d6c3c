"""Compared methods, one short file each: `Settings`, `SEEDED` (False: one result for all seeds), `run(given, settings)`, and
`READS` where a method asks for more than the few-shot rows (`given.Lent`)."""

from dataclasses import dataclass
from types import ModuleType

from pydantic import ValidationError

from dawgen_core.methods import (
    calibrated_prompting,
    encoder_fine_tuning,
    fine_tuning,
    hand_prompt,
    in_context,
    lora,
    lstm,
    optima,
    ours_from_ppt,
    ours_from_spot,
    ours_lora,
    p_tuning,
    pet,
    pft,
    pft_demonstrations,
    pft_search,
    pft_soft_prompt,
    ppt,
    ppt_kept,
    prefix_tuning,
    prompting,
    soft_verbalizer,
    spot,
    spot_kept,
    tfidf_logistic,
    tfidf_naive_bayes,
)
from dawgen_core.params import ParamsError, Profile, Record


@dataclass(frozen=True)
class Method:
    """A row of the tables: its file, what it is called, what is trained, where it comes from."""

    module: ModuleType
    title: str
    trains: str
    source: str

    @property
    def file(self) -> str:
        return self.module.__name__.rpartition(".")[2]

    @property
    def reads(self) -> tuple[str, ...]:
        return getattr(self.module, "READS", ())


METHODS = {  # in the order of the tables
    "prompting": Method(prompting, "Prompting", "nothing", "Table 1"),
    "calibrated_prompting": Method(calibrated_prompting, "Prompting, calibrated", "nothing", "Zhao et al. 2021"),
    "hand_prompt": Method(hand_prompt, "Hand prompt", "nothing", "ours"),
    "in_context": Method(in_context, "In-Context", "nothing", "Table 1"),
    "tfidf_naive_bayes": Method(tfidf_naive_bayes, "TF-IDF + naive Bayes", "counts of words", "older paradigm"),
    "tfidf_logistic": Method(tfidf_logistic, "TF-IDF + logistic regression", "weights of pair features", "older paradigm"),
    "lstm": Method(lstm, "Word embeddings + LSTM", "a BiLSTM and a linear map", "older paradigm"),
    "encoder_fine_tuning": Method(encoder_fine_tuning, "Encoder FT", "the encoder and a linear head", "older paradigm"),
    "fine_tuning": Method(fine_tuning, "FT", "the whole model", "Table 1"),
    "pft": Method(pft, "PFT", "the whole model", "Table 1 (LM-BFF)"),
    "pft_demonstrations": Method(pft_demonstrations, "PFT + demonstrations", "the whole model", "LM-BFF"),
    "pft_search": Method(pft_search, "PFT + automatic search", "the whole model", "LM-BFF"),
    "pft_soft_prompt": Method(pft_soft_prompt, "PFT + soft prompt", "the whole model and a soft prompt", "Table 1"),
    "pet": Method(pet, "PET", "a whole model per pattern, a final one", "Schick and Schuetze 2021"),
    "pet_weighted": Method(pet, "PET, weighted", "a whole model per pattern, a final one", "Schick and Schuetze 2021"),
    "soft_verbalizer": Method(soft_verbalizer, "PT + soft verbalizer", "a soft prompt, a row per class", "WARP 2021"),
    "p_tuning": Method(p_tuning, "P-tuning", "a BiLSTM that writes pseudo tokens", "Liu et al. 2021"),
    "prefix_tuning": Method(prefix_tuning, "Prefix-tuning", "an MLP that writes keys and values", "Li and Liang 2021"),
    "lora": Method(lora, "LoRA", "low-rank additions", "Hu et al. 2022 (peft)"),
    "ppt": Method(ppt, "PPT", "a soft prompt", "Table 1"),
    "spot": Method(spot, "SPoT", "a soft prompt", "Table 1"),
    "optima": Method(optima, "OPTIMA", "a soft prompt", "Table 1"),
    "ppt_kept": Method(ppt_kept, "PPT, its pairs kept, surgery", "a soft prompt", "ours"),
    "spot_kept": Method(spot_kept, "SPoT, its rows kept, surgery", "a soft prompt", "ours"),
    "ours_from_ppt": Method(ours_from_ppt, "Ours, started from PPT", "a soft prompt", "ours"),
    "ours_from_spot": Method(ours_from_spot, "Ours, started from SPoT", "a soft prompt", "ours"),
    "ours_lora": Method(ours_lora, "Ours with LoRA", "low-rank additions", "ours, asked for by reviewers"),
}


def method(name: str) -> Method:
    """The row of a method. Errors: ParamsError."""
    if name not in METHODS:
        raise ParamsError(f"methods: expected some of {', '.join(METHODS)}, found {name!r}")
    return METHODS[name]


def settings_of(profile: Profile) -> dict[str, Record]:
    """The checked settings of every method of a profile. Errors: ParamsError with the key and what was found."""
    found = {}
    for name, values in profile.methods.items():
        try:
            found[name] = method(name).module.Settings.model_validate(values)
        except ValidationError as error:
            lines = [f"methods.{name}.{e['loc'][0]}: {e['msg']}, found {e['input']!r}" for e in error.errors()]
            raise ParamsError("\n".join(lines)) from error
    return found
