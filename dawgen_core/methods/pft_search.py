"""PFT with automatic verbalizer and template search (LM-BFF, Gao et al. 2021).

Words first: for each class the words that the model itself says most at [MASK] of that class's rows; of all assignments of
different words the ones that get most real rows right, unasked for, and of those the best on dev. Then templates: T5
fills the gaps around the word of the row's class, by a beam search over what is likely for all rows together. The manual
template stands among them; each is fine-tuned, the best on dev is taken.
"""

import itertools
from dataclasses import replace

import torch

from dawgen_core import tuning
from dawgen_core.methods import fine_tuning
from dawgen_core.methods.given import Given, Outcome
from dawgen_core.methods.learner import Learning, accuracy_of, learn, tensors
from dawgen_core.params import Positive
from dawgen_core.tasks import MASK, ClassifierTexts

SEEDED = True


class Settings(Learning):
    """Rate, weight decay; words per class; beams and tokens per gap of the template search; templates that are tuned."""

    words: Positive
    beams: Positive
    gap_tokens: Positive
    templates: Positive


def found_words(given: Given, settings: Settings) -> ClassifierTexts:
    """The task's texts with the verbalizer of the search."""
    classifier, train, dev = given.classifier, given.encoded(given.train), given.encoded(given.dev)
    tokens = classifier.tokenizer.convert_ids_to_tokens(range(len(classifier.tokenizer)))
    whole_V = torch.tensor([i for i, t in enumerate(tokens) if t.startswith("▁") and t[1:].isascii() and t[1:].isalpha()])
    asked = [tuning.predict(None, [rows], classifier, whole_V.to(classifier.device), given.limits.eval_batch_size)[0]
             for rows in (train, dev)]  # fmt: skip
    labels, n = torch.tensor(train.labels), len(given.task.labels)
    likely = [asked[0].log_softmax(-1)[labels == c].mean(0).topk(settings.words).indices.tolist() for c in range(n)]
    choices = [choice for choice in itertools.product(*likely) if len(set(choice)) == n]
    rate = lambda scores, rows: lambda choice: accuracy_of(scores[:, list(choice)], rows)  # noqa: E731
    kept = sorted(choices, key=rate(asked[0], train), reverse=True)[: settings.words]
    best = max(kept, key=rate(asked[1], dev))
    words = [tokens[whole_V[i]].removeprefix("▁") for i in best]
    verbalizer = dict(zip(given.task.labels, words, strict=True))
    return given.task.classifier.model_copy(update={"verbalizer": verbalizer})


@torch.inference_mode()
def found_templates(given: Given, settings: Settings, texts: ClassifierTexts) -> list[str]:
    """Templates "{first} ... [MASK] ... {second}", likeliest first; what stands around [MASK] was written by T5."""
    model, tokenizer = given.classifier.model, given.classifier.tokenizer
    gap, second, stop = (tokenizer.convert_tokens_to_ids(f"<extra_id_{i}>") for i in range(3))
    rows = [given.classifier.ids(f"{r.sentence1} <extra_id_0> {texts.verbalizer[r.label]} <extra_id_1> {r.sentence2}")
            for r in given.train.itertuples()]  # fmt: skip
    ids_BT, kept_BT = tensors(rows, given.classifier)
    encoded = model.encoder(input_ids=ids_BT, attention_mask=kept_BT)
    never = [i for i in tokenizer.all_special_ids if i not in (second, stop)]
    beams, ended = [(0.0, [given.classifier.decoder_ids[0], gap])], []
    for _ in range(2 * settings.gap_tokens + 2):
        grown = []
        for score, written in beams:
            ids = torch.tensor([written], device=ids_BT.device).expand(len(rows), -1)
            last_BV = model(encoder_outputs=encoded, attention_mask=kept_BT, decoder_input_ids=ids).logits[:, -1]
            mean_V = last_BV.float().log_softmax(-1).mean(0)
            mean_V[never] = -torch.inf
            mean_V[stop if second not in written else second] = -torch.inf  # one gap after the other
            in_gap = len(written) - 1 - (written.index(second) if second in written else 1)
            if in_gap >= settings.gap_tokens:  # a full gap must end
                end = torch.tensor([stop if second in written else second], device=mean_V.device)
                mean_V = torch.full_like(mean_V, -torch.inf).index_copy(0, end, mean_V[end])
            top = mean_V.topk(min(settings.beams, int(mean_V.isfinite().sum())))
            grown += [(score + s, [*written, t]) for s, t in zip(top.values.tolist(), top.indices.tolist(), strict=True)]
        grown.sort(key=lambda one: -one[0])
        ended += [one for one in grown[: settings.beams] if one[1][-1] == stop]
        beams = [one for one in grown if one[1][-1] != stop][: settings.beams]
        if not beams:
            break
    out = []
    for _, written in sorted(ended, key=lambda one: -one[0]):
        between = written.index(second)
        before, after = (tokenizer.decode(part).strip() for part in (written[2:between], written[between + 1 : -1]))
        out.append(" ".join(part for part in ("{first}", before, MASK, after, "{second}") if part))
    return list(dict.fromkeys(t for t in out if t.count("{") == 2 and t.count("[") == 1))


def run(given: Given, settings: Settings) -> Outcome:
    """Trainable numbers: all weights. The search costs a fine-tuning per template."""
    texts = found_words(given, settings)
    templates = [texts.template, *found_templates(given, settings, texts)][: settings.templates]
    best, tokens = None, 0
    for number, template in enumerate(templates):
        one = learn(fine_tuning.build(given, texts.model_copy(update={"template": template})), given, settings)
        tokens += one.metrics["tokens"]
        if best is None or one.metrics["dev_best"] > best.metrics["dev_best"]:
            best = replace(one, metrics=one.metrics | {"template": number, "templates": len(templates)})
    return replace(best, metrics=best.metrics | {"tokens": tokens})
