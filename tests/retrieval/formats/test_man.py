"""Manual pages: what their macros mean for the text, in both dialects."""

import gzip
from pathlib import Path

import pytest

from avalan.retrieval.documents import Block, Unreadable, survey


def block(folder: Path, source: str, name: str = "a.1") -> Block:
    path = folder / name
    data = source.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    (found,) = survey(path).blocks()
    return found


def body(folder: Path, source: str) -> str:
    """The text below a page's heading."""
    return block(folder, f".SH X\n{source}\n").text.removeprefix("X").strip("\n")


@pytest.mark.parametrize("name", ["a.1", "a.man", "a.3pm", "a.1.gz", "a.1ssl.gz"])
def test_headings_items_and_words_that_belong_together(
    tmp_path: Path, samples: dict[str, bytes], name: str
) -> None:
    found = block(tmp_path, samples["a.1"].decode(), name)
    assert found.text == (
        "BREW(1)\n\nNAME\n\nbrew - make tea\n\nOPTIONS\n\n"
        "-t, --time minutes\nHow long it brews; two — no more.\n\n"
    )
    assert [(each.level, each.title) for each in found.headings] == [
        (0, "BREW(1)"),
        (1, "NAME"),
        (1, "OPTIONS"),
    ]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"a \fBbold\fR \f(CWword\fP \fIand\f[R] \s-1SMALL\s0", "a bold word and SMALL"),
        (
            r"caf\('e \[u00E9] \(lqso\(rq \*(lqit\*(rq\& \e x\-y \\(bu",
            "café é “so” “it” \\ x-y \\(bu",
        ),
        ('one\n.\\" a comment\ntwo \\" and another\n.PP\nthree', "one two\n\nthree"),
        (".nf\na  b\n  c\n.fi\nd\ne", "a  b\n  c\nd e"),
        (".IP \\(bu 2\nFirst.\n.IP \\(bu\nSecond.", "• First.\n\n• Second."),
        ('.B "two words" three\n.RI [ file ]', "two words three [file]"),
        (".de XX\n.B no\n..\n.ig\nno\n..\nyes", "yes"),
        (
            ".if t no\n.if n yes\n.ie t \\{\\\n.B no\n.if n no\n.\\}\n.el \\{\\\nelse\n.\\}\nend",
            "yes else end",
        ),
        (".TS\nallbox;\nl l.\na\tb\nc\td\n.TE\nend", "a\tb\nc\td\n\nend"),
        (".UR https://a.b\nhere\n.UE", "https://a.b here"),
        (".unknown macro\nwords", "words"),
        (".", ""),
    ],
)
def test_what_macros_and_escapes_mean(tmp_path: Path, source: str, text: str) -> None:
    assert body(tmp_path, source) == text


MDOC = r""".Dd January 1, 2026
.Dt BREW 1
.Sh NAME
.Nm brew
.Nd make tea
.Sh SYNOPSIS
.Nm
.Op Fl t Ar minutes
.Op Fl hv
.Ar leaf ...
.Sh DESCRIPTION
.Nm
reads
.Pa /etc/tea ,
see
.Xr coffee 1 .
.Bl -tag
.It Fl t Ar minutes
How long.
.El
"""


def test_the_other_dialect(tmp_path: Path) -> None:
    assert block(tmp_path, MDOC).text == (
        "BREW(1)\n\nNAME\n\nbrew – make tea\n\nSYNOPSIS\n\n"
        "brew [-t minutes] [-hv] leaf ...\n\nDESCRIPTION\n\n"
        "brew reads /etc/tea, see coffee(1).\n\n-t minutes\nHow long.\n\n"
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("Nov 1 kernel: rotated\n", "it is not a manual page"),
        (".so man1/other.1\n", "it only leads to man1/other.1"),
        (".TH A 1\n\0", "it is binary"),
    ],
)
def test_what_is_no_page_says_so(tmp_path: Path, source: str, reason: str) -> None:
    with pytest.raises(Unreadable) as caught:
        block(tmp_path, source)
    assert caught.value.reason.startswith(reason)


def test_a_packed_page_that_is_cut_off_or_too_large_says_so(
    tmp_path: Path, samples: dict[str, bytes]
) -> None:
    path = tmp_path / "a.1.gz"
    path.write_bytes(gzip.compress(samples["a.1"])[:-9])
    with pytest.raises(Unreadable, match="it is damaged"):
        survey(path)
    path.write_bytes(gzip.compress(b".SH A\n" * 3_000_000))
    with pytest.raises(Unreadable, match="it is larger than 16 MiB; divide it"):
        survey(path)


@pytest.mark.parametrize(
    "unit",
    ["\\", "\\[", "\\h'", "\\*[", '"', " ", "\\{", ".if n \\{\n", ".de a\n", ".TP\n", ".Op "],
)
def test_strange_pages_are_read_in_linear_time(tmp_path: Path, unit: str) -> None:
    """Each takes at most a tenth of a second; anything quadratic would take minutes."""
    path = tmp_path / "a.1"
    for request in ("", ".B ", ".Nm "):
        path.write_text(f".SH A\n{request}{unit * 30_000}\nend\n")
        assert len("".join(block.text for block in survey(path).blocks())) < 200_000
