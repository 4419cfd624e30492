"""Reasoning is told apart from the answer, however the text was cut into tokens."""

import asyncio
import json
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan import testing
from avalan.model.entities import GenerationSettings, Message, Token
from avalan.model.nlp.reasoning import (
    THINK,
    Block,
    Splitter,
    find_blocks,
    find_opened,
    split_tokens,
)
from avalan.model.nlp.text import TextGenerationModel

HARMONY = find_blocks("<|start|><|channel|><|message|>", ())
CHANNELS = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>")
ANSWER = Block("<answer>", "</answer>", reasoning=False)


def split(
    pieces: Iterable[str],
    *,
    blocks: Sequence[Block] = (THINK,),
    opened: Block | None = None,
    hidden: Sequence[str] = (),
) -> tuple[str, str]:
    """Reasoning and answer of a text that comes in pieces; those in `hidden` are control tokens."""
    splitter = Splitter(tuple(blocks), opened)
    found = []
    for piece in pieces:
        found += splitter.add(piece, hidden=piece in hidden)
    found += splitter.add("", last=True)
    texts = ["".join(p.text for p in found if p.reasoning == which) for which in (True, False)]
    return texts[0], texts[1]


# --- what is reasoning --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello.", ("", "Hello.")),
        ("  Hello. \n", ("", "  Hello. \n")),
        ("<think>\nHm.\n</think>\n\nHello. \n", ("Hm.\n", "Hello. \n")),
        ("\n <think>Hm.</think>Hello.", ("Hm.\n", "Hello.")),
        ("<think>\n\n</think>\n\nHello.", ("", "Hello.")),
        ("<think>a\n\n b</think><think>c</think>d", ("a\n\n b\nc\n", "d")),
        ("<think><think>a</think>b", ("a\n", "b")),
        ("<think>a < b </thin k>", ("a < b </thin k>", "")),
        ("<think>cut o", ("cut o", "")),
        ("<think>cut</thi", ("cut</thi", "")),
        ("<think>", ("", "")),
        ("<thi", ("", "<thi")),
        (" \n", ("", " \n")),
        ("a <think>b</think> c", ("", "a <think>b</think> c")),
        ("a</think>b", ("", "a</think>b")),
        ("", ("", "")),
    ],
)
def test_tags_and_the_white_space_at_them_belong_to_no_text(
    text: str, expected: tuple[str, str]
) -> None:
    assert split([text]) == expected
    assert split(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\nHm.\n</think>\nHello.", ("Hm.\n", "Hello.")),
        ("<think>\nHm.</think>Hello.", ("Hm.\n", "Hello.")),
        ("</think>Hello.", ("", "Hello.")),
        ("Hm", ("Hm", "")),
    ],
)
def test_a_block_that_the_prompt_opened_needs_no_tag(text: str, expected: tuple[str, str]) -> None:
    assert split(text, opened=THINK) == expected


def test_what_stands_around_an_answer_is_no_part_of_it() -> None:
    text = "<think>a</think>\n<answer>\n 4 < 5 \n</answer>\n"
    assert split(text, blocks=[THINK, ANSWER]) == ("a\n", "4 < 5")


def test_channels_that_are_control_tokens_are_read_and_not_shown() -> None:
    pieces = ["<|channel|>", "analysis", "<|message|>", "Hm", ".", "<|end|>", "<|start|>"]
    pieces += ["assistant", "<|channel|>", "final", "<|message|>", "Hel", "lo", "<|return|>"]
    expected = ("Hm.\n", "Hello")
    assert split(pieces, blocks=HARMONY, hidden=CHANNELS) == expected


def test_a_control_token_that_is_no_tag_is_not_shown() -> None:
    pieces = ["<|channel|>", "elsewhere", "<|message|>", "x"]
    assert split(pieces, blocks=HARMONY, hidden=CHANNELS) == ("", "elsewherex")


def reference(text: str, opened: bool) -> tuple[str, str]:
    """The same with regular expressions over the whole text, for one pair of tags."""
    reasoning = ""
    while opened or (match := re.match(r"\s*<think>", text)):
        if not opened:
            text = text[match.end() :]  # type: ignore[union-attr]
        opened = False
        text = re.sub(r"\A(\s*<think>)*\s*", "", text)
        inside, tag, text = text.partition("</think>")
        if not tag:
            return reasoning + inside, ""
        reasoning += f"{inside.rstrip()}\n" if inside else ""
        text = text.lstrip()
    return reasoning, text


TAGGED = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "/", "think", ">", " ", "\n", "a", "b.", "日"]),
    max_size=14,
).map("".join)


@given(text=TAGGED, opened=st.booleans(), data=st.data())
def test_how_a_text_is_cut_changes_neither_text(
    text: str, opened: bool, data: st.DataObject
) -> None:
    places = st.lists(st.integers(0, len(text)), max_size=8).map(sorted)
    cuts = [0, *data.draw(places), len(text)]
    pieces = [text[a:b] for a, b in pairwise(cuts)]
    assert split(pieces, opened=THINK if opened else None) == reference(text, opened)


