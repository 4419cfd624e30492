"""`avalan ask`: where the question comes from, what reaches stdout, how it ends."""

import io
import json
import os
import pty
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.cli import main
from avalan.cli.questions import MOST_BYTES, questions
from avalan.compress.export import export
from avalan.errors import ConfigurationError
from avalan.reflection import panel as panels
from avalan.reflection.settings import AskSettings
from avalan.reflection.tokens import ALL
from avalan.retrieval.index import SyncIndex
from avalan.retrieval.place import named
from avalan.testing import pico_llama

CAPFD = pytest.CaptureFixture[str]
BEDS = "When are the beds watered?"
ANSWER = "The beds are watered at six in the evening."
HEAVY = {"torch", "transformers", "onnxruntime", "tokenizers", "rich"}
RULES = {"default": {part: ["rules"] for part in (*panels.PARTS, panels.REFERENCE)}, "judges": {}}


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with notes in it."""
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "garden.md").write_text(f"# Gärten\n\nThe greenhouse opens at seven. {ANSWER}\n")
    (folder / "visitors.txt").write_text("Visitors park behind the mill. Dogs stay outside.\n")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def run(capfd: CAPFD, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that asks, with `rules` as every part's judge unless a model is named."""
    monkeypatch.setattr(panels, "calibration", lambda: RULES)

    def act(*words: str, piped: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped)))
        return Said(main(["ask", *words]), *capfd.readouterr())

    return act


@pytest.fixture
def ask(run: Run) -> Callable[..., dict[str, Any]]:
    """A function that asks and gives the JSON document."""

    def act(*words: str, piped: bytes = b"") -> dict[str, Any]:
        said = run(*words, "--json", piped=piped)
        assert (said.code, said.err) == (0, "")
        document: dict[str, Any] = json.loads(said.out)
        return document

    return act


Ask = Callable[..., dict[str, Any]]


# --- the document -------------------------------------------------------------------------------


def test_the_document_has_exactly_its_shape(ask: Ask, notes: Path) -> None:
    document = ask(BEDS, "--docs", "notes")

    usage, timings = document.pop("usage"), document.pop("timings")
    passage, *_others = document.pop("passages")
    path = notes / "garden.md"
    held = path.read_bytes()
    start = held.index(ANSWER.encode())
    assert document == {
        "question": BEDS,
        "answer": ANSWER,
        "abstained": False,
        "reason": None,
        "confidence": 1.0,
        "sure": True,
        "retrieved": True,
        "decision": {"retrieve": True, "probability": 0.5},
        "citations": [
            {
                "source": str(path),
                "start": start,
                "end": start + len(ANSWER),
                "text": ANSWER,
                "offsets_in": "file",
                "locator": f"line {1 + held[:start].count(10)}",
                "before": "",
                "after": "",
                "dated": "",
            }
        ],
        "superseded": [],
        "sentences": [],
        "support": None,
        "utility": None,
        "model": "rules",
    }
    assert set(passage) == {"source", "start", "end", "score", "relevance", "judged"}
    assert (passage["source"], passage["judged"]) == (str(path), True)
    assert 0 <= passage["relevance"] <= 1
    assert set(usage) == {"prompt_tokens", "completion_tokens", "cached_tokens"}
    assert {"decision_s", "search_s", "reading_s", "total_s"} <= set(timings)


def test_ten_passages_are_listed_in_rank_order_and_top_k_are_judged(ask: Ask, notes: Path) -> None:
    for number in range(14):
        (notes / f"{number}.txt").write_text(f"Of beds, note {number}. " + "And more. " * number)

    few, many = (ask("beds?", "--docs", "notes", "--top-k", count) for count in ("3", "12"))

    assert [each["judged"] for each in few["passages"]] == [True] * 3 + [False] * 7
    assert [each["relevance"] for each in few["passages"][3:]] == [None] * 7
    assert [each["judged"] for each in many["passages"]] == [True] * 12
    scores = [each["score"] for each in many["passages"]]
    assert scores == sorted(scores, reverse=True)


