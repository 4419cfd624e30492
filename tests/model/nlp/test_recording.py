"""Generations on disk: what is written is read again, and nothing else is taken for one."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.errors import ConfigurationError, StateError
from avalan.model.entities import (
    GenerationReport,
    GenerationSettings,
    GenerationTimings,
    Token,
    TokenAlternative,
    Usage,
)
from avalan.model.nlp.recording import (
    MARK,
    Recorder,
    Request,
    check_target,
    read_recording,
)
from avalan.model.nlp.steps import Clock, Step, piece

HOSTILE = '\x1b[2J\u2028\x85\udc80 日本 "quoted"\n'
REQUEST = Request(
    model="bundled",
    prompt=HOSTILE,
    system_prompt=None,
    settings=GenerationSettings(seed=7, stop_strings=("x",)),
)

logprobs = st.floats(-100, 0)
steps = st.builds(
    Step,
    token=st.builds(
        Token,
        token_id=st.integers(0, 200_000),
        text=st.text(),
        logprob=logprobs,
        probability=st.floats(0, 1),
        alternatives=st.lists(
            st.builds(
                TokenAlternative,
                token_id=st.integers(0, 200_000),
                text=st.text(),
                logprob=logprobs,
            ),
            max_size=3,
        ).map(tuple),
        special=st.booleans(),
    ),
    piece=st.text(),
    kind=st.sampled_from(["plain", "added", "special"]),
    time_s=st.floats(0, 1e6),
)


def report() -> GenerationReport:
    return GenerationReport(
        usage=Usage(prompt_tokens=9, completion_tokens=2),
        timings=GenerationTimings(prefill_s=0.25, decode_s=0.5),
        finish_reason="length",
    )


def a_step(text: str = "a") -> Step:
    return Step(token=Token(token_id=1, text=text, logprob=-0.5, probability=1.0), piece=text)


def write(path: Path, made: list[Step]) -> Path:
    with Recorder(path, REQUEST) as recorder:
        for step in made:
            recorder.add(step)
        recorder.finish(report())
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


@given(made=st.lists(steps, max_size=4))
def test_what_is_recorded_is_read_again(
    made: list[Step], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.mktemp("recordings") / "run.jsonl", made)
    recording = read_recording(path)
    assert list(recording.steps) == made
    assert recording.request == REQUEST
    assert recording.report == report()
    assert recording.text == "".join(step.token.text for step in made)


def test_a_recording_is_ascii_with_a_line_for_each_token(path: Path) -> None:
    data = write(path, [a_step(HOSTILE), a_step(HOSTILE)]).read_bytes()
    assert data.isascii()
    assert b"\x1b" not in data
    lines = [json.loads(line) for line in data.splitlines()]
    assert len(lines) == 4
    assert (lines[0]["avalan_recording"], lines[0]["model"]) == (1, "bundled")
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "cached_tokens": 0}
    assert lines[-1]["report"]["usage"] == usage


@pytest.mark.parametrize("content", [MARK, "my notes"])
def test_a_file_that_holds_something_is_never_overwritten(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="holds something already and is left as it is"):
        Recorder(path, REQUEST)
    assert path.read_text() == content


def test_what_comes_into_a_file_before_the_first_token_stays(path: Path) -> None:
    path.touch()  # An empty file has nothing to lose.
    with Recorder(path, REQUEST) as recorder:
        path.write_text("my notes\n")
        recorder.add(a_step("one"))
    assert path.read_text().startswith(f"my notes\n{MARK}")


def test_a_missing_folder_is_seen_before_the_model_runs(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="its folder does not exist"):
        check_target(tmp_path / "nowhere" / "run.jsonl")


@pytest.mark.parametrize("content", [b"", b"{}", b"hello\n", b"\xff\xfe", b'{"avalan": 1}\n'])
def test_a_foreign_file_is_named_as_one(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="is not a recording; make one with"):
        read_recording(path)


def test_a_recording_of_a_later_version_says_so(path: Path) -> None:
    write(path, [])
    path.write_text(path.read_text().replace('recording": 1', 'recording": 2'))
    with pytest.raises(ConfigurationError, match="has version 2"):
        read_recording(path)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('"token_id": 1', '"token_id": -1', 3),
        ('"token_id": 1', '"token_id": "1"', 3),
        ('"token_id": 1', '"token_id": true', 3),
        ('"logprob": -0.5', '"logprob": NaN', 3),
        ('"logprob": -0.5', '"logprob": 1e999', 3),
        ('"logprob": -0.5', '"logprob": 0.7', 3),
        ('"text": "b"', '"text": null', 3),
        ('"kind": "plain"', '"kind": "other"', 3),
        ('"time_s": 0.0', '"time_s": -1', 3),
        ('"alternatives": []', '"alternatives": [[1, "a"]]', 3),
        ('"finish_reason": "length"', '"finish_reason": "bored"', 4),
        ('"report"', '"rapport"', 4),
        ('"settings": {', '"settings": 3, "x": {', 1),
    ],
)
def test_damage_is_told_with_its_line(path: Path, old: str, new: str, line: int) -> None:
    text = write(path, [a_step("a"), a_step("b")]).read_text()
    before, found, after = text.rpartition(old)
    assert found
    path.write_text(before + new + after)
    with pytest.raises(ConfigurationError, match=f"is damaged at line {line}; record it again"):
        read_recording(path)


def test_a_recording_that_breaks_off_is_told_where(path: Path) -> None:
    lines = write(path, [a_step("a"), a_step("b")]).read_text().splitlines(keepends=True)
    for rest in ("", lines[3][:20]):
        path.write_text("".join(lines[:3]) + rest)
        with pytest.raises(ConfigurationError, match="breaks off after line 3; record it again"):
            read_recording(path)


@given(cut=st.integers(0, 900), byte=st.integers(0, 255))
def test_any_damage_is_a_sentence(
    cut: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.mktemp("recordings") / "run.jsonl", [a_step("a"), a_step("b")])
    data = path.read_bytes()
    assert len(data) > 901
    path.write_bytes(data[:cut])
    assert re.fullmatch(SENTENCE, outcome(path))
    path.write_bytes(data[:cut] + bytes([byte]) + data[cut + 1 :])
    # Another letter in a text, or digit in a number, is no damage that can be seen.
    assert re.fullmatch(SENTENCE + "|as written", outcome(path))


SENTENCE = r"The (file|recording) '[^']+/run\.jsonl' (is|has|breaks) .+[;,] .+\."


def outcome(path: Path) -> str:
    """Why the recording cannot be read, or whether what was read makes the same recording."""
    try:
        read = read_recording(path)
    except ConfigurationError as error:
        return str(error)
    path.unlink()
    with Recorder(path, read.request) as recorder:
        for step in read.steps:
            recorder.add(step)
        recorder.finish(read.report)
    return "as written" if read_recording(path) == read else "something else"


# --- steps --------------------------------------------------------------------------------------


def token(text: str, *, special: bool = False) -> Token:
    return Token(token_id=1, text=text, logprob=0.0, probability=1.0, special=special)


@pytest.mark.parametrize(
    ("text", "alone", "own"),
    [
        (" Paris", "Paris", " Paris"),  # Decoded alone it lost the space that joins it.
        ("Paris", "Paris", "Paris"),
        ("", "[Retrieval]", "[Retrieval]"),  # A control token adds nothing.
        ("é", "\ufffd", "\ufffd"),  # The last byte of a character brings all of it.
        ("foobar", "bar", "bar"),  # Text that was held back comes with a later token.
        (" ", "\n", "\n"),
    ],
)
def test_a_tokens_own_text_is_what_it_says_not_what_it_brings(
    text: str, alone: str, own: str
) -> None:
    assert piece(token(text), alone) == own


def reported(count: int, prefill_s: float, decode_s: float) -> GenerationReport:
    return GenerationReport(
        usage=Usage(completion_tokens=count),
        timings=GenerationTimings(prefill_s=prefill_s, decode_s=decode_s),
    )


def test_a_token_looked_at_in_time_has_the_models_time() -> None:
    clock = Clock()
    assert clock.time_s(1, reported(1, 0.5, 0.0)) == 0.5
    assert clock.time_s(2, reported(2, 0.5, 0.25)) == 0.75


def test_tokens_looked_at_late_are_evenly_spaced_up_to_the_models_time() -> None:
    clock = Clock()
    late = reported(5, 0.5, 0.8)
    times = [clock.time_s(number, late) for number in range(1, 6)]
    assert times == pytest.approx([0.5, 0.7, 0.9, 1.1, 1.3])