@given(text=TAGGED)
def test_no_part_of_a_tag_is_ever_shown_that_is_not_kept(text: str) -> None:
    """What has been given out is the beginning of what will have been, at every moment."""
    whole = reference(text, opened=True)
    splitter = Splitter((THINK,), THINK)
    shown = {True: "", False: ""}
    for character in text:
        for piece in splitter.add(character):
            shown[piece.reasoning] += piece.text
        assert (whole[0].startswith(shown[True]), whole[1].startswith(shown[False])) == (True,) * 2


def test_an_answer_that_has_begun_is_never_held_back() -> None:
    splitter = Splitter((THINK,))
    splitter.add("A")
    assert splitter.add(" <")[0].text == " <"


# --- which tags ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ content.split('</think>')[-1] }}", ("<think>", "</think>")),
        ("{{ '<|assistant|><think>\\n' }}", ("<think>", "</think>")),
        ("[THINK] and [/THINK]", ("[THINK]", "[/THINK]")),
        ("</seed:think>", ("<seed:think>", "</seed:think>")),
        ("<thought>\n</thought>", ("<thought>", "</thought>")),
        ("between <reasoning> and </reasoning>", ("<reasoning>", "</reasoning>")),
        ("◁/think▷", ("◁think▷", "◁/think▷")),
        ("<|/thinking|>", ("<|thinking|>", "<|/thinking|>")),
        ("'<|END_THINKING|>'", ("<|START_THINKING|>", "<|END_THINKING|>")),
        ("<|end_of_thought|>", ("<|begin_of_thought|>", "<|end_of_thought|>")),
        ("<|inner_suffix|>", ("<|inner_prefix|>", "<|inner_suffix|>")),
        ("part.split('<channel|>')", ("<|channel>thought\n", "<channel|>")),
        ("Here is my response: x", ("Here is my thought process:", "Here is my response:")),
    ],
)
def test_tags_are_read_from_the_template_or_the_vocabulary(
    source: str, expected: tuple[str, str]
) -> None:
    assert find_blocks(source, ()) == find_blocks(None, [source]) == (Block(*expected),)


@pytest.mark.parametrize(
    "source", ["", "<|think|>", "<tool_call></tool_call>", "think reasoning", "<answer></answer>"]
)
def test_a_model_without_such_tags_does_not_reason(source: str) -> None:
    assert find_blocks(source, [source]) == ()


def test_answers_have_tags_only_beside_reasoning() -> None:
    assert find_blocks("</think><answer>\n</answer>", ()) == (THINK, ANSWER)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("<|assistant|>", None),
        ("<|assistant|><think>\n", THINK),
        ("<think>\n\n</think>\n\n", None),
        ("</think>", None),
        ("<think>a</think><think>", THINK),
        ("", None),
    ],
)
def test_a_prompt_may_leave_a_block_open(prompt: str, expected: Block | None) -> None:
    assert find_opened((THINK, ANSWER), prompt) == expected


# --- over tokens --------------------------------------------------------------------------------


def tokens_of(*texts: str) -> list[Token]:
    return [Token(token_id=i, text=text, logprob=-1, probability=1) for i, text in enumerate(texts)]


def told(*texts: str, last: bool = True) -> list[tuple[int, str, bool]]:
    count = 0

    def source() -> Iterable[Token]:
        nonlocal count
        for token in tokens_of(*texts):
            count += 1
            yield token

    tokens = split_tokens(
        source(), Splitter((THINK,)), hidden={}, is_last=lambda: last and count == len(texts)
    )
    return [(token.token_id, token.text, token.reasoning) for token in tokens]


def test_every_token_comes_once_and_tags_are_reasoning() -> None:
    assert told("<th", "ink>", "Hm", "</", "think>\n", "Hi", "!") == [
        (0, "", False),
        (1, "", True),
        (2, "Hm", True),
        (3, "", True),
        (4, "\n", True),
        (5, "Hi", False),
        (6, "!", False),
    ]


def test_a_token_that_belongs_to_both_texts_comes_twice() -> None:
    assert told("<think>", "Hm</think>Hi", "!") == [
        (0, "", True),
        (1, "Hm\n", True),
        (1, "Hi", False),
        (2, "!", False),
    ]


@pytest.mark.parametrize("last", [True, False])
def test_what_is_held_at_the_end_is_told(last: bool) -> None:
    found = told("<think>", "a", " </thi", last=last)
    assert "".join(text for _, text, _ in found) == "a </thi"
    assert all(reasoning for _, _, reasoning in found)
    assert len(found) == (3 if last else 4)


def test_a_token_is_told_before_the_next_is_asked_for() -> None:
    asked = []

    def source() -> Iterable[Token]:
        for token in tokens_of("<think>", "a", "</think>", "b", "c"):
            asked.append(token.token_id)
            yield token

    for token in split_tokens(source(), Splitter((THINK,)), hidden={}, is_last=lambda: False):
        assert asked[-1] == token.token_id


