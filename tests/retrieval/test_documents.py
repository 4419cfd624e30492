"""Reading: which bytes are text, and that every block stands exactly where it says."""

import codecs
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avalan.retrieval import documents
from avalan.retrieval.documents import Unreadable, paragraphs, survey

ENCODINGS = {
    "utf-8": b"",
    "utf-8-sig": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
}


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "encoding", "bom_bytes"),
    [
        (b"plain", "utf-8", 0),
        ("naïve 数".encode(), "utf-8", 0),
        (codecs.BOM_UTF8 + b"plain", "utf-8", 3),
        (codecs.BOM_UTF16_LE + "naïve".encode("utf-16-le"), "utf-16-le", 2),
        (codecs.BOM_UTF16_BE + "naïve".encode("utf-16-be"), "utf-16-be", 2),
        ("a “naïve” dash – here".encode("cp1252"), "cp1252", 0),
    ],
)
def test_the_encoding_is_recognised(
    tmp_path: Path, data: bytes, encoding: str, bom_bytes: int
) -> None:
    document = survey(written(tmp_path, "a.txt", data))
    assert (document.encoding, document.bom_bytes) == (encoding, bom_bytes)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.txt", b"", "it is empty"),
        ("a.txt", b"zero\0byte", "it is binary"),
        ("a.txt", b"\x89PNG\r\n\x1a\n\x00\x01", "it is binary"),
        ("a.txt", bytes(range(1, 256)), "it is binary"),
        ("a.txt", "текст".encode("koi8-r"), "it is binary, or text that is not UTF-8"),
        ("a.txt", codecs.BOM_UTF16_LE + b"odd", "it is binary"),
        ("a.txt", codecs.BOM_UTF16_LE + b"\0\xd8\0\xd8", "it is binary"),
        ("a.txt", codecs.BOM_UTF32_LE + "abc".encode("utf-32-le"), "it is binary"),
        ("a.png", b"text", "files of its type, .png, are not read"),
        ("README", b"zero\0byte", "it is binary"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    path = written(tmp_path, name, data)
    with pytest.raises(Unreadable) as caught:
        survey(path)
    assert caught.value.reason.startswith(reason)
    assert str(caught.value) == f"{path} cannot be indexed: {caught.value.reason}."


def test_what_is_no_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "link.txt").symlink_to("nowhere")
    (tmp_path / "self.txt").symlink_to("self.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt"))
    odd.write_bytes(b"text")

    def reason(path: Path) -> str:
        with pytest.raises(Unreadable) as caught:
            survey(path)
        str(caught.value).encode()
        return caught.value.reason

    assert reason(tmp_path / "missing.txt") == "there is no such file"
    assert reason(tmp_path / "link.txt") == "it is a link that leads nowhere"
    assert reason(tmp_path / "self.txt").startswith("it cannot be opened (")
    assert reason(tmp_path / "pipe.txt") == "it is not a regular file"
    assert reason(odd) == "its name is not valid Unicode; rename it"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(
        st.sampled_from("ab .\n\r\n\té数🙂\u2028\ufeff") | st.characters(exclude_categories=["Cs"])
    ).filter(lambda text: "\0" not in text),
    encoding=st.sampled_from(sorted(ENCODINGS)),
    block_chars=st.sampled_from([1, 2, 5, 1000]),
    piece_bytes=st.sampled_from([1, 3, 1000]),
)
def test_blocks_are_the_whole_file_each_at_its_offset(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    encoding: str,
    block_chars: int,
    piece_bytes: int,
) -> None:
    monkeypatch.setattr(documents, "BLOCK_CHARS", block_chars)
    monkeypatch.setattr(documents, "_PIECE_BYTES", piece_bytes)
    bom, name = ENCODINGS[encoding], encoding.removesuffix("-sig")
    text = text.lstrip("\ufeff") + "x"
    data = bom + text.encode(name)

    document = survey(written(tmp_path, "a.txt", data))
    blocks = list(document.blocks())

    assert "".join(block.text for block in blocks) == text
    for block in blocks:
        raw = block.text.encode(document.encoding)
        assert data[block.start : block.start + len(raw)] == raw
    # A line's end is never divided.
    assert not any(
        first.text.endswith("\r") and second.text.startswith("\n")
        for first, second in pairwise(blocks)
    )


def test_blocks_end_at_paragraphs_else_lines_else_words() -> None:
    assert list(paragraphs(["aa\n\nbb\n\ncc\n\n"], 2)) == ["aa\n\n", "bb\n\n", "cc\n\n"]
    assert list(paragraphs(["aa\r\nbb\r\ncc"], 2)) == ["aa\r\n", "bb\r\n", "cc"]
    assert list(paragraphs(["aa bb cc"], 2)) == ["aa ", "bb ", "cc"]
    assert list(paragraphs(["aaaaaaa"], 2)) == ["aa", "aa", "aaa"]
    assert list(paragraphs([], 2)) == []


def test_a_file_that_changes_while_it_is_read_is_not_trusted(tmp_path: Path) -> None:
    path = written(tmp_path, "a.txt", b"before")
    document = survey(path)
    path.write_bytes(b"after!")
    with pytest.raises(Unreadable, match="it changed while it was being read"):
        list(document.blocks())

    path.write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(Unreadable, match="it changed while it was being read"):
        list(document.blocks())

    path.unlink()
    with pytest.raises(Unreadable, match="there is no such file"):
        list(document.blocks())


@pytest.mark.parametrize(
    ("declared", "encoding", "text"),
    [
        ("koi8-r", "koi8-r", "Привет, мир"),
        ("Shift_JIS", "shift_jis", "こんにちは"),
        ("iso-8859-1", "cp1252", "a “naïve” page"),
        ("hex", "cp1252", "naïve"),
        ("no-such", "cp1252", "naïve"),
        ("koi8-r", "utf-8", "UTF-8 whatever it says: Привет"),
    ],
)
def test_a_page_may_declare_its_encoding(
    tmp_path: Path, declared: str, encoding: str, text: str
) -> None:
    page = f'<html><meta charset="{declared}"><p>{text}</p>'
    document = survey(written(tmp_path, "a.html", page.encode(encoding)))

    assert "".join(block.text for block in document.blocks()) == text + "\n"
    assert (document.offsets_in, document.offset_encoding) == ("extracted", "utf-8")
