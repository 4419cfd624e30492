"""`avalan index`: what it prints, for people and for programs, and how it ends."""

import io
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from avalan.cli import main
from avalan.cli.console import cell_width
from avalan.retrieval.place import named

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVALAN_HOME", str(tmp_path / "home"))


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with two notes and something that is none."""
    folder = tmp_path / "work"
    (folder / "notes").mkdir(parents=True)
    (folder / "notes" / "tea.md").write_text("# Tea\n\nGreen tea brews for two minutes.\n")
    (folder / "notes" / "page.html").write_text("<h1>Coffee</h1><p>Four minutes &amp; stir.</p>")
    (folder / "notes" / "photo.png").write_bytes(b"\x89PNG")
    monkeypatch.chdir(folder)
    return folder / "notes"


def said(capsys: Captured, *words: str, code: int = 0) -> str:
    assert main(["index", *words]) == code
    return capsys.readouterr().out


def complained(capsys: Captured, *words: str, code: int = 1) -> str:
    assert main(["index", *words]) == code
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    return output.err


def data(capsys: Captured, *words: str) -> Any:
    return json.loads(said(capsys, *words, "--json"))


def test_adding_says_what_was_done_and_names_what_was_skipped(
    notes: Path, capsys: Captured
) -> None:
    assert main(["index", "add", "notes"]) == 0
    output = capsys.readouterr()
    assert output.out == (
        "2 added, 1 skipped; the index 'default' has 2 documents and 2 passages.\n"
    )
    reason = "files of its type, .png, are not read"
    assert output.err == f"skipped notes/photo.png: {reason}\n"

    assert main(["index", "add", "notes", "--quiet"]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("2 unchanged, 1 skipped;")
    assert output.err == ""


def test_what_is_dropped_is_named(notes: Path, capsys: Captured) -> None:
    main(["index", "add", "notes"])
    (notes / "tea.md").unlink()
    assert "dropped notes/tea.md\n" in complained(capsys, "add", "notes", code=0)


def test_many_skipped_files_are_counted_unless_all_are_asked_for(
    notes: Path, capsys: Captured
) -> None:
    for number in range(30):
        (notes / f"{number}.bin").touch()
    short = complained(capsys, "add", "notes", code=0)
    assert short.count("skipped ") == 20
    assert short.endswith("… and 11 more skipped; --verbose names them all\n")
    assert complained(capsys, "add", "notes", "--verbose", code=0).count("skipped ") == 31


def test_adding_as_json_is_a_line_for_each_event(notes: Path, capsys: Captured) -> None:
    lines = [json.loads(line) for line in said(capsys, "add", "notes", "--json").splitlines()]
    assert lines == [
        {"event": "added", "source": str(notes / "page.html"), "passages": 1},
        {
            "event": "skipped",
            "source": str(notes / "photo.png"),
            "reason": "files of its type, .png, are not read",
        },
        {"event": "added", "source": str(notes / "tea.md"), "passages": 1},
        {"event": "summary", "index": "default", "documents": 2, "passages": 2}
        | {"added": 2, "replaced": 0, "unchanged": 0, "dropped": 0, "skipped": 1},
        {"event": "embedded", "passages": 2},
    ]


def test_searching_shows_passages_with_their_places(notes: Path, capsys: Captured) -> None:
    main(["index", "add", "notes"])
    capsys.readouterr()
    shown = said(capsys, "search", "how long does tea brew?", "--top-k", "1")
    assert shown.splitlines()[0].startswith("1. notes/tea.md:0-39  ")
    assert shown.splitlines()[1:3] == ["   Tea", "   # Tea Green tea brews for two minutes."]

    (passage,) = data(capsys, "search", "how long does tea brew?", "--top-k", "1")
    assert passage.pop("score") >= passage.pop("dense") > 0
    assert passage.pop("lexical") > 0
    assert [passage["text"][slice(*place)] for place in passage.pop("matches")] == [
        "Tea",
        "tea",
        "brews",
    ]
    assert passage == {
        "also": [],
        "source": str(notes / "tea.md"),
        "start": 0,
        "end": 39,
        "offsets_in": "file",
        "heading": "Tea",
        "locator": "line 1",
        "text": "# Tea\n\nGreen tea brews for two minutes.",
    }


def test_finding_nothing_is_no_error(notes: Path, capsys: Captured) -> None:
    main(["index", "add", "notes"])
    assert data_after(capsys, "search", "zeppelin", "--mode", "lexical") == []
    assert complained(capsys, "search", "zeppelin", "--mode", "lexical", code=0) == (
        "No passage in the index 'default' shares a word with the query.\n"
    )


def data_after(capsys: Captured, *words: str) -> Any:
    capsys.readouterr()
    return data(capsys, *words)


def test_listing(notes: Path, capsys: Captured) -> None:
    assert data(capsys, "list") == []
    assert said(capsys, "list") == ""
    main(["index", "add", "notes", "--name", "mine"])

    (row,) = data_after(capsys, "list")

    assert row.pop("size_bytes") == named("mine").stat().st_size
    assert row.pop("updated") == named("mine").stat().st_mtime
    assert row == {
        "index": "mine",
        "path": str(named("mine")),
        "documents": 2,
        "passages": 2,
        "embedder": "bundled",
        "embedded": 2,
        "problem": None,
    }
    assert said(capsys, "list").splitlines()[1].split()[:4] == ["mine", "2", "2", "bundled"]


def test_an_index_without_vectors_lacks_none(notes: Path, capsys: Captured) -> None:
    main(["index", "add", "notes", "--embedder", "none"])
    capsys.readouterr()
    line = said(capsys, "list").splitlines()[1]
    assert "none" in line
    assert "%" not in line


def test_an_index_that_cannot_be_opened_is_listed_with_its_problem(
    notes: Path, capsys: Captured
) -> None:
    main(["index", "add", "notes"])
    connection = sqlite3.connect(named())
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    capsys.readouterr()

    (row,) = data(capsys, "list")

    assert row["documents"] is None
    assert "--rebuild" in row["problem"]
    assert "rebuild it with" in complained(capsys, "list", code=0)
    assert "rebuild it with" in complained(capsys, "search", "tea")
    assert said(capsys, "add", "notes", "--rebuild").startswith("2 added")


def test_showing_documents_passages_and_text(notes: Path, capsys: Captured) -> None:
    main(["index", "add", "notes"])
    capsys.readouterr()

    assert [row["passages"] for row in data(capsys, "show", "default")] == [1, 1]
    assert said(capsys, "show", "default").splitlines()[1].split()[:2] == ["notes/page.html", "1"]
    (passage,) = data(capsys, "show", "default", "page.html")
    text = said(capsys, "show", "default", "notes/page.html", "--text")
    assert text == "Coffee\n\nFour minutes & stir.\n"
    assert text.encode()[passage["start"] : passage["end"]].decode() == passage["text"]
    assert passage["offsets_in"] == "extracted"
    assert "score" not in passage
    assert "Coffee" in said(capsys, "show", "default", "page.html")
    document = data(capsys, "show", "default", "page.html", "--text")
    assert document == {"source": str(notes / "page.html"), "text": text}


def test_removing_documents_and_indexes_leaves_the_files(notes: Path, capsys: Captured) -> None:
    main(["index", "add", "notes"])
    capsys.readouterr()
    assert said(capsys, "remove", "default", "tea.md") == (
        "Forgot 1 document of the index 'default'.\n"
    )
    assert data(capsys, "remove", "default", "notes")["documents"] == [str(notes / "page.html")]
    assert data(capsys, "remove", "default") == {
        "index": "default",
        "deleted": True,
        "documents": [],
    }
    assert data(capsys, "list") == []
    assert len(list(notes.iterdir())) == 3


def test_documents_of_a_folder_that_is_gone_can_be_forgotten(notes: Path, capsys: Captured) -> None:
    main(["index", "add", "notes"])
    for path in notes.iterdir():
        path.unlink()
    notes.rmdir()
    capsys.readouterr()
    complaint = complained(capsys, "add", "notes")
    assert f"to forget its documents: avalan index remove default '{notes}'" in complaint
    assert said(capsys, "remove", "default", str(notes)).startswith("Forgot 2 documents")


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["add", "missing.txt"], 1, "There is no file or folder at"),
        (["add", "notes/photo.png"], 1, "cannot be indexed: files of its type, .png"),
        (["add", ""], 2, "PATH is empty; name a file or a folder."),
        (["add"], 2, "needed: PATH"),
        (["add", "notes", "--name", "a/b"], 2, "An index cannot be called 'a/b'"),
        (["search", "tea"], 1, "make it with: avalan index add PATH"),
        (["search", "  "], 2, "The query is empty"),
        (["search", "tea", "--top-k", "0"], 2, "0 is not a number of passages"),
        (["search", "tea", "--top-k", "x"], 2, "'x' is not a whole number"),
        (["show", "nope"], 1, "make it with: avalan index add PATH --name nope"),
        (["show", "nope", "--text"], 2, "--text needs a document"),
        (["remove", "nope"], 1, "see those there are: avalan index list"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_no_index(
    notes: Path, capsys: Captured, words: list[str], code: int, complaint: str
) -> None:
    assert complaint in complained(capsys, *words, code=code)
    assert data(capsys, "list") == []


def test_an_error_after_some_files_still_says_what_was_done(notes: Path, capsys: Captured) -> None:
    assert main(["index", "add", "notes/tea.md", "notes/photo.png"]) == 1
    output = capsys.readouterr()
    assert output.out == "1 added; the index 'default' has 1 document and 1 passage.\n"
    assert "photo.png cannot be indexed" in output.err


def test_a_line_break_in_a_name_stays_on_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new\nline"
    folder.mkdir()
    (folder / "a.txt").write_text("The beds are watered at six.")
    assert main(["index", "add", str(folder), "--name", "od"]) == 0
    capsys.readouterr()
    assert main(["index", "search", "beds", "--name", "od"]) == 0
    assert "new\u240aline" in capsys.readouterr().out


# --- a damaged index ----------------------------------------------------------------------------


def test_a_damaged_index_names_the_command_that_replaces_it(notes: Path, capsys: Captured) -> None:
    main(["index", "add", "notes"])
    named().write_bytes(named().read_bytes()[:5000])
    capsys.readouterr()
    remedy = "rebuild it with: avalan index add PATH --rebuild"
    assert remedy in complained(capsys, "search", "tea")
    assert remedy in complained(capsys, "list", code=0)
    assert remedy in complained(capsys, "add", "notes")
    assert said(capsys, "add", "notes", "--rebuild").startswith("2 added, 1 skipped")
    assert "Green tea" in said(capsys, "search", "tea")


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_rebuild_that_ends_early_claims_nothing(
    notes: Path, capsys: Captured, is_damaged: bool
) -> None:
    main(["index", "add", "notes"])
    if is_damaged:
        named().write_bytes(named().read_bytes()[:5000])
    before = named().read_bytes()
    capsys.readouterr()
    assert main(["index", "add", "notes/tea.md", "notes/photo.png", "--rebuild"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "photo.png cannot be indexed" in output.err
    if is_damaged:
        assert named().read_bytes() == before
    else:
        assert len(data(capsys, "show", "default")) == 2


def test_a_first_rebuild_that_ends_early_leaves_no_index(notes: Path, capsys: Captured) -> None:
    assert "photo.png cannot be" in complained(capsys, "add", "notes/photo.png", "--rebuild")
    assert data(capsys, "list") == []


def test_a_folder_where_an_index_would_be_is_said(notes: Path, capsys: Captured) -> None:
    named("mine").mkdir(parents=True)
    for words in (["add", "notes"], ["search", "tea"], ["add", "notes", "--rebuild"]):
        complaint = complained(capsys, *words, "--name", "mine")
        assert f"There is a folder at {named('mine')}, where an index would be a file" in complaint
    assert "There is a folder at" in complained(capsys, "remove", "mine")
    (row,) = data(capsys, "list")
    assert "There is a folder at" in row["problem"]


# --- a narrow terminal --------------------------------------------------------------------------

NARROW = 30


class Terminal(io.TextIOWrapper):
    """A stream that passes for a terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def isatty(self) -> bool:
        return True


