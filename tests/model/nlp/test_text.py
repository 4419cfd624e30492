"""Words in, a stream of tokens out."""

import asyncio
import gc
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from avalan import testing
from avalan.errors import ConfigurationError, ModelError
from avalan.model.entities import GenerationSettings, Message, Token
from avalan.model.nlp.text import TextGenerationModel, conversation

VOCAB = 384


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return testing.pico_tokenizer(tmp_path_factory.mktemp("tokenizer"))


class Gate:
    """An engine's script that waits before every token but the first ones."""

    def __init__(self, free: int = 0) -> None:
        self.permits = threading.Semaphore(free)
        self.count = 0

    def __call__(self, held: tuple[int, ...]) -> list[float]:
        assert self.permits.acquire(timeout=10), "the test forgot to open the gate"
        self.count += 1
        return [0.0] * 70 + [1.0] + [0.0] * (VOCAB - 71)


def scripted(folder: Path, script: testing.Script) -> TextGenerationModel:
    engine = testing.ScriptedEngine(script, vocab_size=VOCAB, context_length=100_000)
    return TextGenerationModel(testing.scripted_model(folder, engine))


def freely(held: tuple[int, ...]) -> list[float]:
    return [0.0] * 70 + [1.0] + [0.0] * (VOCAB - 71)


def eventually(holds: Callable[[], bool]) -> bool:
    for _ in range(500):
        if holds():
            return True
        time.sleep(0.01)
    return False


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "avalan-generate"]


