"""The index: exact passages, BM25, and staying up to date with files and folders."""

import math
import re
from pathlib import Path
from pydoc_data.topics import topics

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avalan.errors import ConfigurationError, RetrievalError
from avalan.retrieval.entities import Passage
from avalan.retrieval.events import Added, Dropped, Event, Replaced, Skipped, Unchanged
from avalan.retrieval.index import SyncIndex
from avalan.retrieval.place import named, names


def added(index: SyncIndex, *paths: Path | str) -> list[str]:
    """What happened, as in ["added a.txt", "skipped b.bin"]."""
    return [f"{kind(event)} {Path(place(event)).name}" for event in index.add(paths)]


def kind(event: Event) -> str:
    return type(event).__name__.lower()


def place(event: Event) -> str:
    return event.path if isinstance(event, Skipped) else event.source


def all_passages(index: SyncIndex) -> list[Passage]:
    return [each for document in index.documents() for each in index.passages(document.source)]


# --- passages are exactly what they say -----------------------------------------------------

WORDS = ["word ", "Sentence. ", "naïve ", "数据库", "🙂", "x" * 600, "Many words in a row. " * 30]
MARKS = ["\r\n", "\n\n", "# Title\n", "\nTitle\n===\n", "\ufeff", "\x0c", "-- "]
PARTS = st.sampled_from([*WORDS, *MARKS])
TEXTS = st.lists(PARTS, max_size=25).map("".join).map(lambda text: f"start {text}")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=TEXTS,
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    suffix=st.sampled_from(["txt", "md", "rst", "py"]),
)
def test_a_passage_is_exactly_its_bytes_of_the_file(
    tmp_path: Path, text: str, encoding: str, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(text.encode(encoding, "ignore"))
    data = path.read_bytes()

    with SyncIndex.temporary() as index:
        added(index, path)
        passages = index.passages(str(path))

    assert passages
    for passage in passages:
        assert data[passage.start : passage.end].decode(passage.encoding) == passage.text
        middle = len(passage.text) // 2
        start, end = passage.locate(middle, middle + 3)
        assert data[start:end].decode(passage.encoding) == passage.text[middle : middle + 3]
        assert passage.locate(0, len(passage.text)) == (passage.start, passage.end)


def test_offsets_count_the_byte_order_mark_and_keep_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfcaf\xc3\xa9\r\nbar")
    with SyncIndex.temporary() as index:
        added(index, path)
        (passage,) = index.search("bar")

    assert (passage.start, passage.end, passage.text) == (3, 13, "café\r\nbar")
    assert passage.locate(6, 9) == (10, 13)


def test_offsets_into_a_page_count_in_the_text_that_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    page = "<title>Süßes</title><script>no()</script><h1>Kaffee</h1><p>Two &euro; each.</p>"
    path.write_text(page + "<p>More.</p>" * 3)
    with SyncIndex.temporary() as index:
        added(index, path)
        path.unlink()
        text = index.text(str(path))
        (passage,) = index.search("euro each")

    assert text == "Süßes\n\nKaffee\n\nTwo € each.\n\nMore.\n\nMore.\n\nMore.\n"
    assert text.encode()[passage.start : passage.end].decode() == passage.text
    assert (passage.offsets_in, passage.encoding) == ("extracted", "utf-8")
    assert passage.heading == "Süßes > Kaffee"


def test_a_large_file_has_the_passages_of_its_blocks_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avalan.retrieval.documents.BLOCK_CHARS", 1000)
    path = tmp_path / "a.md"
    path.write_text("# Überschrift\n\n" + "\n\n".join(f"Absatz Nr. {n} – " * 9 for n in range(90)))
    with SyncIndex.temporary() as index:
        added(index, path)
        passages = index.passages(str(path))

    data = path.read_bytes()
    assert len(passages) > 10
    assert {passage.heading for passage in passages} == {"Überschrift"}
    assert all(data[each.start : each.end].decode() == each.text for each in passages)
    ends = [0, *(passage.end for passage in passages)]
    starts = [*(passage.start for passage in passages), len(data)]
    assert not any(data[a:b].strip() for a, b in zip(ends, starts, strict=True))


# --- ranking --------------------------------------------------------------------------------

CORPUS = {
    "apple": "red apple green apple pie",
    "pear": "green pear",
    "plum": "# Red\n\nblue plum tart with cream on top of it",
    "fig": "dry fig",
    "kiwi": "kiwi",
    "lime": "lime lime",
}


def bm25(question: str) -> dict[str, float]:
    """The formula with k1 = 1.2 and b = 0.75 over (name, heading, text), weights 0.5, 0.5, 1."""
    columns = {
        name: (name, "Red" if text.startswith("#") else "", text) for name, text in CORPUS.items()
    }
    columns = {
        name: [re.findall(r"\w+", column.lower()) for column in row]
        for name, row in columns.items()
    }
    lengths = {name: sum(map(len, row)) for name, row in columns.items()}
    mean_length = sum(lengths.values()) / len(lengths)
    scores: dict[str, float] = {}
    for term in question.split():
        holders = {name: row for name, row in columns.items() if any(term in each for each in row)}
        idf = math.log((len(CORPUS) - len(holders) + 0.5) / (len(holders) + 0.5))
        for name, row in holders.items():
            count = sum(w * each.count(term) for w, each in zip((0.5, 0.5, 1), row, strict=True))
            norm = 1.2 * (1 - 0.75 + 0.75 * lengths[name] / mean_length)
            scores[name] = scores.get(name, 0) + idf * count * 2.2 / (count + norm)
    return scores


@pytest.mark.parametrize("question", ["apple", "red", "green fig", "lime pear red"])
def test_scores_are_bm25(tmp_path: Path, question: str) -> None:
    for name, text in CORPUS.items():
        (tmp_path / f"{name}.md").write_text(text)
    with SyncIndex.temporary() as index:
        added(index, tmp_path)
        found = index.search(question)

    expected = bm25(question)
    assert {Path(each.source).stem: each.lexical for each in found} == pytest.approx(expected)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def test_only_top_k_are_given_and_nothing_matches_nothing(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text(f"words {number}")
    with SyncIndex.temporary() as index:
        added(index, tmp_path)
        assert [Path(each.source).stem for each in index.search("words", 3)] == ["0", "1", "2"]
        assert index.search("words", 0) == index.search("absent") == index.search("?!") == []


def test_stems_case_and_accents_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The Café's deliveries were RUNNING late in Hauptstraße")
    with SyncIndex.temporary() as index:
        added(index, tmp_path)
        for question in ("cafe", "CAFE\u0301", "delivery", "runs", "HAUPTSTRAßE"):
            assert index.search(question), question


QUESTIONS = {
    "How do I skip to the next iteration of a loop?": {"continue"},
    "How do I set a breakpoint in pdb?": {"debugger"},
    "What does the wildcard pattern match?": {"compound"},
    "How do I pad a string with zeros?": {"string-methods", "formatstrings"},
    "Which operators bind most tightly?": {"operator-summary"},
    "Can a lambda contain statements?": {"lambda"},
    "What does dict.setdefault return?": {"typesmapping"},
    "How does the walrus operator work?": {"assignment-expressions", "lambda", "exprlists"},
    "How do I change a variable of an enclosing function?": {"nonlocal"},
    "Which exception does a failing assert raise?": {"assert"},
    "Can I write numbers with underscores?": {"integers", "floating", "numbers"},
    "How is a metaclass chosen?": {"customization", "specialnames", "metaclasses"},
}


def test_questions_about_the_python_reference_find_their_topic(tmp_path: Path) -> None:
    """BM25 finds the right one of 79 topics among the first five for about nine in ten."""
    for name, text in topics.items():
        (tmp_path / f"{name}.rst").write_text(text)
    with SyncIndex.temporary() as index:
        added(index, tmp_path)
        found = [
            bool(expected & {Path(each.source).stem for each in index.search(question, 5)})
            for question, expected in QUESTIONS.items()
        ]
    assert sum(found) >= 9


# --- staying up to date ---------------------------------------------------------------------


def test_adding_again_does_only_what_is_needed(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / f"{name}.txt").write_text(f"document {name}")
    with SyncIndex.temporary() as index:
        assert added(index, tmp_path) == [f"added {name}.txt" for name in "abcd"]
        (tmp_path / "b.txt").write_text("replacement")
        (tmp_path / "c.txt").unlink()
        (tmp_path / "d.txt").write_bytes(b"\0binary")
        (tmp_path / "e.txt").write_text("document e")

        assert added(index, tmp_path) == [
            "unchanged a.txt",
            "replaced b.txt",
            "skipped d.txt",
            "added e.txt",
            "dropped c.txt",
            "dropped d.txt",
        ]
        assert [Path(each.source).stem for each in index.search("document", 9)] == ["a", "e"]
        assert [each.text for each in index.search("replacement")] == ["replacement"]
        assert [each.num_passages for each in index.documents()] == [1, 1, 1]


def test_events_tell_what_happened(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("text")
    with SyncIndex.temporary() as index:
        assert list(index.add([path])) == [Added(source=str(path), num_passages=1)]
        assert list(index.add([path])) == [Unchanged(source=str(path))]
        path.write_text("other")
        assert list(index.add([path])) == [Replaced(source=str(path), num_passages=1)]
        path.rename(tmp_path / "b.txt")
        assert list(index.add([tmp_path]))[1] == Dropped(source=str(path))


def test_passages_of_a_replaced_document_do_not_mix_with_its_neighbours(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text(f"{name} words. " * 200)
    with SyncIndex.temporary() as index:
        added(index, tmp_path)
        (tmp_path / "b.txt").write_text("b words. " * 400)
        added(index, tmp_path)
        for document in index.documents():
            data = Path(document.source).read_text()
            passages = index.passages(document.source)
            assert len(passages) == document.num_passages
            assert " ".join(each.text for each in passages) == data.strip()


def test_a_relative_path_and_an_absolute_one_are_one_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("text")
    monkeypatch.chdir(tmp_path)
    with SyncIndex.temporary() as index:
        assert added(index, "a.txt", "./x/../a.txt", tmp_path / "a.txt", tmp_path) == [
            "added a.txt",
            *["unchanged a.txt"] * 3,
        ]
        assert index.documents()[0].source == str(tmp_path / "a.txt")


def test_what_a_folder_ignores_stays_where_it_was_named_itself(tmp_path: Path) -> None:
    (tmp_path / "drafts").mkdir()
    (tmp_path / "drafts" / "a.txt").write_text("text")
    (tmp_path / "b.txt").write_text("text")
    (tmp_path / ".ignore").write_text("drafts\n")
    with SyncIndex.temporary() as index:
        added(index, tmp_path / "drafts", tmp_path)
        assert added(index, tmp_path) == ["unchanged b.txt"]
        (tmp_path / "drafts" / "a.txt").unlink()
        assert added(index, tmp_path) == ["unchanged b.txt", "dropped a.txt"]


def test_what_becomes_ignored_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.txt").write_text("text")
    with SyncIndex.temporary() as index:
        added(index, tmp_path)
        (tmp_path / ".gitignore").write_text("a.txt\n")
        assert added(index, tmp_path) == ["unchanged b.txt", "dropped a.txt"]


def test_a_folder_with_a_similar_name_is_another_folder(tmp_path: Path) -> None:
    for name in ("notes", "notes-old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("text")
    with SyncIndex.temporary() as index:
        added(index, tmp_path / "notes", tmp_path / "notes-old")
        (tmp_path / "notes" / "b.txt").write_text("text")
        assert added(index, tmp_path / "notes") == ["unchanged a.txt", "added b.txt"]
        assert index.remove(str(tmp_path / "notes")) == [
            str(tmp_path / "notes" / name) for name in ("a.txt", "b.txt")
        ]
        assert [each.source for each in index.documents()] == [str(tmp_path / "notes-old/a.txt")]


# --- bad input ------------------------------------------------------------------------------


def test_in_a_folder_bad_files_are_named_and_skipped(tmp_path: Path) -> None:
    for name, data in {"a.txt": b"text", "b.bin": b"x", "c.md": b"\0", "d.txt": b""}.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "e.html").write_text("<script>x</script>")
    (tmp_path / "f.txt").write_text(" \n\n")

    with SyncIndex.temporary() as index:
        skipped = [event for event in index.add([tmp_path]) if isinstance(event, Skipped)]
        assert [each.source for each in index.documents()] == [str(tmp_path / "a.txt")]

    assert {Path(each.path).name: each.reason for each in skipped} == {
        "b.bin": "files of its type, .bin, are not read",
        "c.md": "it is binary, or text that is not UTF-8, UTF-16 or Windows-1252",
        "d.txt": "it is empty",
        "e.html": "it holds no text",
        "f.txt": "it holds no text",
    }


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.bin", b"x", "files of its type, .bin, are not read"),
        ("a.txt", b"\0", "it is binary"),
        ("a.txt", b"", "it is empty"),
        ("a.txt", b" \n", "it holds no text"),
    ],
)
def test_a_bad_file_named_itself_is_an_error_and_what_was_added_stays(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    (tmp_path / "good.txt").write_text("text")
    (tmp_path / name).write_bytes(data)
    with SyncIndex.temporary() as index:
        with pytest.raises(RetrievalError, match=f"{name} cannot be indexed: {reason}"):
            added(index, tmp_path / "good.txt", tmp_path / name)
        assert [each.source for each in index.documents()] == [str(tmp_path / "good.txt")]


def test_a_document_that_has_become_unreadable_is_kept_when_its_file_is_named(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("text")
    with SyncIndex.temporary() as index:
        added(index, path)
        path.write_text(" ")
        with pytest.raises(RetrievalError, match="it holds no text"):
            added(index, path)
        assert [each.text for each in index.search("text")] == ["text"]


def test_a_path_that_is_missing_stops_before_anything_is_added(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    with SyncIndex.temporary() as index:
        with pytest.raises(RetrievalError, match=r"There is no file or folder at .*/b; check"):
            added(index, tmp_path / "a.txt", tmp_path / "b")
        with pytest.raises(RetrievalError, match="A path is empty"):
            added(index, "")
        assert not index.documents()


def test_a_folder_without_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    with (
        SyncIndex.temporary() as index,
        pytest.raises(
            RetrievalError, match=r"holds no text that can be indexed; hidden and ignored"
        ),
    ):
        added(index, tmp_path)


def test_reading_leaves_a_folder_of_documents_untouched(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "a.txt").chmod(0o444)
    tmp_path.chmod(0o555)
    before = tmp_path.stat()
    with SyncIndex.temporary() as index:
        added(index, tmp_path)
        assert index.text(str(tmp_path / "a.txt")) == "text"
    after = tmp_path.stat()
    tmp_path.chmod(0o755)
    assert (before.st_mtime_ns, before.st_nlink) == (after.st_mtime_ns, after.st_nlink)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


# --- finding, naming --------------------------------------------------------------------------


def test_a_document_is_found_by_its_path_or_the_end_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/x.txt", "b/x.txt", "b/y.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    monkeypatch.chdir(tmp_path / "a")
    with SyncIndex.temporary() as index:
        added(index, tmp_path)
        assert index.find("y.txt") == index.find("b/y.txt") == str(tmp_path / "b" / "y.txt")
        assert index.find("x.txt") == str(tmp_path / "a" / "x.txt")
        with pytest.raises(RetrievalError, match=r"temporary index has no document 'z.txt'\.$"):
            index.find("z.txt")
        with pytest.raises(RetrievalError, match=r"has no document 'z.txt'"):
            index.remove("z.txt")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(
            RetrievalError, match=r"'x.txt' could be 2 documents; name one of: .*/a"
        ):
            index.find("x.txt")


def test_the_text_of_a_file_that_has_changed_is_not_given(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    with SyncIndex.temporary() as index:
        added(index, path)
        assert index.text(str(path)) == "one\r\ntwo"
        path.write_text("three")
        with pytest.raises(RetrievalError, match="has changed since it was indexed; run: avalan"):
            index.text(str(path))


def test_an_index_lies_in_the_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AVALAN_HOME", str(tmp_path))
    assert named() == tmp_path / "indexes" / "default.sqlite"
    assert named("my.notes-2") == tmp_path / "indexes" / "my.notes-2.sqlite"
    assert names() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a b", "-a", "a\n", "x" * 101])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="An index cannot be called"):
        named(name)
