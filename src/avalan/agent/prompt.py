"""From a persona to a system prompt in Markdown.

The texts are Jinja2 templates, rendered in a sandbox that holds the values of [template] and
nothing else. A value is data: whatever stands in it is put in as it is and never rendered.
"""

import textwrap
from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from avalan.agent.specification import AgentSpecification
from avalan.errors import ConfigurationError
from avalan.locale import _
from avalan.table import near


def system_prompt(specification: AgentSpecification) -> str:
    """Role, task, instructions and rules as sections; what the file leaves out has none.

    Texts are taken without their common indentation and the white space around them.

    Raises:
        ConfigurationError: a text uses a variable that [template] does not define, or is no valid
            template.
    """
    persona, variables = specification.persona, specification.variables
    name = " ".join((persona.name or "").split())
    role = render(persona.role, variables, key="agent.role")
    rules = [
        render(rule, variables, key=_("agent.rules, number {number}", number=number))
        for number, rule in enumerate(persona.rules, 1)
    ]
    sections = {
        "Role": f"Your name is {name}.\n\n{role}" if name else role,
        "Task": render(persona.task or "", variables, key="agent.task"),
        "Instructions": render(persona.instructions or "", variables, key="agent.instructions"),
        "Rules": "\n".join(_item(rule) for rule in rules if rule),
    }
    return "\n\n".join(f"# {title}\n\n{text}" for title, text in sections.items() if text)


def render(text: str, variables: Mapping[str, Any], *, key: str) -> str:
    """The template `text` with its variables filled in.

    Args:
        key: what the sentences call the text.

    Raises:
        ConfigurationError: as `system_prompt`.
    """
    source = textwrap.dedent(text).strip()
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    # Jinja's own `range`, `dict` and the like would stand in for a variable of that name.
    environment.globals.clear()
    try:
        return environment.from_string(source).render(variables).strip()
    except TemplateSyntaxError as error:
        raise ConfigurationError(
            "The template in {key} is broken in its line {line} ({reason}); correct it, or "
            "write {{{{'{{{{'}}}} where two braces are meant.",
            key=key,
            line=error.lineno,
            reason=_reason(error.message),
        ) from None
    except UndefinedError as error:
        raise ConfigurationError(_undefined(environment, source, variables, key, error)) from None
    except Exception as error:  # A template is a little program and can fail like any other.
        raise ConfigurationError(_fails(key, _reason(str(error)) or type(error).__name__)) from None


def _undefined(
    environment: ImmutableSandboxedEnvironment,
    source: str,
    variables: Mapping[str, Any],
    key: str,
    error: UndefinedError,
) -> str:
    used = meta.find_undeclared_variables(environment.parse(source)) - set(variables)
    name = next((name for name in sorted(used) if repr(name) in str(error)), None)
    if name is None:
        return _fails(key, _reason(str(error)))
    return _(
        "The text of {key} uses the variable {name!r}, which is not defined; {hint}",
        key=key,
        name=name,
        hint=near(name, variables) or _("add to [template]: {name} = …", name=name),
    )


def _fails(key: str, reason: str) -> str:
    return _("The template in {key} fails ({reason}); correct it there.", key=key, reason=reason)


def _item(rule: str) -> str:
    return "- " + textwrap.indent(rule, "  ").lstrip()


def _reason(message: str | None) -> str:
    return (message or "").strip().partition("\n")[0].rstrip(".")
