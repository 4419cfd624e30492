"""UTF-16 without a byte order mark is read as what it is, and binary files are not read as it."""

import gzip
import io
import math
import pickle
import struct
import sys
import wave
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avalan.retrieval import documents
from avalan.retrieval.documents import Unreadable, survey
from avalan.retrieval.index import SyncIndex

TEXTS = {
    "English": "When are the beds watered? At six in the evening.\r\n",
    "French": "Où est l’été ? Là-bas, à côté de la forêt – « déjà ».\n",
    "Polish": "Zażółć gęślą jaźń, a potem podlej grządki o szóstej.\n",
    "Greek": "Πότε ποτίζονται τα παρτέρια; Στις έξι το βράδυ.\n",
    "Russian": "Когда поливают грядки? В шесть часов вечера.\n",
    "Hebrew": "מתי משקים את הערוגות? בשש בערב.\n",
    "Arabic": "متى تسقى الأحواض؟ في السادسة مساء.\n",
    "symbols": "Prices: €12 – ½ off ★ 🙂 and a tab\tor two.\n",
}
ORDERS = ["utf-16-le", "utf-16-be"]


def written(folder: Path, data: bytes, name: str = "a.txt") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def is_refused(path: Path) -> bool:
    try:
        survey(path)
    except Unreadable as error:
        return error.reason.startswith("it is binary")
    return False


@pytest.mark.parametrize("encoding", ORDERS)
@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("times", [1, 300])
def test_utf_16_without_a_mark_is_recognised(
    tmp_path: Path, language: str, encoding: str, times: int
) -> None:
    text = TEXTS[language] * times
    document = survey(written(tmp_path, text.encode(encoding)))
    assert (document.encoding, document.bom_bytes) == (encoding, 0)
    assert "".join(block.text for block in document.blocks()) == text


@pytest.mark.parametrize("encoding", ORDERS)
def test_a_page_in_utf_16_without_a_mark_is_read(tmp_path: Path, encoding: str) -> None:
    page = "<html><h1>Süßes</h1><p>Two &euro; each.</p></html>"
    document = survey(written(tmp_path, page.encode(encoding), "a.html"))
    assert [block.text for block in document.blocks()] == ["Süßes\n\nTwo € each.\n"]
    assert document.offset_encoding == "utf-8"


LETTERS = st.characters(exclude_categories=["Cs", "Cc", "Cn"]) | st.sampled_from("\t\n\r")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    others=st.lists(st.sampled_from("éßłЖж☃🙂\u3000\ufeff…") | LETTERS, max_size=30),
    words=st.lists(st.sampled_from([*TEXTS.values(), "word "]), min_size=3, max_size=12),
    encoding=st.sampled_from(ORDERS),
    piece_bytes=st.sampled_from([1, 3, 1000]),
)
def test_offsets_into_it_are_bytes_of_the_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    others: list[str],
    words: list[str],
    encoding: str,
    piece_bytes: int,
) -> None:
    monkeypatch.setattr(documents, "_PIECE_BYTES", piece_bytes)
    text = "start " + "".join(words) + "".join(others[:9]) + "".join(words)
    data = text.encode(encoding)
    path = written(tmp_path, data)
    assert survey(path).encoding == encoding

    with SyncIndex.temporary() as index:
        list(index.add([path]))
        passages = index.passages(str(path))

    assert passages
    for passage in passages:
        assert data[passage.start : passage.end].decode(encoding) == passage.text
        start, end = passage.locate(1, 4)
        assert data[start:end].decode(encoding) == passage.text[1:4]


UNITS = st.sampled_from([b"a\0", b" \0", b"\0b", b"ab", b"\1\4", b"\0\0", b"\x1b\0", b"\x85\0"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(UNITS | st.binary(max_size=2), min_size=1, max_size=60).map(b"".join))
def test_whatever_bytes_are_read_as_utf_16_are_a_text_without_controls(
    tmp_path: Path, data: bytes
) -> None:
    try:
        document = survey(written(tmp_path, b"s\0o\0m\0e\0" + data))
    except Unreadable:
        return
    if not document.encoding.startswith("utf-16"):
        return
    text = (b"s\0o\0m\0e\0" + data).decode(document.encoding)
    assert sum(character.isascii() for character in text) >= max(4, len(text) / 8)
    assert all(character >= " " or character in "\t\n\v\f\r\x1b" for character in text)


def sound(amplitude: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        samples = [int(amplitude * math.sin(n / 9)) for n in range(4000)]
        out.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return file.getvalue()


RANDOM = Random(7)
BINARIES = {
    "a program": Path(sys.executable).resolve().read_bytes()[:20_000],
    "compiled Python": b"\xa7\r\r\n" + bytes(12) + pickle.dumps(list(range(500))),
    "compressed": gzip.compress(b"text " * 3000 + RANDOM.randbytes(3000)),
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0" + RANDOM.randbytes(4000),
    "a loud sound": sound(30_000),
    "a soft sound": sound(90),
    "small numbers": struct.pack("<2000H", *(RANDOM.randrange(1, 300) for _ in range(2000))),
    "growing numbers": struct.pack("<800H", *range(33, 833)),
    "measurements": struct.pack(">2000H", *(RANDOM.randrange(70, 190) for _ in range(2000))),
    "32-bit numbers": struct.pack("<2000I", *(RANDOM.randrange(40, 120) for _ in range(2000))),
    "UTF-32": ("plain text in four bytes each. " * 100).encode("utf-32-le"),
    "names between zeros": b"\0".join(b"notes/file%d.txt" % n for n in range(300)),
    "names between zeros, evenly": b"\0".join(b"abc" for _ in range(300)) + b"\0",
    "fields filled up with zeros": b"".join(b"%-6d\0\0" % n for n in range(300)),
    "one zero in a text": b"a text with one\0 zero byte in it.",
    "one letter": b"a\0",
    "three letters": "abc".encode("utf-16-le"),
    "text and then not": ("plain text. " * 400).encode("utf-16-le") + RANDOM.randbytes(3000),
    "text cut in a unit": "some plain text".encode("utf-16-le")[:-1],
    "text cut in a pair": ("some plain text " + "🙂").encode("utf-16-le")[:-2],
}


@pytest.mark.parametrize("kind", BINARIES)
def test_binary_files_are_still_refused(tmp_path: Path, kind: str) -> None:
    assert is_refused(written(tmp_path, BINARIES[kind]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.sampled_from([60, 500, 5000]), st.integers(1, 4))
def test_random_bytes_with_zeros_are_refused(
    tmp_path: Path, seed: int, size: int, every: int
) -> None:
    data = bytearray(Random(seed).randbytes(size))
    data[::every] = bytes(len(data[::every]))
    assert is_refused(written(tmp_path, bytes(data)))
