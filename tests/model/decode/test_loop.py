"""The decode loop: each token as soon as it exists, and what is said about it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avalan import testing
from avalan.errors import ConfigurationError, ModelError
from avalan.model.decode.answer import highest
from avalan.model.decode.loop import decode
from avalan.model.engine import SteppingEngine, load_engine
from avalan.model.entities import EngineSettings, GenerationReport, GenerationSettings, Token
from avalan.model.prompt import Tokenizer, load_tokenizer

PROMPT = [10, 11, 12]
VOCAB = 384


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_tokenizer(testing.pico_tokenizer(tmp_path_factory.mktemp("tokenizer")))


def engine_saying(ids: Sequence[int], context_length: int = 256) -> testing.ScriptedEngine:
    script = testing.saying(ids, after=len(PROMPT), vocab_size=VOCAB)
    return testing.ScriptedEngine(script, vocab_size=VOCAB, context_length=context_length)


def run(
    engine: SteppingEngine,
    tokenizer: Tokenizer,
    *,
    report: GenerationReport | None = None,
    prompt: Sequence[int] = PROMPT,
    **settings: Any,
) -> Iterator[Token]:
    return decode(
        engine,
        engine.start(),
        prompt,
        tokenizer=tokenizer,
        settings=GenerationSettings(**settings),
        report=report or GenerationReport(),
    )


def text(tokens: Iterator[Token]) -> str:
    return "".join(map(str, tokens))


def test_first_token_is_shown_before_the_second_is_computed(tokenizer: Tokenizer) -> None:
    engine = engine_saying(tokenizer.encode("Who are you?"))
    tokens = run(engine, tokenizer)
    assert engine.num_feeds == 0

    assert str(next(tokens)) == tokenizer.decode(tokenizer.encode("Who are you?")[:1])
    assert engine.num_feeds == 1
    next(tokens)
    assert engine.num_feeds == 2


def test_answer_ends_at_the_end_token_which_has_no_text(tokenizer: Tokenizer) -> None:
    report = GenerationReport()
    said = [*tokenizer.encode("The fox"), 1, *tokenizer.encode("never")]
    tokens = list(run(engine_saying(said), tokenizer, report=report))

    assert text(iter(tokens)) == "The fox"
    assert (tokens[-1].token_id, tokens[-1].text, tokens[-1].special) == (1, "", True)
    assert report.finish_reason == "stop"
    assert report.usage.prompt_tokens == 3
    assert report.usage.completion_tokens == len(tokens) == len(tokenizer.encode("The fox")) + 1


def test_end_token_is_shown_where_special_tokens_are(tokenizer: Tokenizer) -> None:
    said = [*tokenizer.encode("The fox"), 1]

    shown = text(run(engine_saying(said), tokenizer, skip_special_tokens=False))

    assert shown == "The fox</s>"


def test_answer_ends_at_its_longest_length(tokenizer: Tokenizer) -> None:
    report = GenerationReport()
    tokens = list(run(engine_saying([70]), tokenizer, report=report, max_new_tokens=5))

    assert [token.token_id for token in tokens] == [70] * 5
    assert report.finish_reason == "length"


def test_answer_ends_where_the_context_does(tokenizer: Tokenizer) -> None:
    report = GenerationReport()
    engine = engine_saying([70], context_length=6)

    # Three tokens fit beside the prompt; a fourth is known from the full context.
    assert len(list(run(engine, tokenizer, report=report))) == 4
    assert report.finish_reason == "length"


def test_prompt_that_does_not_fit_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ModelError, match="at most 2 tokens, but the prompt has 3, 1 too many"):
        next(run(engine_saying([70], context_length=2), tokenizer))


def test_stop_string_ends_the_answer_and_never_shows(tokenizer: Tokenizer) -> None:
    report = GenerationReport()
    said = tokenizer.encode("one END two")
    tokens = list(run(engine_saying(said), tokenizer, report=report, stop_strings=("END",)))

    assert text(iter(tokens)) == "one "
    assert report.finish_reason == "stop"
    assert len(tokens) < len(said)


def test_beginning_of_a_stop_string_is_shown_when_nothing_follows(tokenizer: Tokenizer) -> None:
    said = [*tokenizer.encode("one EN"), 1]

    assert text(run(engine_saying(said), tokenizer, stop_strings=("END",))) == "one EN"


def test_half_a_character_at_the_end_is_not_lost(tokenizer: Tokenizer) -> None:
    said = tokenizer.encode("日")[:2]

    assert text(run(engine_saying(said), tokenizer, max_new_tokens=2)) == "\ufffd"


def test_logprob_and_alternatives_are_those_of_the_raw_logits(tokenizer: Tokenizer) -> None:
    values = np.full(VOCAB, -50.0)
    values[[70, 71, 72]] = np.log([0.2, 0.5, 0.3])
    engine = testing.ScriptedEngine(lambda held: list(values), vocab_size=VOCAB)
    options: dict[str, Any] = {"max_new_tokens": 1, "num_alternatives": 3}

    cold = next(run(engine, tokenizer, temperature=0.1, top_k=1, seed=0, **options))
    greedy = next(run(engine, tokenizer, **options))

    for token in (cold, greedy):
        assert token.token_id == 71
        assert token.logprob == pytest.approx(np.log(0.5))
        assert token.probability == pytest.approx(1)
        assert [a.token_id for a in token.alternatives] == [71, 72, 70]
        assert [a.logprob for a in token.alternatives] == pytest.approx(np.log([0.5, 0.3, 0.2]))
        assert [a.text for a in token.alternatives] == [tokenizer.decode([i]) for i in (71, 72, 70)]


def test_probability_is_the_one_after_temperature_and_filters(tokenizer: Tokenizer) -> None:
    values = np.full(VOCAB, -50.0)
    values[[70, 71, 72]] = np.log([0.2, 0.5, 0.3])
    engine = testing.ScriptedEngine(lambda held: list(values), vocab_size=VOCAB)
    tokens = run(engine, tokenizer, temperature=0.5, top_k=2, seed=3, max_new_tokens=30)
    # Squared, because a temperature of 1/2 doubles the logits, and without the third token.
    expected = {71: 0.25 / 0.34, 72: 0.09 / 0.34}

    probabilities = {token.token_id: token.probability for token in tokens}

    assert probabilities == pytest.approx(expected, rel=1e-5)


def test_same_seed_gives_the_same_tokens(pico_onnx_folder: Path, tokenizer: Tokenizer) -> None:
    engine = load_engine("onnx", pico_onnx_folder, EngineSettings())
    assert isinstance(engine, SteppingEngine)

    def drawn(seed: int) -> list[int]:
        options: dict[str, Any] = {"temperature": 20.0, "seed": seed, "max_new_tokens": 20}
        return [token.token_id for token in run(engine, tokenizer, **options)]

    assert drawn(1) == drawn(1) != drawn(2)


def test_repetition_penalty_counts_the_prompt(tokenizer: Tokenizer) -> None:
    values = np.zeros(VOCAB)
    values[[10, 70]] = 4.0, 3.0
    engine = testing.ScriptedEngine(lambda held: list(values), vocab_size=VOCAB)

    assert next(run(engine, tokenizer)).token_id == 10
    assert next(run(engine, tokenizer, repetition_penalty=2.0)).token_id == 70


def test_left_early_is_interrupted(tokenizer: Tokenizer) -> None:
    report = GenerationReport()
    tokens = run(engine_saying([70]), tokenizer, report=report)
    next(tokens)
    tokens.close()  # type: ignore[attr-defined]

    assert report.finish_reason == "interrupted"
    assert report.usage.completion_tokens == 1


def test_time_is_the_model_s_and_not_the_consumer_s(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("avalan.model.decode.loop.perf_counter", clock.now)

    def script(held: tuple[int, ...]) -> list[float]:
        clock.advance(0.5 if len(held) == len(PROMPT) else 0.25)
        return [0.0] * 70 + [1.0] + [0.0] * (VOCAB - 71)

    report = GenerationReport()
    engine = testing.ScriptedEngine(script, vocab_size=VOCAB)
    for _ in run(engine, tokenizer, report=report, max_new_tokens=5):
        clock.advance(100)

    assert report.timings.ttft_s == 0.5
    assert report.timings.decode_s == 1.0
    assert report.tokens_per_s == 4.0


class Clock:
    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


def test_last_token_is_not_fed(tokenizer: Tokenizer) -> None:
    engine = engine_saying([70])
    state = engine.start()
    settings = GenerationSettings(max_new_tokens=4)
    report = GenerationReport()
    list(decode(engine, state, PROMPT, tokenizer=tokenizer, settings=settings, report=report))

    assert state.length == len(PROMPT) + 3


def test_numbers_that_are_not_finite_are_an_error(tokenizer: Tokenizer) -> None:
    engine = testing.ScriptedEngine(lambda held: [float("nan")] * VOCAB, vocab_size=VOCAB)

    with pytest.raises(ModelError, match="not finite"):
        next(run(engine, tokenizer))


def test_unusable_setting_is_refused_before_anything_is_computed(tokenizer: Tokenizer) -> None:
    engine = engine_saying([70])
    with pytest.raises(ConfigurationError, match="top_p"):
        next(run(engine, tokenizer, top_p=7.0))

    assert engine.num_feeds == 0


@pytest.mark.parametrize("family", ["pico_folder", "pico_qwen_folder"])
@pytest.mark.parametrize("penalty", [None, 1.3])
def test_greedy_gives_the_tokens_of_transformers_generate(
    request: pytest.FixtureRequest, family: str, penalty: float | None
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    folder = request.getfixturevalue(family)
    tokenizer = load_tokenizer(folder)
    engine = load_engine("transformers", folder, EngineSettings(num_threads=1))
    assert isinstance(engine, SteppingEngine)
    theirs = AutoModelForCausalLM.from_pretrained(folder)
    for prompt in (tokenizer.encode("Who are you?"), tokenizer.encode("The quick brown")):
        ids = torch.tensor([prompt])
        expected = theirs.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=32,
            do_sample=False,
            repetition_penalty=penalty or 1.0,
            pad_token_id=1,
        )
        settings = {"max_new_tokens": 32, "repetition_penalty": penalty}
        ours = [token.token_id for token in run(engine, tokenizer, prompt=prompt, **settings)]

        assert expected[0, len(prompt) :].tolist() == ours


def test_highest_are_best_first_and_ties_in_order() -> None:
    values = np.array([1, 3, 2, 3], np.float32)

    assert highest(values, 3) == [1, 3, 2]
    assert highest(values, 9) == [1, 3, 2, 0]
    assert highest(values, 0) == []
