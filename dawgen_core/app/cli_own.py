"""`dawgen fit` and `dawgen predict`: options, and what they print."""

import argparse
import sys
from pathlib import Path

from dawgen_core.app.cli_studies import cores

FIT = """\
examples:
  dawgen fit pairs.csv --text a b --label y
  dawgen fit pairs.csv --text a b --label y --check              # read, check and propose only
  dawgen fit pairs.csv --text a b --label y --profile paper      # T5-large and CTRL; a GPU
  dawgen fit pairs.csv --text a b --label y --words same=yes different=no --sentences more_first_sentences.txt

In five lines of Python:
  from dawgen_core.app.fit import fit
  classifier = fit("pairs.csv", text=("a", "b"), label="y")
  print(classifier.about["verdict"])
  print(classifier.predict([("one text", "another text")]))
"""
IMPORT = """\
examples:
  dawgen import-prompt optima_mnli.pt prompts/optima_mnli        # 100 tokens of T5-large
  dawgen import-prompt prompt.safetensors prompts/mine --classifier google/flan-t5-base
"""
PREDICT = """\
examples:
  dawgen predict runs/own/pairs new.csv                          # writes new.predicted.csv
  dawgen predict runs/own/pairs new.jsonl --out labels.csv --prompt real
"""


def fit_options(parser: argparse.ArgumentParser) -> None:
    """Of `dawgen fit`."""
    parser.description = (
        "Tunes a classifier of text pairs on a few labelled ones and on synthetic ones that a generator writes. "
        "FILE: CSV, TSV, JSON lines or parquet, gzip'ed or not. An interrupted run goes on with the same command."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="labelled pairs, 8 or more of each label")
    parser.add_argument("--text", nargs=2, default=["sentence1", "sentence2"], metavar=("A", "B"),
                        help="the columns of the texts (default: sentence1 sentence2)")  # fmt: skip
    parser.add_argument("--label", default="label", metavar="Y", help="the column of the label (default: %(default)s)")
    parser.add_argument("--test", type=Path, metavar="FILE", help="labelled pairs to hold out, in place of a quarter")
    parser.add_argument("--sentences", type=Path, metavar="FILE", help="a text file of first sentences, one a line")
    parser.add_argument("--profile", default="pocket", metavar="NAME",
                        help="whose models and settings (%(default)s: embedded; paper, flan: real ones)")  # fmt: skip
    parser.add_argument("--classifier", metavar="MODEL", help="another T5: a hub id or a folder")
    parser.add_argument("--generator", metavar="MODEL", help="another causal language model: a hub id or a folder")
    parser.add_argument("--template", metavar="TEXT", help="with {first}, {second} and [MASK]; else one is proposed")
    parser.add_argument("--words", nargs="+", metavar="LABEL=WORD", help="label words; else they are proposed")
    parser.add_argument("--shots", type=int, default=16, metavar="N", help="pairs of a label to tune on (%(default)s)")
    parser.add_argument("--per-class", type=int, metavar="N", help="synthetic pairs of a label (the profile's)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="how often all is tuned (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=13, metavar="N", help="the first seed (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="the run folder (default: runs/own/NAME-OF-FILE)")
    parser.add_argument("--again", action="store_true", help="start over where the folder holds another run")
    parser.add_argument("--check", action="store_true", help="say what was read and is proposed, and stop")
    parser.add_argument("--cores", type=cores, default=2, metavar="N", help="processor cores (default: %(default)s)")
    parser.set_defaults(run=_fit)


def _fit(options: argparse.Namespace) -> int:
    from dawgen_core.app import fit, fit_report, fit_told  # heavy: torch

    words = dict(part.partition("=")[::2] for part in options.words or []) or None
    if words and not all(words.values()):
        raise ValueError(f"--words: expected LABEL=WORD, found {' '.join(options.words)}")
    names = ("test", "sentences", "profile", "classifier", "generator", "out", "shots", "per_class", "seed", "seeds",
             "template")  # fmt: skip
    chosen = {name: getattr(options, name) for name in names} | {"words": words}
    given = options.file, tuple(options.text), options.label
    if options.check:
        plan = fit.proposed(*given, **chosen)
        fit.made_before(plan, options.again)
        print("\n".join([*plan.lines, fit_told.lasting(plan.values, options.cores)]))
        return 0
    fitted = fit.fit(*given, cores=options.cores, again=options.again, **chosen)
    print(f"\n{fit_report.text(fitted.about)}\n\n{fitted.folder}: report.html (figures, pairs), README.md (model card), "
          f"prompt/, synthetic/\nNext: dawgen predict {fitted.folder} NEW.csv")  # fmt: skip
    return 0


def predict_options(parser: argparse.ArgumentParser) -> None:
    """Of `dawgen predict`."""
    parser.description = "Writes label and probability beside each pair of a file, a thousand rows in memory at a time."
    parser.add_argument("folder", type=Path, metavar="RUN", help="a folder that `dawgen fit` made")
    parser.add_argument("file", type=Path, metavar="FILE", help="pairs, in columns named as those it was fitted on")
    parser.add_argument("--out", type=Path, metavar="CSV", help="where to write (default: FILE.predicted.csv)")
    parser.add_argument("--spreadsheet", action="store_true",
                        help="put an apostrophe before what a spreadsheet would take for a formula")  # fmt: skip
    parser.add_argument("--prompt", choices=("ours", "real"), default="ours",
                        help="tuned on real and synthetic pairs (default), or on the real ones alone")  # fmt: skip
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> int:
    from dawgen_core.app.fitted import Fitted  # heavy: torch

    out = options.out or options.file.with_name(f"{options.file.name.partition('.')[0]}.predicted.csv")
    fitted = Fitted.load(options.folder)
    made = fitted.predict_file(options.file, out, options.prompt, progress=sys.stderr.isatty(),
                               spreadsheet=options.spreadsheet)  # fmt: skip
    labels = ", ".join(f"{label} {made.labels[label]:,}" for label in fitted.about["names"].values())
    print(f"{out}: {made.rows:,} rows ({labels})")
    if made.warning:
        print(f"warning: {made.warning}", file=sys.stderr)
    if made.formulas:
        print(f"{made.formulas:,} cells begin as a formula does (= + - @): "
              + ("an apostrophe stands before each" if options.spreadsheet else
                 "as they are, for programs; write them with --spreadsheet before you open the file in one"))  # fmt: skip
    return 0


def import_options(parser: argparse.ArgumentParser) -> None:
    """Of `dawgen import-prompt`."""
    parser.description = "Writes a soft prompt that others published in PEFT's format: `PeftModel.from_pretrained` loads it."
    parser.add_argument("file", type=Path, metavar="FILE", help="a .pt (nothing in it is run) or .safetensors file: "
                        "a tensor [tokens, width], or a dictionary that holds one")  # fmt: skip
    parser.add_argument("out", type=Path, metavar="FOLDER", help="where to write; a new folder")
    parser.add_argument("--profile", default="paper", metavar="NAME", help="for whose classifier (default: %(default)s)")
    parser.add_argument("--classifier", metavar="MODEL", help="for another T5: a hub id or a folder")
    parser.set_defaults(run=_import)


def _import(options: argparse.Namespace) -> int:
    from dawgen_core.data import adapters, pretrained, profiles  # heavy: torch

    backbone = None if options.classifier else profiles.load_profile(options.profile).classifier
    model = options.classifier or backbone.model
    config = pretrained.config_of(backbone) if backbone else pretrained.config_at(model)
    prompt_PD = adapters.imported_prompt(options.file, config, model)
    if options.out.is_symlink() or options.out.exists():
        raise ValueError(f"FOLDER: expected a new one, found {options.out}; choose another name")
    adapters.write_prompt(options.out, prompt_PD, config, model)
    print(f"{options.out}: {prompt_PD.shape[0]} tokens of {prompt_PD.shape[1]} numbers for {model}")
    return 0
