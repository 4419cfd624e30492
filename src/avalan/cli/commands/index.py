"""`avalan index`: the verbs, each in a module of its own."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from avalan import extras
from avalan.cli.options import as_usage
from avalan.cli.parser import Parser
from avalan.locale import _, _n
from avalan.retrieval.entities import Passage
from avalan.retrieval.index import SyncIndex
from avalan.retrieval.place import DEFAULT_INDEX, located

COMMANDS = {
    "add": (_n("Add files and folders, or bring them up to date"), "avalan.cli.commands.index_add"),
    "search": (
        _n("Show the passages that a question is about"),
        "avalan.cli.commands.index_search",
    ),
    "list": (_n("Show the indexes there are"), "avalan.cli.commands.index_list"),
    "show": (
        _n("Show an index's documents, or one document's passages"),
        "avalan.cli.commands.index_show",
    ),
    "remove": (_n("Delete an index, or forget documents"), "avalan.cli.commands.index_remove"),
}

EXAMPLES = (
    "avalan index add notes/",
    'avalan index search "how long may a file name be"',
    'avalan ask "How long may a file name be?"',
)


def add_name(parser: Parser) -> None:
    """`--name`, also spelled as in `avalan ask --index`."""
    text = _("which index, or a PostgreSQL address [{default}]", default=DEFAULT_INDEX)
    parser.add_argument(
        "--name", "--index", dest="name", default=DEFAULT_INDEX, metavar="NAME", help=text
    )


def add_place(parser: Parser, text: str) -> None:
    """The index's name, and perhaps a document in it."""
    parser.add_argument("name", metavar="NAME", help=_("which index, or a PostgreSQL address"))
    parser.add_argument("file", nargs="?", metavar="FILE", help=text)


def place_of(args: Namespace) -> Path | str:
    """Where the index is that the words mean."""
    with as_usage():
        return located(args.name)


def shown_name(args: Namespace) -> str:
    """What to call the index on a screen: an address goes without its password."""
    place = place_of(args)
    return str(args.name) if isinstance(place, Path) else shown_address(place)


def shown_address(address: str) -> str:
    """An address as a person may see it."""
    postgres = extras.load("avalan.retrieval.postgres_tables", extra="postgres")
    return str(postgres.Address.parse(address).place)


def opened(args: Namespace) -> SyncIndex:
    """The index that the words mean, which must be there."""
    return SyncIndex.open(place_of(args))


def passage_json(passage: Passage) -> dict[str, Any]:
    """A passage, for programs."""
    return {
        "source": passage.source,
        "start": passage.start,
        "end": passage.end,
        "offsets_in": passage.offsets_in,
        "heading": passage.heading,
        "locator": passage.locator,
        "text": passage.text,
    }