def test_an_abstention_is_a_document_with_a_reason_and_no_error(ask: Ask) -> None:
    document = ask("Which zeppelin lands first?", "--docs", "notes")
    assert (document["answer"], document["abstained"]) == (None, True)
    assert document["reason"] == "I don't know: the documents do not say."
    assert (document["citations"], document["retrieved"]) == ([], True)


def test_without_documents_the_decision_is_reported_and_help_is_given(ask: Ask) -> None:
    document = ask("What does our policy say?")
    assert document["decision"]["retrieve"] is True
    assert (document["retrieved"], document["passages"], document["answer"]) == (False, [], None)
    assert "avalan index add PATH" in document["reason"]


def test_a_trace_is_part_of_the_document(ask: Ask) -> None:
    steps = ask(BEDS, "--docs", "notes", "--trace")["trace"]
    assert [each["step"] for each in steps] == ["decision", "search", "read", "read"]
    assert {each.get("judge", "rules") for each in steps} == {"rules"}
    assert steps[2]["quoted"] == ANSWER
    assert set(steps[2]["features"]) >= {"sentence_coverage", "passage_bm25"}
    assert "trace" not in ask(BEDS, "--docs", "notes")


@pytest.fixture(scope="module")
def pico(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random model with reflection tokens."""
    folder = tmp_path_factory.mktemp("pico")
    made = pico_llama(folder / "made", special_tokens=ALL, max_position_embeddings=512)
    return str(export(made, folder / "onnx").folder)


def test_a_model_decides_quotes_and_grades(ask: Ask, pico: str, notes: Path) -> None:
    always = ("--retrieve", "always", "--min-confidence", "0")
    words = ("--docs", "notes/garden.md", "--model", pico, *always)
    document = ask(BEDS, *words)
    assert document["model"] == pico
    assert 0 <= document["decision"]["probability"] <= 1
    (citation,) = document["citations"]
    held = (notes / "garden.md").read_bytes()[citation["start"] : citation["end"]]
    assert held.decode() == citation["text"] == document["answer"]
    assert document["support"] in ("full", "partial", "none")
    assert document["utility"] in (1, 2, 3, 4, 5)
    assert document["usage"]["prompt_tokens"] > len(BEDS.split())


def test_by_default_each_part_has_its_judge_and_the_model_grades_what_rules_quote(
    run: Run, pico: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranked = {part: ["rules"] for part in (*panels.PARTS, panels.REFERENCE)}
    ranked |= {part: [pico, "rules"] for part in ("need", "memory", "support")}
    monkeypatch.setattr(panels, "calibration", lambda: {"default": ranked, "judges": {}})
    said = run(BEDS, "--docs", "notes", "--retrieve", "always", "--trace")
    assert f"judge {pico}" in " ".join(said.out.split()).partition("search")[0]
    assert "quote it from 0.500 on; judge rules" in said.out
    assert f"judge {pico}" in " ".join(said.out.partition("grades")[2].split())
    assert f"answer: {ANSWER}\n" in said.out
    assert re.search(r"^support: (full|partial|none)$", said.out, re.MULTILINE)
    assert re.search(r"^utility: [1-5] of 5$", said.out, re.MULTILINE)


# --- documents ----------------------------------------------------------------------------------


def test_docs_may_be_repeated_and_leave_nothing_behind(ask: Ask) -> None:
    where = ("--docs", "notes/visitors.txt", "--docs", "notes/garden.md")
    assert ask(BEDS, *where)["answer"] == ANSWER
    assert ask("Where do visitors park?", *where)["answer"] == "Visitors park behind the mill."
    assert not Path(os.environ["AVALAN_HOME"]).exists()


def test_indexes_by_name_and_by_default(ask: Ask, run: Run, notes: Path, capfd: CAPFD) -> None:
    main(["index", "add", "notes/garden.md", "--name", "garden"])
    main(["index", "add", "notes/visitors.txt"])
    capfd.readouterr()
    assert ask(BEDS, "--index", "garden")["answer"] == ANSWER
    assert ask(BEDS)["abstained"]
    assert ask("Where do visitors park?")["answer"] == "Visitors park behind the mill."
    # --docs stands above the default index.
    assert ask(BEDS, "--docs", "notes/garden.md")["answer"] == ANSWER


def test_a_page_is_cited_in_its_extracted_text(ask: Ask, notes: Path, capfd: CAPFD) -> None:
    (notes / "page.html").write_text(
        "<p>Grüße! The <b>key</b> hangs behind &quot;the door&quot;.</p>"
    )
    main(["index", "add", "notes/page.html"])
    capfd.readouterr()
    (citation,) = ask("Where is the key?")["citations"]
    with SyncIndex.open(named()) as index:
        extracted = index.text(str(notes / "page.html")).encode()
    assert citation["offsets_in"] == "extracted"
    assert citation["text"] == 'The key hangs behind "the door".'
    assert extracted[citation["start"] : citation["end"]].decode() == citation["text"]


def test_skipped_files_are_named_beside_the_answer(run: Run, notes: Path) -> None:
    for number in range(7):
        (notes / f"{number}.bin").touch()
    said = run(BEDS, "--docs", "notes")
    assert said.err.count("skipped notes/") == 5
    assert "… and 2 more skipped; --verbose names them all" in said.err
    assert run(BEDS, "--docs", "notes", "--verbose").err.count("skipped notes/") == 7
    assert run(BEDS, "--docs", "notes", "--quiet").err == ""


def test_documents_on_a_read_only_path_work(ask: Ask, notes: Path) -> None:
    notes.chmod(0o500)
    try:
        assert ask(BEDS, "--docs", "notes")["answer"] == ANSWER
    finally:
        notes.chmod(0o700)


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_text("Other.")])
def test_a_citation_that_its_file_no_longer_holds_is_remarked_on(
    run: Run, notes: Path, capfd: CAPFD, change: Callable[[Path], object]
) -> None:
    main(["index", "add", "notes"])
    capfd.readouterr()
    assert run(BEDS).err == ""
    change(notes / "garden.md")
    for flags in ([], ["--json"]):
        said = run(BEDS, *flags)
        assert said.code == 0
        assert "changed notes/garden.md is not what it was when it was indexed" in said.err
    assert run("--questions", "-", piped=BEDS.encode()).err.count("changed") == 1
    assert run(BEDS, "--quiet").err == ""


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_citation_is_the_files_bytes_in_every_encoding(
    ask: Ask, run: Run, notes: Path, encoding: str
) -> None:
    path = notes / "key.txt"
    path.write_bytes("Grüße. Der Schlüssel hängt an der Tür. Ende.".encode(encoding))
    (citation,) = ask("Wo hängt der Schlüssel?", "--docs", "notes/key.txt")["citations"]
    held = path.read_bytes()[citation["start"] : citation["end"]]
    plain = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}.get(encoding, encoding)
    assert held.decode(plain) == citation["text"] == "Der Schlüssel hängt an der Tür."


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "retrieve", "retrieved"),
    [
        ([], True, True),
        (["--threshold", "0.6"], False, True),
        (["--threshold", "0.6", "--retrieve", "always"], False, True),
        (["--retrieve", "never"], True, False),
    ],
)
def test_the_gate_and_what_is_done(
    ask: Ask, words: list[str], retrieve: bool, retrieved: bool
) -> None:
    document = ask(BEDS, "--docs", "notes", *words)
    assert document["decision"]["retrieve"] == retrieve
    assert document["retrieved"] == retrieved


def test_the_confidence_that_is_asked_for(ask: Ask) -> None:
    question = "When are the beds watered and raked and mown and weeded?"
    assert ask(question, "--docs", "notes")["abstained"]
    assert ask(question, "--docs", "notes", "--min-confidence", "0.1")["answer"] == ANSWER


def test_the_options_help_is_the_settings_own(capfd: CAPFD) -> None:
    assert main(["ask", "--help"]) == 0
    words = " ".join(capfd.readouterr().out.split())
    assert AskSettings.__doc__
    for text in (
        "when to look something up: adaptive, always or never [adaptive]",
        "look up from this probability on (0 to 1); left open, the calibrated one",
        "answer from this confidence on (0 to 1)",
        "how many passages are read [5]",
    ):
        assert text in words


# --- the question -------------------------------------------------------------------------------


def test_the_question_comes_from_the_argument_or_the_pipe(ask: Ask) -> None:
    assert ask(piped=b"Why?\n")["question"] == "Why?"
    assert ask("How?", piped=b"Why?\n")["question"] == "How?"
    assert ask(piped=b"\xef\xbb\xbfWarum?\r\n")["question"] == "Warum?"


def test_after_two_dashes_a_question_may_look_like_an_option(run: Run) -> None:
    assert run("--docs", "notes", "--", "--docs?").out.startswith("decision: ")


def in_terminal(words: list[str], *, typed: bytes = b"", **environment: str) -> str:
    """What a person sees who runs a command in a terminal of 80 columns, and types."""
    script = "import sys; from avalan.cli import main; sys.exit(main(sys.argv[1:]))"
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(COLUMNS="80", LINES="24", **environment)
        os.execv(sys.executable, [sys.executable, "-c", script, *words])
    os.write(terminal, typed)
    seen = b""
    with suppress(OSError):
        while piece := os.read(terminal, 4096):
            seen += piece
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return seen.decode()


def test_a_person_at_a_terminal_has_a_conversation() -> None:
    words = ["ask", "--docs", "notes", "--model", "rules"]
    seen = in_terminal(words, typed=BEDS.encode() + b"\nand the dogs?\n\n")
    assert seen.count("Question: ") == 3
    assert "understood as" in seen
    assert f"{BEDS} and the dogs?" in seen
    shown = seen.index("\x1b[1mThe beds are watered at six in the evening.\x1b[0m")
    assert shown < seen.index("understood as") < seen.rindex("┃")


def test_a_question_that_cannot_be_asked_does_not_end_the_conversation() -> None:
    long = b"why " * 900
    words = ["ask", "--docs", "notes", "--model", "rules"]
    seen = in_terminal(words, typed=long[:3500] + b"\n" + BEDS.encode() + b"\n\x04")
    assert "Traceback" not in seen
    assert seen.count("Question: ") == 3


def test_a_person_who_asks_one_question_is_shown_a_screen() -> None:
    words = ["ask", "--docs", "notes", "--model", "rules"]
    seen = in_terminal([*words, BEDS])
    assert "Question: " not in seen
    assert "\x1b[1mThe beds are watered at six in the evening.\x1b[0m" in seen
    assert "notes/garden.md" in seen
    plain = in_terminal([*words, BEDS], NO_COLOR="1")
    assert "\x1b[" not in plain.replace("\r\x1b[K", "")
    assert "┃ The beds are watered at six in the evening. [1]" in plain


def test_the_trace_in_a_terminal_tells_each_step_before_the_answer() -> None:
    words = ["ask", "--docs", "notes", "--model", "rules", "--trace", BEDS]
    seen = in_terminal(words, NO_COLOR="1")
    places = [seen.index(word) for word in ("decision ", "search ", "passage 1", "timings ", "┃")]
    assert places == sorted(places)


# --- events -------------------------------------------------------------------------------------


def test_events_are_told_line_by_line_and_the_answer_comes_last(run: Run) -> None:
    said = run(BEDS, "--docs", "notes", "--events")
    assert (said.code, said.err) == (0, "")
    told = [json.loads(line) for line in said.out.splitlines()]
    steps = [each["step"] for each in told]
    assert steps == ["decision", "search", "read", "read", "citation", "answer"]
    assert told[1] == {"step": "search", "num_passages": 2, "num_read": 2}
    assert told[-1]["answer"] == told[-2]["text"] == ANSWER


@pytest.mark.parametrize("words", [["--trace"], ["--questions", "-"]])
def test_events_are_of_one_question_and_whole(run: Run, words: list[str]) -> None:
    said = run("--events", *words)
    assert said.code == 2
    assert "leave out --trace and --questions" in said.err


# --- pipes --------------------------------------------------------------------------------------


def test_a_pipe_gets_a_line_for_each_thing(run: Run) -> None:
    said = run(BEDS, "--docs", "notes")
    assert said.code == 0
    assert said.err == ""
    assert said.out.splitlines() == [
        "decision: look up (0.50)",
        f"answer: {ANSWER}",
        "source: notes/garden.md bytes 42-85",
        "confidence: 1.00",
    ]


def test_a_pipe_gets_an_abstention_in_plain_words(run: Run) -> None:
    said = run("Which zeppelin?", "--docs", "notes")
    assert said == Said(
        0, "decision: look up (0.50)\nabstained: I don't know: the documents do not say.\n", ""
    )


def test_quiet_is_the_answers_bytes_alone(
    notes: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "calibration", lambda: RULES)
    hostile = "The k\u202eey \x1b[2J [bold]is[/bold]\n under\x9b the mat."
    (notes / "key.txt").write_text(f"Where it is: {hostile}")
    words = ["ask", "Where is the k ey?", "--docs", "notes/key.txt", "--model", "rules", "--quiet"]
    assert main(words) == 0
    out, err = capfdbinary.readouterr()
    assert out == f"Where it is: {hostile}".encode()
    assert err == b""


def test_quiet_leaves_stdout_empty_where_there_is_no_answer(run: Run) -> None:
    said = run("Which zeppelin?", "--docs", "notes", "--quiet", "--trace")
    assert said == Said(0, "", "I don't know: the documents do not say.\n")


def test_quiet_says_a_reserve_on_stderr(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    doubting = RULES | {"judges": {"rules": {"answer": {"threshold": 1.1}}}}
    monkeypatch.setattr(panels, "calibration", lambda: doubting)
    said = run(BEDS, "--docs", "notes", "--quiet")
    assert said == Said(0, ANSWER, "Not sure (1.00): this is what comes nearest.\n")


def test_documents_are_searched_by_meaning_to_the_end_or_not_at_all(
    run: Run, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[int] = []
    monkeypatch.setattr(SyncIndex, "embed", lambda index: embedded.append(1) or iter(()))
    monkeypatch.setattr("avalan.cli.given.MOST_EMBEDDED", 2)
    words = (BEDS, "--docs", "notes")
    assert "by their words" not in run(*words).err
    assert embedded == [1]
    (notes / "more.txt").write_text("The mill stands still on Sundays.")
    assert "3 passages are searched by their words alone" in run(*words).err
    assert embedded == [1]


def test_the_trace_in_a_pipe_names_the_judge_of_each_part(run: Run) -> None:
    said = run(BEDS, "--docs", "notes", "--trace")
    assert said.out.count("judge rules") == 3
    assert "P(look-up) 0.500" in said.out
    assert "sentence_coverage=1.000" in said.out
    assert said.out.splitlines()[-3] == f"answer: {ANSWER}"


# --- many questions -----------------------------------------------------------------------------


def rows(said: Said) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.out.splitlines()]


@pytest.mark.parametrize("flags", [[], ["--json"], ["--quiet"]])
def test_a_file_of_questions_is_answered_in_its_order(
    run: Run, tmp_path: Path, flags: list[str]
) -> None:
    (tmp_path / "q.txt").write_text(f"{BEDS}\n\n  Where do visitors park?  \nWhich zeppelin?\n")
    said = run("--questions", "q.txt", "--docs", "notes", *flags)
    assert (said.code, said.err) == (0, "")
    assert [(row["question"], row["answer"]) for row in rows(said)] == [
        (BEDS, ANSWER),
        ("Where do visitors park?", "Visitors park behind the mill."),
        ("Which zeppelin?", None),
    ]


def test_a_row_is_the_document_of_a_single_question(run: Run, ask: Ask) -> None:
    (row,) = rows(run("--questions", "-", "--docs", "notes", piped=BEDS.encode()))
    alone = ask(BEDS, "--docs", "notes")
    del row["timings"], alone["timings"]
    assert row == alone


def test_a_malformed_line_is_an_error_with_its_number_and_the_batch_goes_on(
    run: Run, tmp_path: Path
) -> None:
    lines = [
        json.dumps({"question": BEDS, "id": 7}).encode(),
        b"not json",
        b'{"question": "broken',
        b'{"query": "?"}',
        b'{"question": 5}',
        b'{"question": "  "}',
        b'["?"]',
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps({"question": "Where do visitors park?"}).encode(),
    ]
    (tmp_path / "q.jsonl").write_bytes(b"\n".join(lines))

    said = run("--questions", "q.jsonl", "--docs", "notes")

    assert said.code == 1
    assert said.err == "8 lines of 10 have no answer; each says why in its place.\n"
    first, *broken, last = rows(said)
    assert (first["answer"], last["answer"]) == (ANSWER, "Visitors park behind the mill.")
    assert [row["line"] for row in broken] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert all(set(row) == {"error", "line"} for row in broken)
    assert broken[0]["error"] == 'Line 2 is not JSON; write it as {"question": "…"}.'
    assert broken[2]["error"] == 'Line 4 holds no question; write it as {"question": "…"}.'
    assert broken[6]["error"] == "Line 8 is not UTF-8 text; convert it first."


def read(*lines: bytes) -> list[tuple[int, str | None]]:
    return [
        (number, None if isinstance(found, ConfigurationError) else found)
        for number, found in questions(iter(lines))
    ]


def test_among_plain_questions_only_an_object_is_one() -> None:
    assert read(
        b"{x: 1} is what in Python?\n", b'{"question": "How?"}\n', b"{} or []?\n", b"[sic] who?\n"
    ) == [(1, "{x: 1} is what in Python?"), (2, "How?"), (3, "{} or []?"), (4, "[sic] who?")]
    assert read(b"Why?\n", b"{\n", b"5\n", b'"Who?"\n') == [
        (1, "Why?"),
        (2, "{"),
        (3, "5"),
        (4, '"Who?"'),
    ]
    assert read(b"\xef\xbb\xbf\r\n", b"Why?\r\n") == [(2, "Why?")]
    assert read(b"\xef\xbb\xbfWhy?\r\n") == [(1, "Why?")]


@pytest.mark.parametrize("line", [b'{"question": "How', b'{ "question" : 5}', b'{"query": "How?"}'])
def test_an_object_without_a_question_is_no_question_anywhere(line: bytes) -> None:
    assert read(line, b"Why?") == [(1, None), (2, None)]
    assert read(b"Why?", line) == [(1, "Why?"), (2, None)]


@given(st.lists(st.text(st.characters(exclude_characters="\n{", exclude_categories=["Cs"]))))
def test_every_line_of_text_is_its_own_question(texts: list[str]) -> None:
    found = read(*(text.encode() + b"\n" for text in texts))
    expected = [(n, t.strip("\ufeff") if n == 1 else t) for n, t in enumerate(texts, 1)]
    assert [(n, t) for n, t in found if t] == [
        (number, text.strip()) for number, text in expected if text.strip()
    ]


def test_answers_come_while_questions_are_still_being_written() -> None:
    command = [sys.executable, "-m", "avalan", "ask", "--questions", "-", "--docs", "notes"]
    with subprocess.Popen(
        [*command, "--model", "rules"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for question, answer in ((BEDS, ANSWER), ("Which zeppelin?", None)):
            process.stdin.write(question + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["answer"] == answer
        process.stdin.close()
        assert process.wait(timeout=30) == 0


def test_a_question_that_fails_does_not_end_the_batch(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: SyncIndex, question: str, top_k: int = 10) -> Iterable[Any]:
        if "mill" in question:
            raise ConfigurationError("The mill is closed.")
        return []

    monkeypatch.setattr(SyncIndex, "search", failing)
    said = run("--questions", "-", "--docs", "notes", piped=b"The mill?\nThe beds?\n")
    assert said.code == 1
    assert rows(said)[0] == {"error": "The mill is closed.", "line": 1}
    assert rows(said)[1]["abstained"]


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([""], 2, "The question is empty"),
        ([], 2, "The question is empty"),
        (["?", "--threshold", "7"], 2, "--threshold is 7, but a probability lies between 0 and 1"),
        (["?", "--threshold", "high"], 2, "'high' is not a number"),
        (["?", "--threshold", "nan"], 2, "--threshold is nan"),
        (["?", "--min-confidence", "-1"], 2, "--min-confidence is -1"),
        (["?", "--top-k", "0"], 2, "--top-k is 0"),
        (["?", "--top-k", "many"], 2, "'many' is not a whole number"),
        (["?", "--retrieve", "sometimes"], 2, "invalid choice: 'sometimes'"),
        (["?", "--docs", "nowhere"], 1, "There is no file or folder at"),
        (["?", "--docs", "empty"], 1, "holds no text that can be indexed"),
        (["?", "--docs", "photo.png"], 1, "photo.png cannot be indexed"),
        (["?", "--index", "nope"], 1, "There is no index at"),
        (["?", "--index", "a/b"], 2, "An index cannot be called 'a/b'"),
        (["?", "--index", ""], 2, "An index cannot be called ''"),
        (["?", "--docs", "notes", "--index", "x"], 2, "give one of them"),
        (["?", "--model", "nobody/nothing"], 1, "nobody/nothing"),
        (["?", "--model", "empty"], 1, "empty"),
        (["?", "--model", ""], 2, "The name of the model is empty"),
        (["?", "--model", "http://here/model"], 2, "A model's URI begins with 'ai://'"),
        (["?", "--model", "ai://nowhere/model"], 2, "no provider 'nowhere'"),
        (["?", "--device", "toaster"], 2, "There is no device called 'toaster'; choose cpu"),
        (["?", "--questions", "q.txt"], 2, "give one of them"),
        (["--questions", "missing.txt"], 1, "missing.txt cannot be read (No such file"),
        (["--questions", "notes"], 1, "notes cannot be read (Is a directory"),
        (["--questions", "-", "--threshold", "7"], 2, "--threshold is 7"),
        (["--questions", ""], 2, "--questions is empty; name a file"),
        (["?", "--docs", ""], 2, "--docs is empty; name a file or a folder."),
        (["two", "words"], 2, "put quotes around"),
    ],
)
def test_bad_input_is_one_sentence(
    run: Run, tmp_path: Path, words: list[str], code: int, sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\0")
    said = run(*words)
    assert said.code == code
    assert said.out == ""
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err


def test_questions_from_a_closed_standard_input_are_wrong_usage() -> None:
    command = f'"{sys.executable}" -m avalan ask --questions - --model rules <&-'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "which is closed" in done.stderr


def test_what_is_piped_must_be_text(run: Run) -> None:
    said = run(piped=b"\xff\xfe")
    assert (said.code, said.out) == (2, "")
    assert "not UTF-8 text" in said.err


def test_a_question_without_an_end_is_refused_in_bounded_memory(run: Run) -> None:
    said = run(piped=b"x" * (MOST_BYTES + 1))
    assert (said.code, said.out) == (2, "")
    assert "longer than 1,000,000 bytes" in said.err
    command = f'yes beds | "{sys.executable}" -m avalan ask --docs notes --model rules'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2


def test_a_line_without_an_end_is_an_error_and_the_next_is_a_question(run: Run) -> None:
    piped = b"x" * (2 * MOST_BYTES + 5) + b"\n" + BEDS.encode()
    said = run("--questions", "-", "--docs", "notes", piped=piped)
    assert said.code == 1
    first, second = rows(said)
    assert first == {"error": "Line 1 is longer than 1,000,000 bytes; shorten it.", "line": 1}
    assert second["answer"] == ANSWER


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "avalan", "ask", "Who are you?", "--quiet"],
        ["-c", "from avalan.model.load import open_model; open_model()"],
    ],
    ids=["command", "library"],
)
def test_a_model_leaves_nothing_in_the_home_folder(words: list[str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = os.environ | {"HOME": str(home)}
    environment.pop("XDG_CACHE_HOME", None)
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    command = [sys.executable, *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(home.rglob("*")) == []


# --- cost ---------------------------------------------------------------------------------------


@pytest.fixture
def spent() -> Callable[[], float]:
    """Seconds of processor time that children have taken since."""

    def now() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = now()
    return lambda: now() - before


def test_an_answer_by_rules_takes_a_few_imports_of_numpy_and_no_model_library(
    spent: Callable[[], float],
) -> None:
    """Well under a second where numpy takes 0.15 s; processors differ by more than commands do."""
    subprocess.run([sys.executable, "-c", "import numpy"], check=True)
    numpys = spent()
    script = (
        "import sys; from avalan.cli import main\n"
        f"main(['ask', {BEDS!r}, '--docs', 'notes', '--model', 'rules', '--quiet'])\n"
        f"heavy = {HEAVY!r} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == ANSWER
    assert re.fullmatch(r"Not sure \(0\.\d\d\): this is what comes nearest\.\n", done.stderr)
    assert spent() - numpys < 4 * numpys
