"""All formats: exact passages, damage that harms nothing else, and packages that are not there."""

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avalan.retrieval import documents
from avalan.retrieval.documents import Unreadable, survey
from avalan.retrieval.entities import Passage
from avalan.retrieval.events import Added, Skipped
from avalan.retrieval.formats import FORMATS, format_of
from avalan.retrieval.index import SyncIndex

NAMES = ["a.pdf", "a.docx", "a.epub", "a.ipynb", "a.1", "a.csv", "a.html", "a.rs", "a.jsonl"]
SHARED = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)


def assert_exact(index: SyncIndex, path: Path) -> list[Passage]:
    """Every passage of the document is the bytes that it names, and says where it is."""
    text = index.text(str(path)).encode()
    passages = index.passages(str(path))
    for passage in passages:
        held = text if passage.offsets_in == "extracted" else path.read_bytes()
        assert held[passage.start : passage.end].decode(passage.encoding) == passage.text
    return passages


@pytest.mark.parametrize("name", NAMES)
def test_a_passage_is_exactly_its_bytes(
    tmp_path: Path, samples: dict[str, bytes], name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(samples[name])
    with SyncIndex.temporary() as index:
        assert [type(event) for event in index.add([path])] == [Added]
        assert assert_exact(index, path)


def mutated(data: bytes, changes: list[tuple[float, int]], cut: float) -> bytes:
    """`data` with bytes changed at these shares of its length, and cut off at one."""
    made = bytearray(data)
    for share, byte in changes:
        made[int(share * len(made))] ^= byte
    return bytes(made[: int(cut * len(made)) + 1])


SHARES = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize("name", NAMES)
@SHARED
@given(
    changes=st.lists(st.tuples(SHARES, st.integers(1, 255)), max_size=12),
    cut=st.one_of(st.just(0.999999), SHARES),
)
def test_a_damaged_file_is_a_sentence_or_exact_and_never_anything_else(
    tmp_path: Path,
    samples: dict[str, bytes],
    name: str,
    changes: list[tuple[float, int]],
    cut: float,
) -> None:
    path = tmp_path / name
    path.write_bytes(mutated(samples[name], changes, cut))
    try:
        blocks = list(survey(path).blocks())
    except Unreadable:
        return
    start = 0
    for block in blocks:
        block.text.encode()
        assert "\0" not in block.text
        assert all(0 <= each.start <= each.end <= len(block.text) for each in block.headings)
        assert block.start >= start
        start = block.start


def test_a_bad_file_costs_the_folder_nothing(tmp_path: Path, samples: dict[str, bytes]) -> None:
    for name in NAMES:
        (tmp_path / name).write_bytes(samples[name])
        (tmp_path / f"bad {name}").write_bytes(samples[name][:2] + b"\0")
    (tmp_path / "two\nlines.md").write_text("A name of two lines.")
    (tmp_path / "circle").symlink_to(tmp_path)
    with SyncIndex.temporary() as index:
        events = list(index.add([tmp_path]))
        for info in index.documents():
            assert_exact(index, Path(info.source))
    added = {Path(event.source).name for event in events if isinstance(event, Added)}
    assert added == {*NAMES, "two\nlines.md"}
    reasons = [event.reason for event in events if isinstance(event, Skipped)]
    assert len(reasons) == len(NAMES) + 1
    assert not any("\n" in reason or "Traceback" in reason for reason in reasons)


@pytest.mark.parametrize(("name", "package"), [("a.pdf", "pypdfium2"), ("a.docx", "docx")])
def test_without_its_package_a_document_is_skipped_with_the_command_that_installs_it(
    tmp_path: Path,
    samples: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    package: str,
) -> None:
    monkeypatch.delitem(sys.modules, f"avalan.retrieval.formats.{name[2:]}", raising=False)
    for module in [each for each in sys.modules if each.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [Absent(package), *sys.meta_path])
    path = tmp_path / name
    path.write_bytes(samples[name])
    (tmp_path / "b.txt").write_text("text")
    reason = "reading it needs a package that is not installed; run: pip install "
    with SyncIndex.temporary() as index:
        with pytest.raises(Unreadable, match=reason):
            list(index.add([path]))
        events = list(index.add([tmp_path]))
    skipped = [event for event in events if isinstance(event, Skipped)]
    assert [Path(event.path).name for event in skipped] == [name]
    assert "[documents]" in skipped[0].reason


class Absent:
    """A finder that makes one package be not installed."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, name: str, *_args: object) -> None:
        """Refuse the package."""
        if name.partition(".")[0] == self._package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("README", "text"),
        ("Makefile", "text"),
        ("A.MD", "markdown"),
        ("tar.1.gz", "man"),
        ("SSL_read.3ssl.gz", "man"),
        ("a.7z", None),
        ("a.tar.gz", None),
        ("a.gz", None),
        ("a.png", None),
    ],
)
def test_the_name_says_how_a_file_is_read(name: str, like: str | None) -> None:
    found = format_of(Path(name))
    assert (found and (found.reader or found.layout)) == like


def test_every_reader_is_there_and_no_other() -> None:
    folder = Path(documents.__file__).parent / "formats"
    readers = {"man", *(found.reader for found in FORMATS.values() if found.reader)}
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "archive", "code", "csv"}
    assert readers == modules


def test_a_log_that_is_too_large_is_skipped_without_being_read(tmp_path: Path) -> None:
    for name in ("a.log", "core", "b.txt"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(2 << 30)
        with pytest.raises(Unreadable, match=r"it is larger than (32|1,024) MiB; divide it"):
            survey(tmp_path / name)


def test_a_text_is_found_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("\n\n# Tea\n\nTwo minutes.\n\n# Coffee\n\nIt takes\nfour minutes.\n")
    with SyncIndex.temporary() as index:
        list(index.add([path]))
        tea, coffee = index.passages(str(path))
    assert (tea.locator, coffee.locator) == ("line 3", "line 7")
    assert coffee.place(coffee.text.index("four")) == "line 10"
