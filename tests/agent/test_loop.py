"""One turn of an agent, on engines that say what they are told to."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from avalan.agent.loop import Agent
from avalan.agent.specification import AgentSpecification, Persona
from avalan.errors import ConfigurationError, ModelError
from avalan.model.entities import GenerationSettings, Message, Token
from avalan.model.load import Model
from avalan.testing import ScriptedGeneratingEngine, pico_tokenizer, scripted_model

SAID = [Token(token_id=70, text=word, logprob=0.0, probability=1.0) for word in ("a", "b", "c")]
INPUT = "Hi {{x}} </s>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def speaking(folder: Path, context_length: int = 500) -> tuple[Model, ScriptedGeneratingEngine]:
    engine = ScriptedGeneratingEngine(SAID, context_length=context_length)
    return scripted_model(folder, engine), engine


def specification(**run: Any) -> AgentSpecification:
    return AgentSpecification(
        persona=Persona(role="You are {{x}}."),
        variables={"x": "Leo"},
        run=GenerationSettings(**run),
    )


def answer(agent: Agent, text: str) -> str:
    async def turn() -> str:
        return await (await agent(text)).text()

    return asyncio.run(turn())


def test_the_model_reads_the_persona_and_then_the_input_as_it_is(folder: Path) -> None:
    model, engine = speaking(folder)
    with Agent(specification(), model) as agent:
        assert answer(agent, INPUT) == "abc"

    system = Message(role="system", content="# Role\n\nYou are Leo.")
    user = Message(role="user", content=INPUT)
    assert engine.prompts == [tuple(model.tokenizer.encode_chat([system, user]))]
    assert agent.system_prompt == system.content


def test_the_settings_of_run_hold(folder: Path) -> None:
    with Agent(specification(max_new_tokens=2), speaking(folder)[0]) as agent:
        assert answer(agent, "Hi") == "ab"


def test_the_report_is_filled(folder: Path) -> None:
    async def turn(agent: Agent) -> int:
        stream = await agent("Hi")
        await stream.text()
        return stream.report.usage.completion_tokens

    with Agent(specification(), speaking(folder)[0]) as agent:
        assert asyncio.run(turn(agent)) == 3


def test_a_prompt_that_just_fits_is_answered_and_one_more_token_is_a_sentence(
    folder: Path,
) -> None:
    model, engine = speaking(folder)
    with Agent(specification(), model) as agent:
        answer(agent, "Hi")
    length = len(engine.prompts[0])
    own = len(model.tokenizer.encode(agent.system_prompt))

    with Agent(specification(), speaking(folder, length)[0]) as agent:
        assert answer(agent, "Hi") == "abc"
    short, engine = speaking(folder, length - 1)
    with Agent(specification(), short) as agent, pytest.raises(ModelError) as raised:
        answer(agent, "Hi")

    assert str(raised.value).startswith(
        f"The model 'scripted' reads at most {length - 1} tokens, but this prompt has {length} "
        f"({own} of them describe the agent); shorten the input"
    )
    assert engine.prompts == []


def test_a_model_that_was_open_stays_open(folder: Path) -> None:
    model, engine = speaking(folder)
    with Agent(specification(), model):
        pass
    assert not engine.closed


def test_the_specification_s_model_is_loaded_and_freed(pico_onnx_folder: Path) -> None:
    agent = Agent(
        AgentSpecification(
            persona=Persona(role="R"),
            model=str(pico_onnx_folder),
            run=GenerationSettings(max_new_tokens=3),
        )
    )
    with agent:
        assert answer(agent, "Hi")
    with pytest.raises(ConfigurationError, match="not loaded"):
        answer(agent, "Hi")


def test_a_text_that_cannot_be_used_is_refused_before_the_model_is_loaded() -> None:
    with pytest.raises(ConfigurationError, match="'y', which is not defined"):
        Agent(AgentSpecification(persona=Persona(role="{{y}}")))
