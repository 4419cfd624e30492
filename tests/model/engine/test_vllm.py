"""vLLM as an engine: the real one where AVALAN_VLLM names it, and what is said where it is not."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from avalan import testing
from avalan.errors import ConfigurationError, ModelError, TruncatedAnswer
from avalan.model.engine import load_engine
from avalan.model.entities import EngineSettings, GenerationSettings, Token
from avalan.model.nlp.text import TextGenerationModel

pytest.importorskip("openai", reason="served models need the package openai")

needs_vllm = pytest.mark.skipif(
    "AVALAN_VLLM" not in os.environ, reason="AVALAN_VLLM names no vLLM: see docs/vllm.md"
)
FP32 = EngineSettings(engine="vllm", weight_type="fp32", vllm_options=("enforce-eager",))


def test_no_vllm_says_how_to_name_one(pico_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AVALAN_VLLM", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigurationError, match=r"There is no vLLM: .* docs/vllm\.md"):
        load_engine("vllm", pico_folder, EngineSettings())


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("/nowhere/python", "There is no '/nowhere/python'"),
        ("http://127.0.0.1:9", "Nobody answers at http://127.0.0.1:9/v1"),
    ],
)
def test_a_wrong_place_is_a_sentence(pico_folder: Path, place: str, complaint: str) -> None:
    with pytest.raises((ConfigurationError, ModelError), match=complaint):
        load_engine("vllm", pico_folder, EngineSettings(vllm=place))


def test_a_vllm_that_does_not_start_says_its_last_words(pico_folder: Path, tmp_path: Path) -> None:
    command = tmp_path / "vllm"
    command.write_text("#!/bin/sh\necho 'ValueError: no such device' >&2\nexit 3\n")
    command.chmod(0o755)
    with pytest.raises(ModelError, match=r"did not start \(ValueError: no such device\)"):
        load_engine("vllm", pico_folder, EngineSettings(vllm=str(command)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with heads of a size that vLLM has kernels for."""
    shape = {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 4}
    return testing.pico_llama(tmp_path_factory.mktemp("heads-of-64"), head_dim=64, **shape)


@pytest.fixture(scope="module")
def lm(folder: Path) -> Iterator[TextGenerationModel]:
    with TextGenerationModel(str(folder), FP32) as lm:
        yield lm


def answer(lm: TextGenerationModel, **settings: Any) -> tuple[list[Token], Any]:
    async def ask() -> tuple[list[Token], Any]:
        stream = await lm("Who are you?", settings=GenerationSettings(**settings))
        return [token async for token in stream], stream.report

    return asyncio.run(ask())


@needs_vllm
@pytest.mark.slow
class TestRealServer:
    """One server, started once."""

    def test_greedy_tokens_and_log_probabilities_are_those_of_transformers(
        self, lm: TextGenerationModel, folder: Path
    ) -> None:
        ours, report = answer(lm, max_new_tokens=12, num_alternatives=4)
        with TextGenerationModel(str(folder), EngineSettings(engine="transformers")) as other:
            theirs, _ = answer(other, max_new_tokens=12, num_alternatives=4)
        assert [token.token_id for token in ours] == [token.token_id for token in theirs]
        assert [token.logprob for token in ours] == pytest.approx(
            [token.logprob for token in theirs], abs=1e-3
        )
        for mine, its in zip(ours, theirs, strict=True):
            assert [a.text for a in mine.alternatives] == [a.text for a in its.alternatives]
        assert report.usage.completion_tokens == 12
        assert report.finish_reason == "length"

    def test_constraints_hold(self, lm: TextGenerationModel) -> None:
        schema = {
            "type": "object",
            "properties": {"a": {"enum": [1, 2]}},
            "required": ["a"],
            "additionalProperties": False,
        }
        tokens, report = answer(lm, schema=schema, max_new_tokens=60, temperature=1.0, seed=1)
        assert json.loads("".join(map(str, tokens)))["a"] in (1, 2)
        assert (report.constraint, report.enforced_by) == ("schema", "vllm")
        tokens, _ = answer(lm, choices=("yes", "no"))
        assert "".join(map(str, tokens)) in ("yes", "no")

    def test_an_answer_cut_short_is_an_error(self, lm: TextGenerationModel) -> None:
        with pytest.raises(TruncatedAnswer):
            answer(lm, regex="[ab]{9}z", max_new_tokens=3)

    def test_a_prompt_that_does_not_fit_is_said_before(self, lm: TextGenerationModel) -> None:
        async def ask() -> None:
            await (await lm("a " * 4000)).text()

        with pytest.raises(ModelError, match="too many; shorten it"):
            asyncio.run(ask())

    def test_a_server_that_dies_is_a_sentence_and_leaves_nothing(self, folder: Path) -> None:
        with TextGenerationModel(str(folder), FP32) as lm:
            process = lm.model.engine._process  # type: ignore[union-attr]
            os.killpg(process._process.pid, signal.SIGKILL)
            with pytest.raises(ModelError, match=r"Nobody answers|broke off"):
                answer(lm)
        assert process._process.poll() is not None
