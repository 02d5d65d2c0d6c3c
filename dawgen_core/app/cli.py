"""The `dawgen` command. Exit codes: 0 all is well, 1 a red flag or something stale, 2 wrong input, 3 our own fault,
4 too few rows to judge, 130 interrupted."""

import argparse
import sys
import traceback

from dawgen_core.app import cli_audit, cli_own, cli_studies

ABOUT = ("Synthetic labelled pairs for few-shot prompt tuning. Exit codes: 0 all is well, 1 a red flag or something stale, "
         "2 wrong input, 3 our own fault, 4 too few rows to judge, 130 interrupted.")  # fmt: skip
LONGEST = 5000  # characters of an error's message
COMMANDS = {
    "fit": (cli_own.fit_options, cli_own.FIT, "labelled pairs in, a classifier out"),
    "predict": (cli_own.predict_options, cli_own.PREDICT, "labels for new pairs"),
    "import-prompt": (cli_own.import_options, cli_own.IMPORT, "a published soft prompt, in PEFT's format"),
    "audit": (cli_audit.options_of, cli_audit.EXAMPLES, "what is wrong with labelled pairs?"),
    "plan": (cli_studies.plan_options, cli_studies.PLAN, "jobs and costs of a profile, before it starts"),
    "run": (cli_studies.run_options, cli_studies.RUN, "every notebook of a profile"),
    "why": (cli_studies.why_options, cli_studies.WHY, "what a run is made of, and what is stale"),
}


def main(argv: list[str] | None = None) -> int:
    """Parses the command line, runs the subcommand, and turns wrong input into a sentence on stderr."""
    parser = argparse.ArgumentParser("dawgen", description=ABOUT)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (add_options, examples, about) in COMMANDS.items():
        add_options(commands.add_parser(name, help=about, epilog=examples,
                                        formatter_class=argparse.RawDescriptionHelpFormatter))  # fmt: skip
    options = parser.parse_args(argv)
    from dawgen_core.app.reproduce import StoppedError  # heavy: torch, which --help and a wrong option do without
    from dawgen_core.artifacts import ArtifactError

    try:
        return options.run(options)
    except (ValueError, OSError, ArtifactError) as error:
        print(f"dawgen {options.command}: {_shown(error)}", file=sys.stderr)
        return 2
    except StoppedError as error:
        print(f"dawgen {options.command}: {_shown(error)}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        kept = "the same command goes on where it was" if options.command in ("fit", "run") else "nothing was written"
        print(f"interrupted; {kept}", file=sys.stderr)
        return 130
    except Exception:  # Python's own exit code would be 1, and read as a red flag
        traceback.print_exc()
        return 3


def _shown(error: Exception) -> str:
    """Its message, at most LONGEST characters of it; what could steer a terminal is written out."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(error)[:LONGEST])


if __name__ == "__main__":
    sys.exit(main())
