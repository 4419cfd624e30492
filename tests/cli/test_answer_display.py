"""How answers look: in eighty columns, without colour, without Unicode, with hostile text."""

import io
import json
import re
from dataclasses import replace
from gettext import NullTranslations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan import locale
from avalan.cli.console import Console, cell_width, neutralise
from avalan.cli.display import answer as display
from avalan.cli.display.answer import Screen, document, quoted_rank
from avalan.cli.display.layout import shorten, shorten_path, wrap
from avalan.cli.display.signs import ASCII, Signs, bar, stars
from avalan.cli.display.trace import Trace, step
from avalan.model.entities import Usage
from avalan.reflection.events import Answer, Citation, Decision, Drafted, Event, Found, Read
from avalan.reflection.judge import Reading
from avalan.retrieval.entities import Passage
from avalan.retrieval.sentences import around

TEXT = "The greenhouse opens at seven. The beds are watered at six in the evening. Dogs stay out."
QUOTE = "six in the evening"
DRAW = Signs()


class Terminal(io.TextIOWrapper):
    """A stream that passes for a terminal."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding)

    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined,no-any-return]


def passage(text: str = TEXT, **fields: Any) -> Passage:
    values = {"source": "/notes/garden.md", "start": 100, "heading": "Garden", "score": 4.0}
    values |= {"end": 100 + len(text.encode()), "offsets_in": "file"}
    return Passage(text=text, **(values | fields))


def reading(text: str = TEXT, quote: str | None = QUOTE, **fields: Any) -> Reading:
    span = None
    if quote is not None:
        span = (text.index(quote), text.index(quote) + len(quote))
    values = {"relevance": 0.9, "confidence": 0.8, "support": "full", "utility": 4}
    return Reading(span=span, **(values | fields))


def decision(probability: float = 0.72) -> Decision:
    retrieve = probability >= 0.5
    return Decision(retrieve=retrieve, probability=probability, threshold=0.5, judge="gate")


def looked_up(*found: tuple[Passage, Reading], num_listed: int = 0, **fields: Any) -> list[Event]:
    """The events of an answer that quotes the first passage."""
    passages, readings = zip(*found, strict=True) if found else ((), ())
    listed = (*passages, *([passage("More.", source="/x")] * num_listed))
    citations: tuple[Citation, ...] = ()
    text = None
    if readings and readings[0].span is not None:
        start, end = passages[0].locate(*readings[0].span)
        text = passages[0].text[slice(*readings[0].span)]
        first, last = around(passages[0].text, readings[0].span)
        cited = Citation(
            source=passages[0].source,
            start=start,
            end=end,
            text=text,
            offsets_in="file",
            before=passages[0].text[first : readings[0].span[0]],
            after=passages[0].text[readings[0].span[1] : last],
        )
        citations = (cited,)
    values: dict[str, Any] = {"reason": None if text else "I don't know: the documents do not say."}
    values |= {"decision": decision(), "support": "full", "utility": 4, "model": "bundled+rules"}
    values |= {"confidence": 0.0 if text is None else 0.8}
    answer = Answer(
        question="?",
        text=text,
        retrieved=True,
        passages=listed,
        readings=readings,
        citations=citations,
        usage=Usage(prompt_tokens=1200, completion_tokens=34),
        timings={"decision_s": 0.002, "total_s": 0.041},
        **(values | fields),
    )
    reads = [
        Read(rank=rank, passage=each, reading=made, threshold=0.5, judge="reader")
        for rank, (each, made) in enumerate(found)
    ]
    return [answer.decision, Found(passages=listed, num_read=len(reads)), *reads, answer]


def remembered(**fields: Any) -> list[Event]:
    values: dict[str, Any] = {"text": "Paris", "confidence": 0.83, "utility": 5}
    values["decision"] = decision(0.1)
    answer = Answer(
        question="?",
        retrieved=False,
        model="bundled",
        timings={"total_s": 0.01},
        **(values | fields),
    )
    draft = Drafted(text="Paris", confidence=0.83, threshold=0.5, judge="memory")
    return [answer.decision, draft, answer]


def screen(
    events: list[Event],
    monkeypatch: pytest.MonkeyPatch,
    *,
    width: int = 80,
    encoding: str = "utf-8",
    color: bool = False,
) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "" if color else "1")
    terminal = Terminal(encoding)
    monkeypatch.setattr("sys.stdout", terminal)
    shown = Screen(Console(stdout=terminal, stderr=io.StringIO()))
    for event in events:
        shown.show(event)
    return terminal.text


# --- the screen ---------------------------------------------------------------------------------


def test_the_screen_of_a_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    other = passage("Dogs.", source="/notes/visitors.md", start=0, end=5, heading="")
    events = looked_up(
        (passage(), reading()), (other, reading("Dogs.", None, relevance=0.2)), num_listed=3
    )
    assert screen(events, monkeypatch).splitlines() == [
        " decision     ▰▰▰▰▰▰▰▱▱▱ 0.72  look it up",
        " passages     ▰▰▰▰▰▰▰▰▰▱ 0.90  /notes/garden.md:100–189  Garden",
        " read 2 of 5  ▰▰▱▱▱▱▱▱▱▱ 0.20  /notes/visitors.md:0–5",
        "",
        " ┃ six in the evening [1]",
        "",
        " source       [1] /notes/garden.md bytes 155–173",
        " sentence     The beds are watered at «six in the evening».",
        " confidence   ▰▰▰▰▰▰▰▰▱▱ 0.80  that it is right",
        " support      ●●● full   utility  ★★★★☆",
        " judged by    bundled+rules · 41 ms · 1,234 tokens",
    ]


def test_the_screen_of_an_answer_that_is_not_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    events = looked_up((passage(), reading()), sure=False, confidence=0.31)
    lines = screen(events, monkeypatch).splitlines()
    assert lines[3:5] == [" ┃ Not sure. What comes nearest:", " ┃ six in the evening [1]"]
    assert " confidence   ▰▰▰▱▱▱▱▱▱▱ 0.31  that it is right" in lines
    assert "not sure: six in the evening" in plain(events)


def test_what_an_older_version_says_stands_beside_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    *events, end = looked_up((passage(), reading()))
    assert isinstance(end, Answer)
    cited = replace(end.citations[0], dated="2025-03-20")
    older = replace(
        cited, text="at\nseven", source="/notes/old.md", start=7, end=15, dated="2023-02-06"
    )
    told = [*events, replace(end, citations=(cited,), superseded=(older,))]
    lines = screen(told, monkeypatch).splitlines()
    at = lines.index(" sentence     The beds are watered at «six in the evening».")
    assert lines[at + 1 : at + 3] == [
        " older        2023-02-06 «at seven» /notes/old.md bytes 7–15",
        "              2025-03-20 is newer, and counts",
    ]
    assert "older: 2023-02-06: at seven (/notes/old.md bytes 7-15)" in plain(told)
    assert document(told[-1])["superseded"][0]["dated"] == "2023-02-06"


def test_the_screen_of_an_answer_from_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert screen(remembered(), monkeypatch).splitlines() == [
        " decision     ▰▱▱▱▱▱▱▱▱▱ 0.10  no need to look it up",
        "",
        " ┃ Paris",
        "",
        " memory       ▰▰▰▰▰▰▰▰▱▱ 0.83  no source",
        " utility      ★★★★★",
        " judged by    bundled · 10 ms",
    ]


def test_the_screen_of_an_abstention(monkeypatch: pytest.MonkeyPatch) -> None:
    events = looked_up((passage(), reading(quote=None)), support=None, utility=None)
    assert screen(events, monkeypatch).splitlines() == [
        " decision     ▰▰▰▰▰▰▰▱▱▱ 0.72  look it up",
        " passages     ▰▰▰▰▰▰▰▰▰▱ 0.90  /notes/garden.md:100–189  Garden",
        "",
        " ┃ I don't know: the documents do not say.",
        "",
        " judged by    bundled+rules · 41 ms · 1,234 tokens",
    ]
    assert " passages     none shares a word" in screen(looked_up(), monkeypatch)


def test_what_was_done_against_the_decision_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = decision(0.1)
    events = looked_up((passage(), reading()), decision=verdict)
    draft = Drafted(text="At nine.", confidence=0.31, threshold=0.5, judge="memory")
    shown = screen([events[0], draft, *events[1:]], monkeypatch)
    assert "but not sure enough from memory (0.31), so it was looked up\n" in shown
    assert "looked up all the same" in screen(events, monkeypatch)
    assert "but it was not looked up" in screen(remembered(decision=decision(0.9)), monkeypatch)


def test_a_terminal_without_unicode_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(looked_up((passage(), reading())), monkeypatch, encoding="ascii")
    assert shown.isascii()
    assert "#######--- 0.72" in shown
    assert " | six in the evening [1]" in shown
    assert "watered at >>six in the evening<<." in shown
    assert "*** full   utility  ****-" in shown


def test_the_answer_stands_out_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(looked_up((passage(), reading())), monkeypatch, color=True)
    assert "\x1b[1msix in the evening\x1b[0m" in shown
    assert "\x1b[38;5;28m«six in the evening»\x1b[0m" in shown
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert plain == screen(looked_up((passage(), reading())), monkeypatch)


def test_a_whole_sentence_is_not_quoted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    quote = "The beds are watered at six in the evening."
    shown = screen(looked_up((passage(), reading(quote=quote))), monkeypatch)
    assert shown.count("The beds") == 1


def test_passages_titles_and_answers_cannot_drive_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "Beds \x1b[2J\x9b are \u202e \x07 watered. Yes."
    hostile = passage(text, source="/a\x1b]0;x\x07\n/b.md", heading="H\x1b[31m\nI")
    events = looked_up((hostile, reading(text, "are \u202e \x07")))
    shown = screen(events, monkeypatch)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown)
    assert "␛[2J" in shown
    trace = traced(events, monkeypatch)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", trace)


WORDS = st.sampled_from(["bed ", "日本語", "naïve ", "🙂 ", "a" * 130 + " ", "six. ", "\n\n", "\t"])


@given(
    words=st.lists(WORDS, min_size=1, max_size=25).map("".join),
    width=st.integers(20, 130),
    data=st.data(),
)
def test_no_line_but_a_sources_exceeds_the_terminal(
    words: str, width: int, data: st.DataObject
) -> None:
    text = words + "end"
    start = data.draw(st.integers(0, len(text) - 1))
    span = (start, data.draw(st.integers(start + 1, len(text))))
    made = Reading(relevance=0.5, span=span, confidence=0.9, support="partial", utility=1)
    found = passage(text, source=f"/home/somebody/{'folder/' * 9}notes.md", heading=words)
    with pytest.MonkeyPatch.context() as patch:
        shown = screen(looked_up((found, made)), patch, width=width)
    lines = [line for line in shown.splitlines() if "/home/somebody" not in line]
    assert all(cell_width(line) <= width for line in lines)


def test_a_long_sentence_is_shown_around_the_quotation(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "word " * 80 + "six " + "word " * 80
    shown = screen(looked_up((passage(text), reading(text, "six"))), monkeypatch)
    assert "«six»" in shown
    assert shown.count("word") < 70
    assert shown.count("…") == 2


def test_an_empty_abstention_reason_is_still_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert " ┃ " in screen(remembered(text=None, reason=None, utility=None), monkeypatch)


# --- the trace ----------------------------------------------------------------------------------


def traced(events: list[Event], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    trace = Trace(Console(stdout=terminal, stderr=io.StringIO()))
    for event in events:
        trace.show(event)
    return terminal.text


class Longer(NullTranslations):
    """A language whose texts are eight columns longer, with characters of two columns."""

    def gettext(self, message: str) -> str:
        return message + "日本日本"

    def ngettext(self, one: str, many: str, n: int) -> str:
        return self.gettext(super().ngettext(one, many, n))


def test_what_stands_beside_longer_labels_is_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locale, "_catalogue", Longer())
    events = looked_up((passage(), reading()), (passage(), reading("Dogs.", None)))
    column = len("read 9 of 10") + 2 + 8
    lines = [
        line for line in screen(events, monkeypatch).splitlines() if line[:2] not in ("", " ┃")
    ]
    starts = [next(line.index(sign) for sign in ("▰", "[1]", "The", "●", "bundled") if sign in line)
              for line in lines]  # fmt: skip
    assert [cell_width(line[:start]) for line, start in zip(lines, starts, strict=True)] == (
        [column] * 8
    )
    for line in traced(events, monkeypatch).splitlines():
        label, gap, _rest = line.partition("  ")
        text = line[len(label + gap) :].lstrip()
        assert cell_width(line.removesuffix(text)) in (0, len("passage 10") + 2 + 8), line


def test_the_trace_names_every_number_and_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    made = reading(features={"relevance_logit": 2.197, "passage_bm25": 4.0})
    events = looked_up((passage(), made))
    shown = traced([events[0], remembered()[1], *events[1:]], monkeypatch)
    for told in (
        "look it up, P(look-up) 0.720",
        "look it up from 0.500 on; judge gate",
        "draft 'Paris', confidence 0.830",
        "say it from 0.500 on; judge memory",
        "passages found 1, read 1",
        "/notes/garden.md:100–189  Garden",
        "relevance 0.900, BM25 4.00, support full, utility 4",
        "quotes 'six in the evening'",
        "confidence 0.800; quote it from 0.500 on; judge reader",
        "relevance_logit=2.197, passage_bm25=4.000",
        "support full, utility 4",
        "decision 2.0 ms, total 41.0 ms",
        "1,200 read, 34 written",
    ):
        assert told in shown


def test_the_trace_names_who_graded(monkeypatch: pytest.MonkeyPatch) -> None:
    *events, answer = looked_up((passage(), reading()))
    assert isinstance(answer, Answer)
    shown = traced([*events, replace(answer, graded_by="reader, critic")], monkeypatch)
    grades = shown.partition("grades")[2]
    assert grades.splitlines()[1].strip() == "judge reader, critic"


def test_every_event_is_a_step_of_json_but_those_in_the_document() -> None:
    events = looked_up((passage(), reading(features={"x": 1.0})))
    steps = [step(event) for event in [*events, remembered()[1]]]
    assert [each.get("step") for each in steps] == ["decision", "search", "read", None, "memory"]
    assert steps[2]["quoted"] == QUOTE
    json.dumps(steps)


# --- the document and the plain lines -----------------------------------------------------------


def test_a_document_from_memory_has_no_evidence() -> None:
    answer = remembered()[-1]
    assert isinstance(answer, Answer)
    found = document(answer)
    assert (found["answer"], found["abstained"], found["retrieved"]) == ("Paris", False, False)
    assert (found["passages"], found["citations"], found["utility"]) == ([], [], 5)


def plain(events: list[Event]) -> list[str]:
    out = io.StringIO()
    answer = events[-1]
    assert isinstance(answer, Answer)
    display.plain(Console(stdout=out, stderr=out), answer)
    return out.getvalue().splitlines()


def test_plain_lines() -> None:
    assert plain(looked_up((passage(), reading()))) == [
        "decision: look up (0.72)",
        "answer: six in the evening",
        "source: /notes/garden.md bytes 155-173",
        "sentence: The beds are watered at six in the evening.",
        "confidence: 0.80",
        "support: full",
        "utility: 4 of 5",
    ]
    assert plain(remembered()) == [
        "decision: no look-up (0.10)",
        "answer: Paris",
        "source: memory (confidence 0.83)",
        "utility: 5 of 5",
    ]


def test_an_answer_of_several_lines_stays_on_one_in_a_pipe() -> None:
    text = "Six\nin the\n\nevening."
    assert plain(looked_up((passage(text), reading(text, text))))[1] == (
        "answer: Six in the evening."
    )


# --- drawings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probability", "full"),
    [(0, 0), (0.001, 1), (0.04, 1), (0.24, 2), (0.26, 3), (0.97, 9), (1, 10), (-1, 0), (2, 10)],
)
def test_a_bar_is_full_or_empty_only_at_its_ends(probability: float, full: int) -> None:
    assert bar(probability, DRAW) == ("▰" * full, "▱" * (10 - full))


def test_grades() -> None:
    assert [stars(grade, DRAW) for grade in (1, 5)] == ["★☆☆☆☆", "★★★★★"]
    assert stars(2, ASCII) == "**---"


@given(
    st.lists(st.tuples(st.text(max_size=30), st.sampled_from(["", "bold", "dim"])), max_size=5),
    st.integers(8, 40),
)
def test_wrapping_keeps_every_word_and_every_width(
    parts: list[tuple[str, str]], width: int
) -> None:
    lines = wrap(parts, width)
    assert all(sum(cell_width(text) for text, _ in line) <= width for line in lines)
    shown = "".join(text for line in lines for text, _ in line)
    whole = "".join(neutralise(text) for text, _ in parts)
    assert "".join(shown.split()) == "".join(whole.split())
    styled = {text: style for line in lines for text, style in line if text.strip()}
    assert set(styled.values()) <= {style for _, style in parts}


def test_wrapping_breaks_at_spaces_and_keeps_what_is_glued() -> None:
    assert wrap(["one two ", ("three", "bold"), ". four"], 9) == [
        [("one two", "")],
        [("three", "bold"), (".", "")],
        [("four", "")],
    ]
    assert wrap([("a b", "bold")], 9) == [[("a b", "bold")]]


@given(st.text(), st.integers(4, 30))
def test_shortened_text_is_one_line_that_fits(text: str, width: int) -> None:
    shown = shorten(text, width, DRAW)
    assert cell_width(shown) <= width
    assert "\n" not in shown


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (40, "/srv/long/way/to/notes.md"),
        (25, "/srv/long/way/to/notes.md"),
        (24, "…/long/way/to/notes.md"),
        (14, "…/to/notes.md"),
        (10, "…/notes.md"),
        (7, "…tes.md"),
    ],
)
def test_a_path_loses_its_outer_folders_first(width: int, shown: str) -> None:
    assert shorten_path("/srv/long/way/to/notes.md", width, DRAW) == shown


def test_the_quoted_passage_is_found_among_those_that_were_read() -> None:
    twin = passage(source="/other.md")
    answer = looked_up((passage(), reading()), (twin, reading()))[-1]
    assert isinstance(answer, Answer)
    assert quoted_rank(answer) == 0
