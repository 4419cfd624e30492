"""ZIP files made to harm: bounded before they are unpacked, and while they are."""

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from avalan.retrieval.documents import Unreadable, survey
from avalan.retrieval.formats import archive

BOMB = "unpacked it would be far larger than a document is"
DAMAGED = "it is damaged, or not what its name says"


def reason(path: Path) -> str:
    with pytest.raises(Unreadable) as caught:
        list(survey(path).blocks())
    return caught.value.reason


def bomb(path: Path, size: int, method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as made:
        made.writestr("word/document.xml", b"\0" * size)


@pytest.mark.parametrize("name", ["a.docx", "a.epub"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb(tmp_path / name, 5_000_000)
    assert reason(tmp_path / name) == BOMB
    bomb(tmp_path / name, 1000, zipfile.ZIP_BZIP2)
    assert reason(tmp_path / name) == BOMB  # Its library unpacks without a bound.
    monkeypatch.setattr(archive, "MAX_BYTES", 900)
    bomb(tmp_path / name, 1000)
    assert reason(tmp_path / name) == BOMB
    monkeypatch.setattr(archive, "_MAX_FILES", 0)
    bomb(tmp_path / name, 10)
    assert reason(tmp_path / name) == BOMB


@pytest.mark.parametrize("name", ["a.docx", "a.epub"])
def test_a_header_that_says_less_than_there_is_harms_nothing(
    tmp_path: Path, name: str, samples: dict[str, bytes]
) -> None:
    """The directory says that each file has ten bytes; no more is unpacked, and that is seen."""
    data = bytearray(samples[name])
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        data[at + 24 : at + 28] = struct.pack("<I", 10)
        at = data.find(b"PK\x01\x02", at + 1)
    (tmp_path / name).write_bytes(data)
    assert reason(tmp_path / name) == DAMAGED


def test_what_is_unpacked_is_counted_whatever_the_directory_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples: dict[str, bytes]
) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(samples["a.docx"])
    monkeypatch.setattr(archive, "_check", lambda *_args: None)
    monkeypatch.setattr(archive, "MAX_XML_BYTES", 100)
    assert reason(path) == BOMB
    with archive.opened(path) as packed, pytest.raises(Unreadable, match=BOMB):
        archive.content(path, packed, "word/document.xml")


def test_an_encrypted_archive_says_so(tmp_path: Path, samples: dict[str, bytes]) -> None:
    data = bytearray(samples["a.epub"])
    at = data.find(b"PK\x01\x02")
    data[at + 8] |= 1
    (tmp_path / "a.epub").write_bytes(data)
    assert reason(tmp_path / "a.epub") == "it is encrypted; save a copy without a password"


@pytest.mark.parametrize(
    "xml",
    [
        b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>',
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        b"<a>" * 100,
        b"",
    ],
)
def test_xml_with_entities_or_without_an_end_is_refused(xml: bytes) -> None:
    with pytest.raises(Unreadable, match=DAMAGED):
        archive.elements(Path("a"), xml)


def test_names_and_attributes_of_elements() -> None:
    xml = b'<a xmlns="urn:x" b="1"><c d="2"/></a>'
    assert archive.elements(Path("a"), xml) == [("a", {"b": "1"}), ("c", {"d": "2"})]


def test_a_file_that_changes_while_it_is_read_is_not_trusted(
    tmp_path: Path, make_epub: Callable[..., bytes]
) -> None:
    path = tmp_path / "a.epub"
    path.write_bytes(make_epub({"1.xhtml": "<p>Before.</p>"}))
    document = survey(path)
    path.write_bytes(make_epub({"1.xhtml": "<p>After.</p>"}))
    with pytest.raises(Unreadable, match="it changed while it was being read"):
        list(document.blocks())
