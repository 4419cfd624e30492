"""Models that others serve, over the OpenAI protocol: messages go out, tokens come back.

The `openai` package speaks it: it is the protocol's own client, and tries again after failures that
pass; only a silent server is not asked again. What the protocol has no word for is refused here
rather than dropped.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import httpx2
import openai

from avalan import extras
from avalan.errors import ConfigurationError, ModelError, ServerAway
from avalan.locale import _, _n
from avalan.model.decode.constraint import cut_short
from avalan.model.decode.text import StopScanner
from avalan.model.engine import Capability
from avalan.model.entities import (
    GenerationReport,
    GenerationSettings,
    Message,
    Token,
    TokenAlternative,
    Usage,
)
from avalan.model.service import Service

NO_ID = -1
"""The id of a token of which only the text is known."""

_CONNECT_S = 5.0
_RETRIES = 1
"""After a second attempt."""
_PASSING = (408, 409, 429)
"""Statuses below 500 after which a server may be asked again."""
_MOST_ALTERNATIVES = 20
_UNKNOWN = ("top_k", "min_p", "repetition_penalty", "regex")


class RemoteEngine:
    """A generating engine over one served model; it reads messages, not token ids."""

    capabilities: frozenset[Capability] = frozenset(("logprobs", "grammar"))

    def __init__(self, service: Service) -> None:
        self._service = service
        self._client = open_client(service)
        self.context_length = 0
        """Not known; the server says when a prompt does not fit."""
        self.vocabulary = None
        """The server's alone."""

    def generate(
        self,
        prompt: Sequence[int] | Sequence[Message],
        settings: GenerationSettings,
        report: GenerationReport,
    ) -> Iterator[Token]:
        """Tokens as they come; see `GeneratingEngine.generate`."""
        request = _request(self._service, prompt, settings)
        report.constraint = settings.constraint
        report.enforced_by = self._service.name if settings.constraint else None
        text, scanner = "", StopScanner(settings.stop_strings)
        with explained(self._service):
            answer = self._asked(request)
        _check_is_stream(answer, self._service)
        with explained(self._service, begun=True), answer.parse() as chunks:
            for token in (token for chunk in chunks for token in _tokens(chunk, report)):
                if settings.num_alternatives and math.isnan(token.logprob):
                    raise _no_logprobs(self._service)
                if not token.reasoning:
                    # Some servers stop after a stop string, and not before it.
                    token = replace(token, text=scanner.push(token.text))
                    text += token.text
                yield token
                if scanner.stopped:
                    report.finish_reason = "stop"
                    break
        held, usage = scanner.flush(), report.usage
        if held:
            yield _token(held, None)
            report.usage = usage
        check_end(text + held, settings, report, self._service)

    def _asked(self, request: dict[str, Any]) -> Any:
        """The beginning of an answer; some servers know schemas under an older name."""

        def create(client: openai.OpenAI) -> Any:
            return client.chat.completions.with_raw_response.create(**request)

        try:
            return asked(self._client, create)
        except openai.APIStatusError:
            form = request.get("response_format")
            if form is None:
                raise
            older = {"type": "json_object", "schema": form["json_schema"]["schema"]}
            request = request | {"response_format": older}
            return asked(self._client, create)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def open_client(service: Service) -> openai.OpenAI:
    """A client of the server; nothing is asked yet."""
    return openai.OpenAI(
        base_url=service.base_url,
        api_key=service.key or "none",
        timeout=openai.Timeout(service.timeout_s, connect=_CONNECT_S),
        max_retries=_RETRIES,
    )


Answer = TypeVar("Answer")


def asked(client: openai.OpenAI, ask: Callable[[openai.OpenAI], Answer]) -> Answer:
    """What `ask` gets from a client; raises the client's own errors.

    A server that is busy or lost is asked again, as the client does. One that let the time pass is
    not: three times as long is not what `?timeout=` says, and it may still work on the first.
    """
    try:
        return ask(client.with_options(max_retries=0))
    except openai.APITimeoutError:
        raise
    except openai.APIConnectionError:
        return ask(client)
    except openai.APIStatusError as error:
        if error.status_code < 500 and error.status_code not in _PASSING:
            raise
        return ask(client)


