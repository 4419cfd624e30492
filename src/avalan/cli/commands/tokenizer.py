"""`avalan tokenizer`: how a tokenizer reads a text, with tokens added to it, and saved."""

import argparse
from pathlib import Path
from typing import Any

from avalan import extras
from avalan.cli.console import Console
from avalan.cli.login import add_login, find_token
from avalan.cli.options import add_fields, as_usage, from_args
from avalan.cli.parser import Parser
from avalan.cli.questions import read_prompt
from avalan.errors import UsageError
from avalan.locale import _
from avalan.model.entities import EngineSettings


def configure(parser: Parser) -> None:
    """A tokenizer, a text, and changes."""
    parser.epilog = _(
        "A box is a token and its id: a special token has a double border, an added one a heavy "
        "border; spaces, line breaks and tabs are signs. A pipe gets a table. With --json one "
        "object: tokenizer, vocab_size, added, saved, text, num_tokens, num_characters, "
        "characters_per_token, tokens."
    )
    parser.examples = (
        'avalan tokenizer "Leo Messi is the GOAT"',
        "echo 'is <my_token> one token?' | avalan tokenizer --token '<my_token>'",
        "avalan tokenizer -t Qwen/Qwen3-0.6B --token '<my_token>' --save ./my_tokenizer",
        "avalan tokenizer -t ./my_tokenizer 'is <my_token> one token?'",
    )
    parser.add_argument(
        "text",
        nargs="?",
        metavar="TEXT",
        help=_("what to read; left out, it is read from a pipe or asked for"),
    )
    parser.add_argument(
        "--tokenizer",
        "-t",
        default="bundled",
        metavar="NAME",
        help=_("a folder with a tokenizer.json, a hub's owner/name, or bundled [bundled]"),
    )
    parser.add_argument(
        "--token",
        dest="tokens",
        action="append",
        metavar="TEXT",
        help=_("a token to add; may be given again"),
    )
    parser.add_argument(
        "--special-token",
        dest="special_tokens",
        action="append",
        metavar="TEXT",
        help=_("a special token to add; may be given again"),
    )
    parser.add_argument(
        "--save", metavar="DIR", help=_("write the tokenizer, tokens added, to DIR")
    )
    add_fields(parser, EngineSettings, ["revision"])
    add_login(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Read the text, save the tokenizer, or both."""
    settings = from_args(
        EngineSettings, args, access_token=find_token(args, console), tokenizer=None
    )
    vocabulary = extras.load("avalan.model.vocabulary")
    if args.save is not None:  # Before anything is downloaded or asked for.
        with as_usage():
            vocabulary.check_folder_to_save(Path(args.save))
    folder = extras.load("avalan.model.load").find_tokenizer_folder(args.tokenizer, settings)
    tokenizer = _load(folder, settings)
    text = _text(args, console)
    saved = None
    if args.save is not None:
        saved = Path(args.save).expanduser()
        vocabulary.save_tokenizer(
            folder, saved, tokens=settings.tokens, special_tokens=settings.special_tokens
        )
    _tell(args, console, tokenizer, text, saved)
    return 0


def _load(folder: Path, settings: EngineSettings) -> Any:
    """The tokenizer with the tokens added."""
    add = extras.load("avalan.model.vocabulary").add_tokens
    return extras.load("avalan.model.prompt").load_tokenizer(
        folder, change=lambda definition: add(definition, settings.tokens, settings.special_tokens)
    )


def _text(args: argparse.Namespace, console: Console) -> str:
    """What to read; may be empty where a tokenizer is saved.

    Raises:
        UsageError: there is nothing to do.
    """
    text: str | None = args.text
    if text is None:
        is_asked = console.answers and args.save is None
        if is_asked:
            text = console.ask(_("Text:") + " ")
        else:
            text = "" if console.answers else read_prompt(console)
    if not text and args.save is None:
        raise UsageError(
            "The text is empty; write it after the command, or pipe it in: "
            'avalan tokenizer "Leo Messi is the GOAT"'
        )
    return text


def _tell(
    args: argparse.Namespace, console: Console, tokenizer: Any, text: str, saved: Path | None
) -> None:
    display = extras.load("avalan.cli.display.tokenization")
    tokens = extras.load("avalan.model.tokenization").read_tokens(tokenizer, text) if text else []
    if console.as_json:
        added = [*(args.tokens or ()), *(args.special_tokens or ())]
        head = {
            "tokenizer": args.tokenizer,
            "vocab_size": tokenizer.vocab_size,
            "added": {token: tokenizer.added_tokens[token] for token in added},
            "saved": None if saved is None else str(saved),
        }
        console.json(head | display.document(tokens, text))
        return
    if text:
        display.show(tokens, console)
        console.note((display.counts_text(tokens, text), "dim"))
    if saved is not None:
        console.note(_("Saved in {folder}; see it with:", folder=saved))
        console.note(f"  avalan tokenizer --tokenizer {saved}")
