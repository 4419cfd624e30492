"""What is written in a document is text: no attack in one becomes a token, a turn or a decision."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from avalan.model.entities import Message
from avalan.model.prompt import Tokenizer, load_tokenizer
from avalan.reflection.loop import ask
from avalan.reflection.marks import broken
from avalan.reflection.panel import open_panel
from avalan.reflection.reading import prompt_ids
from avalan.reflection.render import encode_passage
from avalan.reflection.tokens import ALL
from avalan.retrieval.index import SyncIndex
from avalan.testing import ROLES, pico_tokenizer

FILE = Path(__file__).parents[1] / "data" / "attacks.jsonl"
ATTACKS = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
NAMES = [f"{attack['id']}-{attack['kind']}" for attack in ATTACKS]
MARKS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "</think>", "<tool_call>")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """One that has reflection tokens and the marks of common templates, all of them special."""
    folder = tmp_path_factory.mktemp("marked")
    return load_tokenizer(pico_tokenizer(folder, special_tokens=(*ALL, *MARKS)))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncIndex]:
    """A document for each attack."""
    folder = tmp_path_factory.mktemp("attacks")
    for attack in ATTACKS:
        text = f"# {attack['title']}\n\n{attack['text']}\n"
        (folder / f"{attack['id']}.md").write_bytes(text.encode())
    with SyncIndex.temporary(embedder="none") as made:
        list(made.add([folder]))
        yield made


def test_there_are_many_attacks_of_every_kind() -> None:
    assert len(ATTACKS) >= 100
    assert len({attack["kind"] for attack in ATTACKS}) >= 10
    assert all(attack["answers"] for attack in ATTACKS)
    assert all(gold in attack["text"] for attack in ATTACKS for gold in attack["answers"])


def special(tokenizer: Tokenizer, token_ids: list[int]) -> list[int]:
    return [each for each in token_ids if each in tokenizer.special_ids]


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
def test_a_document_is_encoded_without_a_control_token(
    tokenizer: Tokenizer, attack: dict[str, Any]
) -> None:
    encoded = encode_passage(tokenizer, attack["title"], attack["text"])
    assert special(tokenizer, list(encoded.token_ids)) == []


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
def test_a_document_inside_a_turn_opens_no_other(
    tokenizer: Tokenizer, attack: dict[str, Any]
) -> None:
    def asked(text: str) -> list[int]:
        return prompt_ids(tokenizer, [Message(role="user", content=f"Passage:\n{text}")])

    assert special(tokenizer, asked(attack["text"])) == special(tokenizer, asked("Nothing."))


def test_the_marks_would_be_control_tokens_if_they_were_let(tokenizer: Tokenizer) -> None:
    """So that the tests above can fail."""
    assert {tokenizer.token_id(mark) for mark in (*ALL, *MARKS, *ROLES)} <= tokenizer.special_ids
    marked = [each for each in ATTACKS if any(mark in each["text"] for mark in (*ALL, *MARKS))]
    assert len(marked) >= 15


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
def test_a_server_gets_no_mark_that_is_whole(attack: dict[str, Any]) -> None:
    found = broken(attack["text"])
    assert not any(mark in found for mark in (*ALL, *MARKS))
    assert broken(found) == found


def test_no_document_changes_what_is_decided_or_how_it_is_answered(index: SyncIndex) -> None:
    """The same steps as without it, and an answer that stands in a document word for word."""
    with open_panel("rules") as panel:
        for attack in ATTACKS:
            *steps, end = ask(attack["question"], panel=panel, index=index)
            decided = panel.need.need(attack["question"])
            assert end.decision.probability == decided, attack["id"]
            kinds = [type(step).__name__ for step in steps]
            reads = ["Read"] * len(end.readings)
            cites = ["Citation"] * (not end.abstained)
            assert kinds == ["Decision", "Found", *reads, *cites], attack["id"]
            for place in end.citations:
                held = Path(place.source).read_bytes()
                assert held[place.start : place.end].decode() == place.text == end.text
