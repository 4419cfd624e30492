"""Chat templates: messages become text in which every character is known as ours or theirs.

A template is Jinja2 that came with a model. It is rendered in a sandbox, and it never sees what the
messages say: an unguessable mark stands for each message's content, so that neither the template
nor the content can pass one for the other. Splitting the result at the marks gives the parts.
"""

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from typing import NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from avalan.errors import ModelError
from avalan.model.entities import Message

Part = tuple[str, bool]
"""A piece of a prompt, and whether it is trusted: True for the template's own text, whose control
tokens are parsed; False for contents."""


def render(
    template: str,
    messages: Sequence[Message],
    *,
    special_tokens: Mapping[str, str],
    add_generation_prompt: bool,
) -> list[Part]:
    """The conversation as parts, in order; joined, they are the prompt's text.

    Only the white space around a content is shown to the template, so that one that trims its
    messages does so here too. What a template would decide by reading a content (cutting a
    reasoning block out of it, say) does not happen.

    Args:
        template: Jinja2 source, as in `tokenizer_config.json` or `chat_template.jinja`.
        special_tokens: `bos_token`, `eos_token` … by name, for the template to place.

    Raises:
        ModelError: the template is broken, refuses the conversation, or leaves a message out.
    """
    marks: dict[str, str] = {}
    shown = []
    for message in messages:
        mark, body = f"\ue000{secrets.token_hex(16)}\ue001", message.content.strip()
        content = message.content.replace(body, mark, 1) if body else message.content
        marks[mark] = body
        shown.append({"role": message.role, "content": content})
    try:
        text = _compile(template)(
            messages=shown,
            add_generation_prompt=add_generation_prompt,
            tools=None,
            documents=None,
            **special_tokens,
        )
    except (TemplateError, TypeError, ValueError, LookupError) as error:
        raise ModelError(
            "The model's chat template refuses this conversation ({error}); change the "
            "messages' roles or their order.",
            error=error,
        ) from error
    for mark, body in marks.items():
        if body and mark not in text:
            raise ModelError(
                "The model's chat template leaves out a message that begins with {start!r}; "
                "the model cannot be given this conversation.",
                start=body[:40],
            )
    pieces = re.split("(" + "|".join(marks) + ")", text) if marks else [text]
    return [(marks.get(piece, piece), piece not in marks) for piece in pieces if piece]


class _Generation(Extension):
    """`{% generation %}` marks the assistant's words for training; here its body is just shown."""

    tags = {"generation"}  # noqa: RUF012 (the parent's own declaration)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@lru_cache(maxsize=8)
def _compile(template: str) -> Callable[..., str]:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
    )
    environment.filters["tojson"] = partial(json.dumps, ensure_ascii=False)
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template).render


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
