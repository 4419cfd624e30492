"""`avalan completion`: a script that lets the Tab key complete commands in a shell.

The scripts are short and the same for every version: at each key press they ask `avalan
completion SHELL --words -- …` what could come next. A script with all options written into it
would be faster by the start of Python (about 0.1 s of processor time for the largest command),
but it would be wrong after each upgrade, could not know the models on the disk, and would have the
rules of the command line written a second time in three languages.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from avalan import cli
from avalan.cli.completion import Candidate, Offer, offer
from avalan.cli.console import Console
from avalan.cli.parser import Parser
from avalan.cli.shell_words import bash_line, bash_replies, plain
from avalan.errors import UsageError
from avalan.locale import _

SHELLS = ("bash", "zsh", "fish")
_SCRIPTS = Path(__file__).parents[1] / "shells"


def configure(parser: Parser) -> None:
    """A shell; what its script asks is hidden."""
    parser.description = "\n\n".join(
        (
            _("Print a script that lets the Tab key complete commands."),
            _(
                "With it, Tab completes commands, options and their values, files and folders, "
                "the models on this disk and the names of indexes. The script asks the installed "
                "avalan what could come next, so it need not be renewed; no model is loaded and "
                "no network is tried."
            ),
        )
    )
    parser.epilog = _("To keep it, put the line for your shell where it says.")
    parser.examples = (
        'eval "$(avalan completion bash)"  # ~/.bashrc',
        'eval "$(avalan completion zsh)"   # ~/.zshrc',
        "avalan completion fish > ~/.config/fish/completions/avalan.fish",
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=_("bash, zsh or fish"))
    parser.add_argument("words", nargs="*", default=[], help=argparse.SUPPRESS)
    parser.add_argument(
        "--words", dest="is_asked", action="store_true", help=argparse.SUPPRESS, default=False
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the script, or what a script has asked for."""
    if args.is_asked:
        console.write("".join(f"{line}\n" for line in reply(args.shell, args.words)))
        return 0
    if args.words:
        raise UsageError(
            "avalan completion has no place for {word!r}; it takes one shell, as: avalan "
            "completion bash",
            word=args.words[0],
        )
    script = (_SCRIPTS / f"avalan.{args.shell}").read_text(encoding="utf-8")
    if console.as_json:
        console.json({"shell": args.shell, "script": script})
    else:
        console.write(script)
    return 0


def reply(shell: str, words: Sequence[str]) -> list[str]:
    """What a shell's script reads: which paths to add (none, files, folders), then the candidates.

    bash gets what it is to insert; zsh and fish get each candidate, a tab and its explanation.

    Args:
        words: as the shell has them after the command's name, the current one last.
    """
    if shell == "bash":
        line = bash_line(words)
        found = _offer(line.words, line.current.text)
        return [found.paths, *bash_replies(line, found.candidates)]
    # fish has taken the quotes off already, but for the word that is being typed.
    *before, current = words or [""]
    before = before if shell == "fish" else [plain(word).text for word in before]
    found = _offer(before, plain(current).text)
    return [found.paths, *map(_explained, found.candidates)]


def _offer(words: Sequence[str], current: str) -> Offer:
    return offer(cli.ROOT, words, current)


def _explained(candidate: Candidate) -> str:
    return f"{candidate.word}\t{candidate.about}".rstrip("\t")
