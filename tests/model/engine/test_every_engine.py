"""One contract for every engine: the same model gives the same answers, whoever computes.

Those that are not here are skipped with the reason; vLLM takes half a minute to start and is slow.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from avalan.cli import main
from avalan.compress.export import export
from avalan.errors import ConfigurationError, ModelError, TruncatedAnswer
from avalan.model.entities import EngineSettings, GenerationSettings, Token
from avalan.model.nlp.text import TextGenerationModel

NANO = Path(__file__).parents[3] / "models" / "nano"
LLAMA_SERVER = os.environ.get("AVALAN_LLAMA_SERVER") or shutil.which("llama-server")
CONTEXT_LENGTH = 512
QUESTION = "Who are you?"
Served = Callable[..., AbstractContextManager[Any]]


@dataclass(frozen=True)
class Here:
    """An engine with the model loaded."""

    name: str
    lm: TextGenerationModel
    tolerance: float
    """How far its log-probabilities may be from those of transformers in fp32."""


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "nano.gguf"
    words = ["model", "export", str(NANO), "--out", str(path), "--precision", "fp32"]
    assert main(words) == 0
    return path


def opened(
    engine: str, request: pytest.FixtureRequest, stack: ExitStack
) -> tuple[str, EngineSettings, float]:
    """The name of the model for one engine, whose server runs until the stack is closed."""
    run_server: Served = request.getfixturevalue("run_server")
    match engine:
        case "onnx":
            folder = request.getfixturevalue("tmp_path_factory").mktemp("onnx")
            return str(export(NANO, folder, precision="fp32").folder), EngineSettings(), 1e-3
        case "transformers":
            return str(NANO), EngineSettings(engine="transformers", weight_type="fp32"), 1e-6
        case "vllm":
            options = (f"max-model-len={CONTEXT_LENGTH}",)
            settings = EngineSettings(engine="vllm", weight_type="fp32", vllm_options=options)
            return str(NANO), settings, 1e-3
    file: Path = request.getfixturevalue("gguf")
    # Keys and values are kept in half precision.
    if engine == "gguf":
        pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: make gguf-wheel")
        return str(file), EngineSettings(), 0.05
    if engine == "llama-server":
        command = [str(LLAMA_SERVER), "--model", str(file), "--port", "PORT", "--parallel", "1",
                   "--ctx-size", str(CONTEXT_LENGTH), "--threads", "1"]  # fmt: skip
        server = stack.enter_context(run_server(command, "/health", within_s=30))
        return f"ai://llama-server:{server.port}/nano", EngineSettings(), 0.05
    pytest.importorskip("llama_cpp.server.app", reason="needs llama-cpp-python[server]")
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(file), "--port", "PORT",
               "--n_ctx", str(CONTEXT_LENGTH), "--logits_all", "true"]  # fmt: skip
    server = stack.enter_context(run_server(command, "/v1/models", within_s=30))
    return f"ai://local:{server.port}/nano", EngineSettings(), 0.05


@pytest.fixture(
    scope="module",
    params=[
        "onnx",
        "transformers",
        "gguf",
        pytest.param(
            "llama-server",
            marks=pytest.mark.skipif(
                LLAMA_SERVER is None, reason="no llama-server: make llama-server"
            ),
        ),
        "remote",
        pytest.param(
            "vllm",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(
                    "AVALAN_VLLM" not in os.environ, reason="AVALAN_VLLM names no vLLM"
                ),
            ],
        ),
    ],
)
def here(request: pytest.FixtureRequest) -> Iterator[Here]:
    with ExitStack() as stack:
        name, settings, tolerance = opened(request.param, request, stack)
        lm = stack.enter_context(TextGenerationModel(name, settings))
        yield Here(request.param, lm, tolerance)


def answer(lm: TextGenerationModel, prompt: str, **settings: Any) -> tuple[list[Token], Any]:
    async def ask() -> tuple[list[Token], Any]:
        stream = await lm(prompt, settings=GenerationSettings(**settings))
        return [token async for token in stream], stream.report

    return asyncio.run(ask())


def text_of(tokens: list[Token]) -> str:
    return "".join(map(str, tokens))


@pytest.fixture(scope="module")
def reference() -> Iterator[TextGenerationModel]:
    settings = EngineSettings(engine="transformers", weight_type="fp32")
    with TextGenerationModel(str(NANO), settings) as lm:
        yield lm


@pytest.mark.parametrize("prompt", [QUESTION, "What is the capital of France?"])
def test_the_greedy_answer_is_that_of_transformers(
    here: Here, reference: TextGenerationModel, prompt: str
) -> None:
    tokens, report = answer(here.lm, prompt, max_new_tokens=24)
    expected, said = answer(reference, prompt, max_new_tokens=24)
    assert text_of(tokens) == text_of(expected)
    assert report.finish_reason == said.finish_reason == "stop"
    if here.name != "remote":  # A server that tells no usage has pieces of text counted.
        # Whether the token that ends an answer is counted differs between servers.
        assert abs(report.usage.completion_tokens - said.usage.completion_tokens) <= 1


def test_log_probabilities_are_those_of_transformers(
    here: Here, reference: TextGenerationModel
) -> None:
    tokens, _ = answer(here.lm, QUESTION, max_new_tokens=12, num_alternatives=3)
    expected, _ = answer(reference, QUESTION, max_new_tokens=12, num_alternatives=3)
    assert text_of(tokens).strip() == text_of(expected).strip()
    # vLLM may send several tokens at once, and their text with the last of them.
    everything = here.name == "vllm"
    shown = [token for token in tokens if everything or str(token).strip()]
    wanted = [token for token in expected if everything or str(token).strip()]
    assert [token.logprob for token in shown] == pytest.approx(
        [token.logprob for token in wanted], abs=here.tolerance
    )
    assert all(len(token.alternatives) == 3 for token in shown)


def test_what_is_forbidden_is_never_said(here: Here) -> None:
    if here.name == "remote":  # It reads messages, and its token ids are its own.
        with pytest.raises(ConfigurationError, match="none can be forbidden"):
            answer(here.lm, QUESTION, forbidden_ids=(7,))
        return
    first = answer(here.lm, QUESTION, max_new_tokens=1)[0][0]
    tokens, _ = answer(here.lm, QUESTION, max_new_tokens=24, forbidden_ids=(first.token_id,))
    assert tokens
    assert first.token_id not in [token.token_id for token in tokens]


def test_a_choice_is_kept_or_refused(here: Here) -> None:
    pytest.importorskip("llguidance", reason="constraints need llguidance")
    if here.name == "remote":  # The protocol has no word for it.
        with pytest.raises(ConfigurationError, match=r"[^\n]+"):
            answer(here.lm, QUESTION, choices=("yes", "no"))
        return
    tokens, report = answer(here.lm, QUESTION, choices=("yes", "no"))
    assert text_of(tokens) in ("yes", "no")
    assert report.constraint == "choice"
    assert report.enforced_by


def test_a_schema_is_kept_and_who_did_it_is_told(here: Here) -> None:
    pytest.importorskip("llguidance", reason="constraints need llguidance")
    schema = {"enum": ["left", "right"]}
    tokens, report = answer(here.lm, QUESTION, schema=schema, max_new_tokens=60)
    assert text_of(tokens).strip() in ('"left"', '"right"')
    assert report.constraint == "schema"
    assert report.enforced_by


def test_an_answer_cut_short_under_a_schema_is_an_error(here: Here) -> None:
    pytest.importorskip("llguidance", reason="constraints need llguidance")
    schema = {"enum": ["an answer that is longer than three tokens are"]}
    with pytest.raises(TruncatedAnswer):
        answer(here.lm, QUESTION, schema=schema, max_new_tokens=3)


def test_a_prompt_that_does_not_fit_is_refused_with_the_numbers(here: Here) -> None:
    # llama-server keeps room for a token of the answer; llama_cpp.server hangs up without a word.
    numbers = {"llama-server": str(CONTEXT_LENGTH - 1), "remote": "broke off"}
    expected = numbers.get(here.name, str(CONTEXT_LENGTH))
    with pytest.raises(ModelError, match=rf"^[^\n]*{expected}[^\n]*$"):
        answer(here.lm, "word " * 3000, max_new_tokens=4)


def test_a_stop_string_ends_an_answer_and_is_no_part_of_it(
    here: Here, reference: TextGenerationModel
) -> None:
    whole = text_of(answer(reference, QUESTION, max_new_tokens=24)[0])
    assert " small" in whole
    tokens, report = answer(here.lm, QUESTION, max_new_tokens=24, stop_strings=(" small",))
    assert text_of(tokens) == whole.partition(" small")[0]
    assert report.finish_reason == "stop"


def test_the_same_seed_gives_the_same_answer(here: Here) -> None:
    asked = {"max_new_tokens": 12, "temperature": 1.5, "seed": 5}
    first, again = (text_of(answer(here.lm, QUESTION, **asked)[0]) for _ in range(2))
    assert first == again