@contextmanager
def explained(service: Service, *, begun: bool = False) -> Iterator[None]:
    """Turn what the client raises into sentences, from which the key is gone.

    Args:
        begun: the answer has begun, so a lost connection ends it.

    Raises:
        ModelError: whatever went wrong inside.
    """
    try:
        yield
    except openai.OpenAIError as error:
        if begun and isinstance(error, openai.APIConnectionError):
            raise broken_off(type(error).__name__, service, ServerAway) from None
        raise _sentence(error, service) from None
    except httpx2.ConnectError:
        raise _nobody(service) from None
    except httpx2.HTTPError as error:
        raise broken_off(type(error).__name__, service, ServerAway) from None
    except ValueError as error:
        raise broken_off(type(error).__name__, service) from None


def found_at(path: str, client: openai.OpenAI, service: Service) -> object:
    """The JSON value at `path` of the server; None where there is none.

    Raises:
        ModelError: nobody answers, or the key is refused.
    """
    with explained(service):
        try:
            return asked(client, lambda each: each.get(path, cast_to=object))
        except (openai.NotFoundError, openai.APIResponseValidationError):
            return None


def load(service: Service) -> RemoteEngine:
    """The engine over a served model; nothing is asked before the first prompt."""
    return RemoteEngine(service)


def _request(
    service: Service, prompt: Sequence[int] | Sequence[Message], settings: GenerationSettings
) -> dict[str, Any]:
    """The body of the request.

    Raises:
        ConfigurationError: the protocol cannot say what is asked for.
    """
    _check_known(service, settings)
    messages = [each for each in prompt if isinstance(each, Message)]
    limit = "max_completion_tokens" if service.is_openai else "max_tokens"
    request: dict[str, Any] = {
        "model": service.model,
        "messages": [{"role": each.role, "content": each.content} for each in messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        limit: settings.max_new_tokens,
        "temperature": (settings.temperature or 1.0) if settings.samples else 0.0,
    }
    if settings.samples and settings.top_p is not None:
        request["top_p"] = settings.top_p
    if settings.seed is not None:
        request["seed"] = settings.seed
    if settings.stop_strings:
        request["stop"] = list(settings.stop_strings)
    if settings.num_alternatives:
        request |= {"logprobs": True, "top_logprobs": settings.num_alternatives}
    schema = _schema(settings)
    if schema is not None:
        form = {"name": "answer", "strict": True, "schema": schema}
        request["response_format"] = {"type": "json_schema", "json_schema": form}
    return request


def _check_known(service: Service, settings: GenerationSettings) -> None:
    """Raises ConfigurationError for what the protocol has no word for."""
    for name in _UNKNOWN:
        if getattr(settings, name) is not None:
            raise ConfigurationError(
                "The protocol of {model!r} has no {name}; leave it out, or run the model with an "
                "engine of this machine or with vllm.",
                model=service.name,
                name=name,
            )
    if settings.forbidden_ids:
        raise ConfigurationError(
            "The server of {model!r} reads messages and no tokens, so none can be forbidden; run "
            "the model with an engine of this machine or with vllm.",
            model=service.name,
        )
    if settings.num_alternatives > _MOST_ALTERNATIVES:
        raise ConfigurationError(
            "A served model reports at most {most} alternatives, not {num}; ask for fewer.",
            most=_MOST_ALTERNATIVES,
            num=settings.num_alternatives,
        )


def _schema(settings: GenerationSettings) -> dict[str, Any] | None:
    """The JSON schema of the constraint; choices are asked for as JSON strings."""
    if settings.schema is not None:
        return dict(settings.schema)
    if settings.choices:
        raise ConfigurationError(
            "A served model can be held to a schema, not to choices; give a schema with an enum."
        )
    return None


def _check_is_stream(answer: Any, service: Service) -> None:
    """Raises ModelError for a server that answers with a web page."""
    kind = answer.headers.get("content-type", "")
    if "text/event-stream" not in kind:
        raise ModelError(
            "The server of {name!r} answers with {kind}, not with a stream of tokens; check its "
            "address {url}.",
            name=service.name,
            kind=kind.partition(";")[0] or _("nothing"),
            url=service.base_url,
        )


def _tokens(chunk: Any, report: GenerationReport) -> Iterator[Token]:
    """The tokens of one piece of the stream; the report takes what else it says."""
    take_report(chunk, report)
    for choice in chunk.choices:
        thought = getattr(choice.delta, "reasoning_content", None) or getattr(
            choice.delta, "reasoning", None
        )
        if thought:
            yield _token(thought, None, reasoning=True)
        if choice.delta.content:
            known = choice.logprobs.content if choice.logprobs else None
            yield _token(choice.delta.content, known[0] if known else None)


def take_report(chunk: Any, report: GenerationReport) -> None:
    """What a piece of a stream says of the whole answer."""
    if chunk.usage:
        report.usage = Usage(
            prompt_tokens=chunk.usage.prompt_tokens,
            completion_tokens=chunk.usage.completion_tokens,
        )
    for choice in chunk.choices:
        if choice.finish_reason:
            report.finish_reason = "length" if choice.finish_reason == "length" else "stop"


def _token(text: str, known: Any, *, reasoning: bool = False) -> Token:
    """A token with what the server says of it: NaN where it says nothing."""
    logprob = math.nan if known is None else float(known.logprob)
    return Token(
        token_id=NO_ID,
        text=text,
        logprob=logprob,
        probability=math.exp(logprob),
        alternatives=tuple(
            TokenAlternative(token_id=NO_ID, text=each.token, logprob=float(each.logprob))
            for each in (known.top_logprobs if known is not None else ())
        ),
        reasoning=reasoning,
    )


def _no_logprobs(service: Service) -> ModelError:
    return ModelError(
        "The server of {name!r} gives no log-probabilities; ask without token display, recording "
        "and alternatives.",
        name=service.name,
    )


def check_end(
    text: str, settings: GenerationSettings, report: GenerationReport, service: Service
) -> None:
    """Whether the answer came to its end, and is what it was to be.

    Raises:
        ModelError: the server stopped in the middle, or did not keep to the schema.
        TruncatedAnswer: the answer is cut off before what it was to follow is whole.
    """
    if report.finish_reason in (None, "interrupted"):
        raise broken_off(_("it ended without an end"), service)
    if settings.constraint is not None and report.finish_reason == "length":
        raise cut_short(settings.max_new_tokens, settings.constraint)
    if settings.schema is None:
        return
    checker = extras.load("avalan.model.decode.grammar", extra="grammar")
    if not checker.follows(text, settings):
        raise ModelError(
            "The server of {name!r} did not keep to the schema; choose a server or an engine that "
            "enforces it.",
            name=service.name,
        )


def _sentence(error: openai.OpenAIError, service: Service) -> ModelError:
    status = getattr(error, "status_code", None)
    if isinstance(error, openai.APITimeoutError):
        return ServerAway(
            "{name!r} said nothing for {seconds:g} s; try later, or wait longer with "
            "?timeout=SECONDS in its URI.",
            name=service.name,
            seconds=service.timeout_s,
        )
    if isinstance(error, openai.APIConnectionError):
        return _nobody(service)
    if status in (401, 403):
        return ModelError(
            "The server of {name!r} refuses the key; give another: ai://KEY@provider/model, or "
            "ai://env:VARIABLE@provider/model.",
            name=service.name,
        )
    if status is None:
        return broken_off(_hidden(str(error), service), service)
    return ModelError(
        "The server of {name!r} refuses the request ({reason}); change it, or choose another "
        "model.",
        name=service.name,
        reason=f"{status}: {_hidden(_said(error), service)}",
    )


def _nobody(service: Service) -> ServerAway:
    return ServerAway(
        "Nobody answers at {url} for {name!r}; start the server, or check the address.",
        url=service.base_url,
        name=service.name,
    )


def broken_off(reason: str, service: Service, kind: type[ModelError] = ModelError) -> ModelError:
    """The error of an answer that has no end."""
    sentence = _n("The answer of {name!r} broke off ({reason}); ask again.")
    return kind(sentence, name=service.name, reason=reason)


def _said(error: openai.OpenAIError) -> str:
    """The server's own words in one line; a web page has none that help."""
    body = getattr(error, "body", None)
    said = body.get("message") if isinstance(body, dict) else body
    line = " ".join(str(said or _("no reason given")).split())
    return _("a web page") if line.startswith("<") else line[:300]


def _hidden(text: str, service: Service) -> str:
    """`text` without the key."""
    return text.replace(service.key, "…") if service.key else text
