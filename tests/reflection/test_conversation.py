"""Follow-ups, and what they mean by themselves."""

from pathlib import Path

import pytest

from avalan.reflection.conversation import Conversation, leans
from avalan.reflection.writer import ChatWriter
from avalan.testing import pico_tokenizer

from .test_writer import replying

FIRST = "When does the library open?"


@pytest.mark.parametrize(
    "question",
    [
        "and on Sundays?",
        "What about children?",
        "who pays for it",
        "Why?",
        "How much is that",
        "und sonntags?",
        "and when on Sundays?",
        "and who pays for it, the guests or the town?",
        "¿Y los domingos?",
    ],
)
def test_a_follow_up_leans_on_what_was_asked(question: str) -> None:
    assert leans(question)


@pytest.mark.parametrize(
    "question",
    [
        FIRST,
        "Is there a lift at the station?",
        "Which rules apply to guests that stay a week?",
        "¿Qué es un contrato?",
        "Wann öffnet das Museum?",
        "And when does the greenhouse open?",
        "Und wann öffnet das Museum?",
    ],
)
def test_a_question_of_its_own_leans_on_nothing(question: str) -> None:
    assert not leans(question)


def test_without_a_model_what_it_leans_on_is_put_before_it() -> None:
    talk = Conversation()
    assert talk.understood("and on Sundays?") == "and on Sundays?"
    talk = Conversation()
    assert talk.understood(f" {FIRST}\n") == FIRST
    assert talk.understood("and on Sundays?") == f"{FIRST} and on Sundays?"
    # However long the talk is, a question never grows.
    assert talk.understood("and on Mondays?") == f"{FIRST} and on Mondays?"
    assert talk.understood("Where may I park?") == "Where may I park?"
    assert talk.understood("what does it cost") == "Where may I park? what does it cost"


def conversation(tmp_path: Path, line: str) -> Conversation:
    folder = pico_tokenizer(tmp_path)
    return Conversation(ChatWriter(replying(folder, {"one after the other": line})))


def test_a_model_completes_it(tmp_path: Path) -> None:
    talk = conversation(tmp_path, "- When is it open on Sundays?\nI hope")
    assert talk.understood(FIRST) == FIRST
    assert talk.understood("and on Sundays?") == "When is it open on Sundays?"


@pytest.mark.parametrize("line", ["", "And on Sundays?"])
def test_what_a_model_did_not_complete_is_put_together(tmp_path: Path, line: str) -> None:
    talk = conversation(tmp_path, line)
    talk.understood(FIRST)
    assert talk.understood("and on Sundays?") == f"{FIRST} and on Sundays?"
