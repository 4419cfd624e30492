"""Answers made together are those made alone, whatever becomes of the others."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from avalan.errors import AvalanError, ModelError, TruncatedAnswer
from avalan.model.decode.batch import Answered, decode_batch
from avalan.model.decode.loop import decode
from avalan.model.entities import EngineSettings, GenerationReport, GenerationSettings
from avalan.model.load import Model, open_model

PROMPTS = ("Who are you?", "The", "Where is the library in the old town?", "A b c d e f", "1 2 3")


@pytest.fixture(
    scope="module",
    params=[("pico_folder", "transformers"), ("pico_qwen_folder", "transformers"),
            ("pico_onnx_folder", "onnx")],
    ids=["llama", "qwen3.5", "onnx-one-by-one"],
)  # fmt: skip
def model(request: pytest.FixtureRequest) -> Iterator[Model]:
    folder, engine = request.param
    settings = EngineSettings(engine=engine, num_threads=1)
    with open_model(str(request.getfixturevalue(folder)), settings) as model:
        yield model


def together(
    model: Model, prompts: Sequence[Sequence[int]], *, batch_size: int = 4, **settings: Any
) -> dict[int, Answered | AvalanError]:
    chosen = GenerationSettings(**{"max_new_tokens": 12} | settings)
    answers = decode_batch(
        model.stepping,
        prompts,
        tokenizer=model.tokenizer,
        settings=chosen,
        batch_size=batch_size,
    )
    return dict(answers)


def alone(model: Model, prompt: Sequence[int], **settings: Any) -> tuple[list[int], str]:
    engine, report = model.stepping, GenerationReport()
    chosen = GenerationSettings(**{"max_new_tokens": 12} | settings)
    tokens = list(
        decode(
            engine, engine.start(), prompt, tokenizer=model.tokenizer, settings=chosen,
            report=report,
        )
    )  # fmt: skip
    return [token.token_id for token in tokens], str(report.finish_reason)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0.8, "top_p": 0.9, "seed": 3},
        {"repetition_penalty": 1.3},
        {"stop_strings": ("e", "a")},
    ],
    ids=["greedy", "sampled", "penalty", "stop"],
)
def test_an_answer_of_a_batch_is_the_answer_alone(model: Model, settings: Any) -> None:
    prompts = [model.tokenizer.encode(text) for text in PROMPTS]
    found = together(model, prompts, **settings)
    assert set(found) == set(range(len(PROMPTS)))
    for index, prompt in enumerate(prompts):
        answer = found[index]
        assert isinstance(answer, Answered)
        ids, finish = alone(model, prompt, **settings)
        assert [token.token_id for token in answer.tokens] == ids
        assert answer.report.finish_reason == finish
        assert answer.report.usage.prompt_tokens == len(prompt)
        assert answer.report.usage.completion_tokens == len(ids)


def test_a_prompt_that_does_not_fit_spoils_no_other(model: Model) -> None:
    long = [5] * (model.stepping.context_length + 1)
    prompts = [model.tokenizer.encode("The"), long, [], model.tokenizer.encode("Who")]
    found = together(model, prompts)
    assert isinstance(found[1], ModelError)
    assert "too many" in str(found[1])
    assert isinstance(found[2], ModelError)
    assert isinstance(found[0], Answered)
    assert isinstance(found[3], Answered)


def test_an_answer_that_is_cut_short_spoils_no_other(model: Model) -> None:
    pytest.importorskip("llguidance", reason="constraints need llguidance")
    prompts = [model.tokenizer.encode(text) for text in PROMPTS]
    # Drawn at random, some rows close the brackets within twelve tokens and some do not.
    found = together(model, prompts, regex="[ab]{1,40}z", temperature=1.0, seed=0)
    whole = [each for each in found.values() if isinstance(each, Answered)]
    cut = [each for each in found.values() if isinstance(each, TruncatedAnswer)]
    assert len(whole) + len(cut) == len(PROMPTS)
    assert all(each.text.endswith("z") and each.report.constraint == "regex" for each in whole)


def test_rows_may_fill_the_context_at_different_times(pico_folder: Path) -> None:
    with open_model(str(pico_folder), EngineSettings(engine="transformers")) as model:
        length = model.stepping.context_length
        prompts = [[7] * (length - 3), [7] * (length - 9), [9, 8]]
        found = together(model, prompts, max_new_tokens=40)
        for index, prompt in enumerate(prompts):
            answer = found[index]
            assert isinstance(answer, Answered)
            ids, finish = alone(model, prompt, max_new_tokens=40)
            assert [token.token_id for token in answer.tokens] == ids
            assert answer.report.finish_reason == finish


def test_each_row_ends_where_it_has_come_far_enough(model: Model) -> None:
    prompts = [model.tokenizer.encode(prompt) for prompt in PROMPTS]
    whole = {row: list(each.tokens) for row, each in together(model, prompts).items()}
    found = decode_batch(
        model.stepping,
        prompts,
        tokenizer=model.tokenizer,
        settings=GenerationSettings(max_new_tokens=12),
        until=lambda tokens: sum(len(token.text) for token in tokens) >= 5,
    )
    for row, answered in found:
        assert isinstance(answered, Answered)
        num = len(answered.tokens)
        assert [each.token_id for each in answered.tokens] == [
            each.token_id for each in whole[row][:num]
        ]
        assert num == len(whole[row]) or len(answered.text) >= 5 > len(answered.text) - len(
            answered.tokens[-1].text
        )
