"""`avalan index search`: the passages that a question is about, and why they were found."""

import textwrap
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from typing import Any

from avalan import extras
from avalan.cli.commands.index import add_name, opened, passage_json, shown_name
from avalan.cli.console import Console, Part
from avalan.cli.display.layout import MAX_WIDTH, path_text, wrap
from avalan.cli.options import whole_number
from avalan.cli.parser import Parser
from avalan.errors import UsageError
from avalan.locale import _, ngettext
from avalan.retrieval.entities import Passage
from avalan.retrieval.index import MODES

_INDENT = "   "


def configure(parser: Parser) -> None:
    """A question, and how to look for it."""
    parser.description = _("Show the passages that a question is about, best first.")
    parser.add_argument("query", metavar="QUERY", help=_("words or a question"))
    add_name(parser)
    text = _("how many passages to show [5]")
    parser.add_argument("--top-k", type=_count, default=5, metavar="K", help=text)
    text = _("by words and meaning (hybrid), by words (lexical), or by meaning (dense) [hybrid]")
    parser.add_argument("--mode", choices=MODES, default="hybrid", help=text)
    parser.epilog = _(
        "Behind a place stand the score and its parts: BM25 of shared words, and the cosine of "
        "meaning. With --json also the places of the words found, in characters of the text."
    )
    parser.examples = (
        'avalan index search "parking for visitors"',
        'avalan index search "where may I leave my car" --mode dense --top-k 3',
    )
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    if (count := whole_number(text)) < 1:
        raise ArgumentTypeError(_("{text} is not a number of passages; give 1 or more", text=text))
    return count


def run(args: Namespace, console: Console) -> int:
    """Search and show."""
    if not args.query.strip():
        raise UsageError('The query is empty; write words or a question: avalan index search "…"')
    with opened(args) as index:
        passages = index.search(args.query, args.top_k, mode=args.mode)
    find = extras.load("avalan.retrieval.marks").matches
    matches = find(args.query, [passage.text for passage in passages])
    if console.as_json:
        pairs = zip(passages, matches, strict=True)
        console.json([_document(passage) | {"matches": found} for passage, found in pairs])
    elif not passages:
        console.note(
            _(
                "No passage in the index {name!r} shares a word with the query.",
                name=shown_name(args),
            )
        )
    for rank, (passage, found) in enumerate(zip(passages, matches, strict=True), 1):
        _show(rank, passage, found, console)
    return 0


def _document(passage: Passage) -> dict[str, Any]:
    scores = {"score": passage.score, "lexical": passage.lexical, "dense": passage.dense}
    also = [passage_json(each) for each in passage.also]
    return passage_json(passage) | scores | {"also": also}


def _show(rank: int, passage: Passage, found: list[tuple[int, int]], console: Console) -> None:
    place = f"{path_text(passage.source)}:{passage.start}-{passage.end}"
    parts = [f"{passage.score:.2f}", f"BM25 {passage.lexical:.2f}"]
    if passage.dense is not None:
        parts.append(_("cosine {cosine:.2f}", cosine=passage.dense))
    console.print((f"{rank}. ", "bold"), (place, "cyan"), ("  " + " · ".join(parts), "dim"))
    for where in dict.fromkeys((passage.heading, passage.page)):
        if where:
            console.print((_INDENT + where, "bold"))
    for line in _lines(passage.text, found, console):
        console.print(_INDENT, *line)
    if passage.also:
        text = ngettext(
            "the same stands in {places}", "the same stands in {places}", len(passage.also),
            places=", ".join(f"{path_text(each.source)}:{each.start}" for each in passage.also),
        )  # fmt: skip
        console.print((_INDENT + text, "dim"))
    console.print()


def _lines(text: str, found: list[tuple[int, int]], console: Console) -> list[Sequence[Part]]:
    """The words of `text` in lines, on a terminal as wide as its characters are, those found in
    bold."""
    width = max(min(console.width, MAX_WIDTH) - len(_INDENT), 20)
    if not console.interactive:
        return [[line] for line in textwrap.wrap(" ".join(text.split()), width)]
    return [*wrap(_pieces(text, found), width)]


def _pieces(text: str, found: list[tuple[int, int]]) -> list[Part]:
    """`text`, what was found apart."""
    pieces: list[Part] = []
    done = 0
    for start, end in found:
        pieces += [text[done:start], (text[start:end], "bold")]
        done = end
    return [*pieces, text[done:]]
