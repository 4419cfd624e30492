"""Settings that one answer, made token by token, honours or refuses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from avalan import testing
from avalan.errors import ConfigurationError
from avalan.model.decode.loop import decode
from avalan.model.decode.sampling import check_settings, for_one_answer
from avalan.model.entities import GenerationReport, GenerationSettings, Token
from avalan.model.generate import generate
from avalan.model.load import Model


def test_max_length_counts_the_prompt_and_replaces_max_new_tokens() -> None:
    given = GenerationSettings(max_length=60, max_new_tokens=5)

    made = for_one_answer(given, 50)

    assert (made.max_new_tokens, made.max_length) == (10, None)
    assert for_one_answer(made, 50) == made


def test_settings_without_max_length_stay() -> None:
    given = GenerationSettings(num_beams=1, early_stopping=False, min_length=0)

    assert for_one_answer(given, 1_000) is given


@pytest.mark.parametrize("num_prompt_tokens", [60, 61])
def test_prompt_as_long_as_max_length_is_refused_with_the_numbers(num_prompt_tokens: int) -> None:
    with pytest.raises(ConfigurationError, match=f"is 60 .* has {num_prompt_tokens} tokens"):
        for_one_answer(GenerationSettings(max_length=60), num_prompt_tokens)


BEYOND = [{"num_beams": 4}, {"early_stopping": True}, {"length_penalty": 2.0}, {"min_length": 3}]


@pytest.mark.parametrize("setting", BEYOND, ids=str)
def test_what_only_a_beam_search_honours_is_refused_never_dropped(
    setting: dict[str, object],
) -> None:
    (name, value), *_ = setting.items()
    settings = GenerationSettings(**setting)
    engine = testing.ScriptedEngine(lambda held: [0.0] * 8, vocab_size=8)

    with pytest.raises(ConfigurationError, match=f"setting {name} is {value}, but text generation"):
        for_one_answer(settings, 1)
    with pytest.raises(ConfigurationError, match=name):
        next(
            decode(
                engine,
                engine.start(),
                [1],
                tokenizer=None,
                settings=settings,
                report=GenerationReport(),
            )
        )


def test_both_kinds_of_engine_keep_to_max_length(pico_folder: Path) -> None:
    script = testing.saying([7], after=3, vocab_size=384)
    stepping = testing.ScriptedEngine(script, vocab_size=384)
    tokens = list(decoded(testing.scripted_model(pico_folder, stepping)))
    generating = testing.ScriptedGeneratingEngine(tokens * 9)

    assert len(tokens) == 5
    assert len(list(decoded(testing.scripted_model(pico_folder, generating)))) == 5


def decoded(model: Model) -> Iterator[Token]:
    settings = GenerationSettings(max_length=8)
    return generate(model, [5, 6, 7], settings=settings, report=GenerationReport())


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ({"max_length": 0}, "at least 1"),
        ({"min_length": -1}, "at least 0"),
        ({"num_beams": 0}, "from 1 to 256"),
        ({"num_beams": 10**9}, "from 1 to 256"),
        ({"length_penalty": float("nan")}, "from -1000 to 1000"),
    ],
)
def test_impossible_lengths_are_refused(setting: dict[str, object], wanted: str) -> None:
    with pytest.raises(ConfigurationError, match=f"must be {wanted}"):
        check_settings(GenerationSettings(**setting))
