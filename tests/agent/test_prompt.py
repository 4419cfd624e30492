"""The system prompt of an agent: Markdown, with values that stay values."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.agent.prompt import render, system_prompt
from avalan.agent.specification import AgentSpecification, Persona, load_specification
from avalan.errors import ConfigurationError

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "agent_gettext_translator.toml"


def prompt(variables: dict[str, Any] | None = None, **persona: Any) -> str:
    return system_prompt(
        AgentSpecification(persona=Persona(**{"role": "R"} | persona), variables=variables or {})
    )


def test_the_example_becomes_markdown_with_its_variables_filled_in() -> None:
    assert system_prompt(load_specification(EXAMPLE)) == (
        "# Role\n\n"
        "You are an expert translator that specializes in translating gettext\n"
        "translation files.\n\n"
        "# Task\n\n"
        "Your task is to translate the given gettext template file,\n"
        "from the original English to Spanish.\n\n"
        "# Instructions\n\n"
        "The text to translate is marked with `msgid`, and it's quoted.\n"
        "Your translation should be defined in `msgstr`.\n\n"
        "# Rules\n\n"
        "- Ensure you keep the gettext format intact, only altering\n"
        "  the `msgstr` section.\n"
        "- Respond only with the translated file."
    )


def test_what_is_left_out_has_no_section() -> None:
    assert prompt() == "# Role\n\nR"
    assert prompt(task=" ", rules=("", "one")) == "# Role\n\nR\n\n# Rules\n\n- one"


def test_the_name_opens_the_role_on_one_line() -> None:
    assert prompt(name=" Leo\n# Messi {{x}}") == "# Role\n\nYour name is Leo # Messi {{x}}.\n\nR"


def test_every_text_may_use_variables() -> None:
    text = "<{{ x | upper }}>"
    said = prompt({"x": "a"}, role=text, task=text, instructions=text, rules=(text,))
    assert said.count("<A>") == 4


@given(value=st.text())
def test_a_value_is_put_in_as_it_is(value: str) -> None:
    assert render("<{{x}}>", {"x": value}, key="k") == f"<{value}>"


def test_a_value_is_never_a_template() -> None:
    hostile = "{{secret}}{% for i in x %}{# c #}"
    assert render("<{{x}}>", {"x": hostile, "secret": "s"}, key="k") == f"<{hostile}>"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "To {{langage}}.",
            "task uses the variable 'langage', which is not defined; did you mean 'language'?",
        ),
        ("{{zzz}}", "'zzz', which is not defined; add to [template]: zzz = …"),
        ("{{range}}", "'range', which is not defined"),
        ("{{language.size}}", "agent.task fails ('str object' has no attribute 'size')"),
        ("a\n{{", "agent.task is broken in its line 2 ("),
        ("{% if %}", "agent.task is broken in its line 1 ("),
        ("{{ 1 / 0 }}", "agent.task fails (division by zero)"),
        ("{% include 'x' %}", "agent.task fails ("),
        ("{{ language.__class__.__mro__ }}", "agent.task fails (access to attribute '__class__'"),
        ("{{ language.format.__globals__ }}", "agent.task fails (access to attribute '__glo"),
    ],
)
def test_a_template_that_fails_is_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        prompt({"language": "French"}, task=text)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_rule_is_named_by_its_number() -> None:
    with pytest.raises(ConfigurationError, match=r"agent\.rules, number 2 uses the variable 'b'"):
        prompt({"a": 1}, rules=("{{a}}", "{{b}}"))
