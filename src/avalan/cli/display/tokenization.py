"""A text as its tokens: boxes on a terminal, a table in a pipe, JSON for programs."""

import os
from collections.abc import Sequence

from avalan.cli.console import Console
from avalan.cli.display.layout import columns_of
from avalan.cli.display.palette import Painter
from avalan.cli.display.signs import Signs, signs
from avalan.cli.display.tokens import box, row_lines, row_starts, visible
from avalan.locale import _, _n, ngettext
from avalan.model.tokenization import ReadToken

NARROWEST = 8
"""Columns of the narrowest box that says something."""
WIDEST_TEXT = 60
_LONGEST = 1_000_000
_KINDS = {"plain": _n("plain"), "added": _n("added"), "special": _n("special")}


def show(tokens: Sequence[ReadToken], console: Console) -> None:
    """Boxes that tell the kinds apart by colour and shape; plain lines where nothing is drawn."""
    if not console.interactive or os.environ.get("TERM") == "dumb":
        rows = [(token.token_id, _(_KINDS[token.kind]), _signs_of(token.text)) for token in tokens]
        console.table([_("id"), _("kind"), _("text")], rows)
        return
    painter, draw = Painter(), signs()
    width = max(console.width, NARROWEST)
    boxes = [
        box(each.text, each.token_id, each.kind, draw, width=width, widest_text=WIDEST_TEXT)
        for each in tokens
    ]
    starts = row_starts([columns_of(each[0]) for each in boxes], width)
    for start, end in zip(starts, [*starts[1:], len(boxes)], strict=True):
        for line in row_lines(boxes[start:end]):
            console.write("".join(painter.paint(text, names) for text, names in line) + "\n")


def counts_text(tokens: Sequence[ReadToken], text: str) -> str:
    """`9 tokens (2 special, 1 added) · 21 characters · 3.0 characters per token`."""
    kinds = [token.kind for token in tokens]
    special, added = kinds.count("special"), kinds.count("added")
    of_which = [ngettext("{n} special", "{n} special", special)] if special else []
    of_which += [ngettext("{n} added", "{n} added", added)] if added else []
    parts = [ngettext("{n:,} token", "{n:,} tokens", len(tokens))]
    if of_which:
        parts[0] += f" ({', '.join(of_which)})"
    parts.append(ngettext("{n:,} character", "{n:,} characters", len(text)))
    if ratio := characters_per_token(tokens, text):
        parts.append(_("{ratio:.1f} characters per token", ratio=ratio))
    return " · ".join(parts)


def characters_per_token(tokens: Sequence[ReadToken], text: str) -> float | None:
    """Of the tokens that stand for a part of the text; None where there is none."""
    count = sum(token.end > token.start for token in tokens)
    return len(text) / count if count else None


def document(tokens: Sequence[ReadToken], text: str) -> dict[str, object]:
    """The same as JSON values."""
    return {
        "text": text,
        "num_tokens": len(tokens),
        "num_characters": len(text),
        "characters_per_token": characters_per_token(tokens, text),
        "tokens": [
            {
                "id": token.token_id,
                "text": token.text,
                "token": token.token,
                "kind": token.kind,
                "start": token.start,
                "end": token.end,
            }
            for token in tokens
        ],
    }


def _signs_of(text: str) -> str:
    return "".join(part for part, _ in visible(text, Signs(), width=_LONGEST))