def run(main: Awaitable[Any]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(main, 20)

    return asyncio.run(bounded())


@pytest.mark.parametrize("name", ["pico_onnx_folder", "pico_folder", "pico_qwen_folder"])
def test_shape_of_the_first_example_works(
    request: pytest.FixtureRequest, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(request.getfixturevalue(name))

    async def example() -> int:
        count = 0
        with TextGenerationModel(path) as lm:
            async for token in await lm(
                "Who are you?",
                system_prompt="You are a footballer.",
                settings=GenerationSettings(temperature=0.9, max_new_tokens=12, seed=1),
            ):
                print(token, end="", flush=True)
                count += 1
        return count

    assert 1 <= run(example()) <= 12


def test_text_and_report_belong_to_the_same_answer(pico_onnx_folder: Path) -> None:
    async def main() -> None:
        with TextGenerationModel(str(pico_onnx_folder)) as lm:
            settings = GenerationSettings(max_new_tokens=6)
            stream = await lm("Who are you?", settings=settings)
            text = await stream.text()
            again = [token async for token in await lm("Who are you?", settings=settings)]

            assert text == "".join(map(str, again))
            assert stream.report.finish_reason == "length"
            assert stream.report.usage.completion_tokens == len(again) == 6
            assert stream.report.usage.prompt_tokens > 6
            assert stream.report.tokens_per_s > 0

    run(main())


def test_token_is_shown_before_the_next_one_is_computed(folder: Path) -> None:
    gate = Gate(free=1)

    async def main() -> None:
        with scripted(folder, gate) as lm:
            stream = aiter(await lm("Hi", settings=GenerationSettings(max_new_tokens=2)))
            assert (await anext(stream)).token_id == 70
            assert gate.count == 1
            gate.permits.release()
            assert (await anext(stream)).token_id == 70
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

    run(main())


def test_stream_itself_is_an_iterator_too(folder: Path) -> None:
    async def main() -> None:
        with scripted(folder, freely) as lm:
            stream = await lm("Hi", settings=GenerationSettings(max_new_tokens=3))
            first = await anext(stream)
            rest = await stream.text()
            assert str(first) + rest == str(first) * 3

    run(main())


def test_messages_and_system_prompt_reach_the_model(folder: Path) -> None:
    engine = testing.ScriptedGeneratingEngine([])
    model = testing.scripted_model(folder, engine)
    messages = [Message(role="user", content="a"), Message(role="assistant", content="b")]

    async def main() -> None:
        with TextGenerationModel(model) as lm:
            await (await lm(messages, system_prompt="s")).text()

    run(main())
    expected = model.tokenizer.encode_chat(conversation(messages, "s"))
    assert engine.prompts == [tuple(expected)]
    assert [m.role for m in conversation(messages, "s")] == ["system", "user", "assistant"]


def test_generating_engine_gives_the_same_kind_of_stream(folder: Path) -> None:
    said = [Token(token_id=i, text=text, logprob=-1, probability=1) for i, text in enumerate("abc")]
    model = testing.scripted_model(folder, testing.ScriptedGeneratingEngine(said))

    async def main() -> None:
        with TextGenerationModel(model) as lm:
            stream = await lm("Hi")
            assert await stream.text() == "abc"
            assert stream.report.finish_reason == "stop"
            assert stream.report.usage.completion_tokens == 3
            short = await lm("Hi", settings=GenerationSettings(max_new_tokens=2))
            assert await short.text() == "ab"
            assert short.report.finish_reason == "length"

    run(main())


def test_leaving_the_loop_stops_the_worker(folder: Path) -> None:
    async def main() -> None:
        with scripted(folder, freely) as lm:
            stream = await lm("Hi", settings=GenerationSettings(max_new_tokens=50_000))
            async for _ in stream:
                break
            assert eventually(lambda: not workers())
            assert stream.report.finish_reason == "interrupted"
            assert stream.report.usage.completion_tokens < 50_000

    run(main())


def test_closing_the_stream_stops_the_worker(folder: Path) -> None:
    async def main() -> None:
        with scripted(folder, freely) as lm:
            stream = await lm("Hi", settings=GenerationSettings(max_new_tokens=50_000))
            await anext(stream)
            await stream.aclose()
            assert not workers()
            assert stream.report.finish_reason == "interrupted"

    run(main())


def test_cancelled_task_stops_the_worker(folder: Path) -> None:
    gate = Gate(free=3)

    async def main() -> None:
        with scripted(folder, gate) as lm:
            stream = await lm("Hi")
            task = asyncio.ensure_future(stream.text())
            while gate.count < 3:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gate.permits.release(100)
            assert eventually(lambda: not workers())
            assert gate.count <= 5

    run(main())


def test_closing_the_model_stops_every_worker(folder: Path) -> None:
    async def main() -> None:
        with scripted(folder, freely) as lm:
            streams = [
                await lm("Hi", settings=GenerationSettings(max_new_tokens=50_000)) for _ in "ab"
            ]
            for stream in streams:
                await anext(stream)
            assert len(workers()) == 2
        assert not workers()

    run(main())


def test_stream_that_nobody_reads_costs_nothing(folder: Path) -> None:
    gate = Gate()

    async def main() -> None:
        with scripted(folder, gate) as lm:
            stream = await lm("Hi")
            assert not workers()
            stream.cancel()
            assert await stream.text() == ""
            del stream
            gc.collect()

    run(main())
    assert gate.count == 0


def test_consumer_that_is_always_behind_lets_others_run(folder: Path) -> None:
    async def main() -> None:
        with scripted(folder, freely) as lm:
            stream = await lm("Hi", settings=GenerationSettings(max_new_tokens=400))
            await anext(stream)
            await asyncio.sleep(0.5)  # Meanwhile the worker gets far ahead.
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            task = asyncio.ensure_future(other())
            await stream.text()
            task.cancel()
            assert turns > 10

    run(main())


def test_failure_of_the_worker_comes_after_the_tokens_before_it(folder: Path) -> None:
    def script(held: tuple[int, ...]) -> list[float]:
        script.calls += 1  # type: ignore[attr-defined]
        if script.calls > 2:  # type: ignore[attr-defined]
            raise ModelError("broken")
        return freely(held)

    script.calls = 0  # type: ignore[attr-defined]

    async def main() -> None:
        with scripted(folder, script) as lm:
            stream = await lm("Hi")
            await anext(stream)
            await anext(stream)
            with pytest.raises(ModelError, match="broken"):
                await anext(stream)
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

    run(main())


def test_prompt_that_does_not_fit_is_a_sentence(pico_onnx_folder: Path) -> None:
    async def main() -> None:
        with TextGenerationModel(str(pico_onnx_folder)) as lm:
            await (await lm("word " * 500)).text()

    with pytest.raises(ModelError, match="at most 256 tokens"):
        run(main())


def test_unusable_setting_is_refused_at_the_call(folder: Path) -> None:
    async def main() -> None:
        with scripted(folder, freely) as lm:
            await lm("Hi", settings=GenerationSettings(top_k=0))

    with pytest.raises(ConfigurationError, match="top_k"):
        run(main())


def test_model_that_is_not_loaded_says_how() -> None:
    async def main() -> None:
        await TextGenerationModel("bundled")("Hi")

    with pytest.raises(ConfigurationError, match="with TextGenerationModel"):
        run(main())


def test_model_that_was_open_stays_open(folder: Path) -> None:
    engine = testing.ScriptedEngine(freely, vocab_size=VOCAB)
    model = testing.scripted_model(folder, engine)
    with TextGenerationModel(model):
        pass
    assert not engine.closed
    with model:
        pass
    assert engine.closed


@pytest.fixture(autouse=True)
def _no_worker_is_left() -> Iterator[None]:
    yield
    assert eventually(lambda: not workers())
