"""A conversation's next turn reads only what is new, and says what it would have said anyway."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from avalan import testing
from avalan.model.entities import GenerationReport, GenerationSettings, Message
from avalan.model.generate import generate
from avalan.model.load import Model, open_model
from avalan.model.nlp.text import TextGenerationModel
from avalan.testing.scripted import ScriptedEngine

SETTINGS = GenerationSettings(max_new_tokens=6)


def answer(
    model: Model, prompt: Sequence[int], *, goes_on: bool
) -> tuple[list[int], GenerationReport]:
    report = GenerationReport()
    tokens = generate(model, prompt, settings=SETTINGS, report=report, goes_on=goes_on)
    return [token.token_id for token in tokens], report


@pytest.fixture(
    scope="module", params=["pico_folder", "pico_qwen_folder", "pico_gguf_file", "nano"]
)
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "nano":
        return "bundled"
    return str(request.getfixturevalue(request.param))


def test_the_next_turn_reads_only_what_is_new_and_says_the_same(name: str) -> None:
    first = list(range(20, 50))
    with open_model(name) as model, open_model(name) as fresh:
        said, report = answer(model, first, goes_on=False)
        assert report.usage.cached_tokens == 0
        second = [*first, *said, 60, 61, 62]

        again, report = answer(model, second, goes_on=True)

        # The last token that was said was never read.
        assert report.usage.cached_tokens == len(first) + len(said) - 1
        assert report.usage.prompt_tokens == len(second)
        assert again == answer(fresh, second, goes_on=False)[0]


def test_where_the_history_reads_otherwise_it_is_read_from_there_on(tmp_path: Path) -> None:
    model = scripted(tmp_path)
    answer(model, [1, 2, 3, 4], goes_on=False)

    _said, report = answer(model, [1, 2, 9, 9, 9], goes_on=True)

    assert report.usage.cached_tokens == 2


def test_an_engine_that_cannot_rewind_goes_on_only_from_all_it_has(tmp_path: Path) -> None:
    model = scripted(tmp_path)
    engine = model.engine
    assert isinstance(engine, ScriptedEngine)
    engine.capabilities = engine.capabilities - {"rewind"}
    said, _report = answer(model, [1, 2, 3, 4], goes_on=False)

    assert answer(model, [1, 2, 9], goes_on=True)[1].usage.cached_tokens == 0
    answer(model, [1, 2, 3, 4], goes_on=False)
    going_on = answer(model, [1, 2, 3, 4, *said, 5], goes_on=True)[1]
    assert going_on.usage.cached_tokens == 4 + len(said) - 1


def test_the_same_prompt_again_leaves_one_token_to_read(tmp_path: Path) -> None:
    model = scripted(tmp_path)
    answer(model, [1, 2, 3], goes_on=False)
    assert answer(model, [1, 2, 3], goes_on=True)[1].usage.cached_tokens == 2


def test_an_answer_that_is_left_early_is_kept_as_far_as_it_came(tmp_path: Path) -> None:
    model = scripted(tmp_path)
    report = GenerationReport()
    tokens = generate(model, [1, 2, 3], settings=SETTINGS, report=report)
    said = [next(tokens).token_id, next(tokens).token_id]
    tokens.close()  # type: ignore[attr-defined]

    assert answer(model, [1, 2, 3, *said, 4], goes_on=True)[1].usage.cached_tokens == 4


async def _talk(lm: TextGenerationModel) -> list[int]:
    messages = [Message(role="user", content="one")]
    counts = []
    for _turn in range(2):
        stream = await lm(messages, settings=SETTINGS)
        text = await stream.text()
        counts.append(stream.report.usage.cached_tokens)
        messages += [
            Message(role="assistant", content=text),
            Message(role="user", content="two"),
        ]
    return counts


def test_a_conversation_is_recognised_by_what_the_model_said_in_it() -> None:
    with TextGenerationModel("bundled") as lm:
        first, second = asyncio.run(_talk(lm))
        assert (first, second > 0) == (0, True)


def scripted(folder: Path) -> Model:
    script = testing.saying([70], after=0, vocab_size=384)
    engine = ScriptedEngine(script, vocab_size=384)
    return testing.scripted_model(testing.pico_tokenizer(folder / "tokenizer"), engine)