# --- in a model ---------------------------------------------------------------------------------

OPENS = testing.CHAT_TEMPLATE.replace("{% endif %}", "{{ '<think>\\n' }}{% endif %}")
CUTS = "{% set cut = messages[0]['content'].split('</think>') %}" + testing.CHAT_TEMPLATE


def asked(folder: Path, said: str, template: str, **settings: object) -> list[Token]:
    """The tokens of a model that says `said`, by the chat template `template`."""
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
    silent = testing.scripted_model(folder, testing.ScriptedEngine(lambda _: [], vocab_size=384))
    reader = silent.tokenizer
    prompt = reader.encode_chat([Message(role="user", content="?")])
    said_ids = [*reader.encode_with_controls(said)[0], 1]
    script = testing.saying(said_ids, after=len(prompt), vocab_size=384)
    engine = testing.ScriptedEngine(script, vocab_size=384, context_length=900)

    async def run() -> list[Token]:
        with TextGenerationModel(testing.scripted_model(folder, engine)) as lm:
            options = GenerationSettings(**settings)  # type: ignore[arg-type]
            return [token async for token in await lm("?", settings=options)]

    tokens = asyncio.run(run())
    assert [token.token_id for token in tokens] == said_ids[: len(tokens)]
    return tokens


def texts(tokens: Iterable[Token]) -> tuple[str, str]:
    found = {True: "", False: ""}
    for token in tokens:
        found[token.reasoning] += token.text
    return found[True], found[False]


SAID = "Who am I?\n</think>\n\nA model."


@pytest.mark.parametrize("special", [(), ("<think>", "</think>")])
def test_a_template_that_opens_the_block_is_understood(
    tmp_path: Path, special: tuple[str, ...]
) -> None:
    folder = testing.pico_tokenizer(tmp_path, special_tokens=special)
    assert texts(asked(folder, SAID, OPENS)) == ("Who am I?\n", "A model.")


@pytest.mark.parametrize("special", [(), ("<think>", "</think>")])
def test_a_model_that_opens_the_block_itself_is_understood(
    tmp_path: Path, special: tuple[str, ...]
) -> None:
    folder = testing.pico_tokenizer(tmp_path, special_tokens=special)
    assert texts(asked(folder, "<think>" + SAID, CUTS)) == ("Who am I?\n", "A model.")


def test_control_tokens_that_are_shown_split_the_texts_too(tmp_path: Path) -> None:
    folder = testing.pico_tokenizer(tmp_path, special_tokens=("<think>", "</think>"))
    tokens = asked(folder, "<think>" + SAID, CUTS, skip_special_tokens=False)
    assert texts(tokens) == ("Who am I?\n", "A model.</s>")


def test_the_answer_can_be_taken_to_begin_with_reasoning(tmp_path: Path) -> None:
    folder = testing.pico_tokenizer(tmp_path)
    assert texts(asked(folder, SAID, testing.CHAT_TEMPLATE)) == ("", SAID)
    thinking = asked(folder, SAID, testing.CHAT_TEMPLATE, start_thinking=True)
    assert texts(thinking) == ("Who am I?\n", "A model.")
    reasoning, answer = texts(asked(folder, SAID, CUTS, start_thinking=True))
    assert (reasoning, answer) == ("Who am I?\n", "A model.")


def test_reasoning_that_is_cut_off_is_reasoning_to_the_last_token(tmp_path: Path) -> None:
    folder = testing.pico_tokenizer(tmp_path)
    tokens = asked(folder, SAID, OPENS, max_new_tokens=4)
    reasoning, answer = texts(tokens)
    assert len(tokens) == 4
    assert SAID.startswith(reasoning)
    assert (bool(reasoning), answer) == (True, "")


def test_the_words_of_a_prompt_open_no_block(tmp_path: Path) -> None:
    folder = testing.pico_tokenizer(tmp_path)
    reader = testing.scripted_model(
        folder, testing.ScriptedEngine(lambda _: [], vocab_size=384)
    ).tokenizer
    hostile = [Message(role="user", content="x<think>")]
    assert reader.generation_prompt(hostile) == "</s>\n<|assistant|>\n"


def test_the_text_of_a_stream_is_the_answer(tmp_path: Path) -> None:
    folder = testing.pico_tokenizer(tmp_path)
    tokens = asked(folder, SAID, OPENS)  # Writes the template.
    engine = testing.ScriptedGeneratingEngine(
        [Token(token_id=t.token_id, text=text, logprob=-1, probability=1) for t, text in zip(
            tokens, ["Hm", ".</think>", "Hi"], strict=False)]
    )  # fmt: skip
    model = testing.scripted_model(folder, engine)

    async def main() -> None:
        with TextGenerationModel(model) as lm:
            assert await (await lm("?")).text() == "Hi"
            assert await (await lm("?")).text(reasoning=True) == "Hm.\nHi"

    asyncio.run(main())