def on_a_terminal(*words: str) -> list[str]:
    """The lines on a terminal of `NARROW` columns, of stdout and stderr together."""
    terminal = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(NARROW))
        patch.setattr("sys.stdout", terminal)
        patch.setattr("sys.stderr", terminal)
        assert main(["index", *words]) == 0
    text = terminal.buffer.getvalue().decode()  # type: ignore[attr-defined]
    without_progress = re.sub(r"\r\x1b\[K[^\r\n]*(?=\r\x1b)", "", text)
    return re.sub(r"\r|\x1b\[[\d;]*[mK]", "", without_progress).splitlines()


def test_a_narrow_terminal_breaks_lines_between_words(notes: Path) -> None:
    (notes / "long.md").write_text("# Notes of several words\n\n" + "Several tea leaves. " * 9)
    (notes / "茶.txt").write_text("绿茶应该用八十度的水冲泡两分钟，红茶则需要沸水。" * 2)

    added = on_a_terminal("add", "notes")
    found = on_a_terminal("search", "leaves")
    wide = on_a_terminal("search", "茶", "--top-k", "1")
    others = [*on_a_terminal("list"), *on_a_terminal("show", "default", "long.md")]

    for line in [*added, *found, *wide, *others, *on_a_terminal("show", "default")]:
        assert cell_width(line) <= NARROW, line
    assert added[:2] == ["skipped notes/photo.png: files", "of its type, .png, are not"]
    assert found[2:6] == [
        "   Notes of several words",
        "   # Notes of several words",
        "   Several tea leaves. Several",
        "   tea leaves. Several tea",
    ]
    assert wide[2:] == [
        "   绿茶应该用八十度的水冲泡两",
        "   分钟，红茶则需要沸水。绿茶",
        "   应该用八十度的水冲泡两分钟",
        "   ，红茶则需要沸水。",
        "",
    ]
