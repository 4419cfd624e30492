"""Decoding without a cache: everything is read again for each token, and nothing else changes."""

from pathlib import Path
from typing import Any

import pytest

from avalan import testing
from avalan.errors import ConfigurationError
from avalan.model.decode.loop import decode
from avalan.model.engine import SteppingEngine, load_engine
from avalan.model.entities import EngineSettings, GenerationReport, GenerationSettings
from avalan.model.generate import generate
from avalan.model.prompt import load_tokenizer

PROMPT = [10, 11, 12]


def token_ids(engine: SteppingEngine, folder: Path, before: list[int], **settings: Any) -> Any:
    """What is generated after `before` and PROMPT, and what the state holds then."""
    state = engine.start()
    if before:
        engine.feed(state, before)
    report = GenerationReport()
    tokens = decode(
        engine,
        state,
        PROMPT,
        tokenizer=load_tokenizer(folder),
        settings=GenerationSettings(max_new_tokens=12, repetition_penalty=20, **settings),
        report=report,
    )
    ids = [token.token_id for token in tokens]
    return ids, report.finish_reason, report.usage, state.length


@pytest.mark.parametrize("before", [[], [20, 21]])
@pytest.mark.parametrize(
    ("engine", "model"),
    [
        ("onnx", "pico_onnx_folder"),
        ("transformers", "pico_folder"),
        ("transformers", "pico_qwen_folder"),
    ],
)
def test_the_tokens_are_the_same_with_and_without_a_cache(
    request: pytest.FixtureRequest, engine: str, model: str, before: list[int]
) -> None:
    folder = request.getfixturevalue(model)
    loaded = load_engine(engine, folder, EngineSettings(num_threads=1))
    assert isinstance(loaded, SteppingEngine)

    *kept, held = token_ids(loaded, folder, before)
    *again, held_without = token_ids(loaded, folder, before, use_cache=False)

    assert kept == again
    assert len(set(kept[0])) > 5
    assert held - len(kept[0]) + 1 == held_without == len(before) + len(PROMPT)


def test_without_a_cache_each_step_reads_the_prompt_and_the_answer_again(tmp_path: Path) -> None:
    read: list[int] = []

    class Counting(testing.ScriptedEngine):
        def feed(self, state: Any, token_ids: Any, *, every: bool = False) -> Any:
            read.append(len(token_ids))
            return super().feed(state, token_ids, every=every)

    folder = testing.pico_tokenizer(tmp_path)
    engine = Counting(lambda held: [0.0] * 70 + [1.0] + [0.0] * 313, vocab_size=384)

    token_ids(engine, folder, [], use_cache=False)

    assert read == list(range(3, 15))


def test_an_engine_that_decodes_by_itself_says_that_its_cache_stays(tmp_path: Path) -> None:
    model = testing.scripted_model(
        testing.pico_tokenizer(tmp_path), testing.ScriptedGeneratingEngine([])
    )
    settings = GenerationSettings(use_cache=False)
    with pytest.raises(ConfigurationError, match="use_cache cannot be off"):
        generate(model, PROMPT, settings=settings, report=GenerationReport())
