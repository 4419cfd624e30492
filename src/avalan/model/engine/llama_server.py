"""A llama-server that runs somewhere, over HTTP with token ids: GGUF files without building
llama.cpp here.

Texts become ids as `model/prompt.py` demands, by the server's own tokenizer, and the answer comes
with the log-probabilities of the raw logits. It decodes by itself, so what its options have no
word for is refused.
"""

from collections.abc import Iterator, Sequence
from math import nan
from typing import Any

from avalan.errors import ConfigurationError, ModelError
from avalan.model.engine import Capability, check_room
from avalan.model.engine.remote import NO_ID, check_end, explained
from avalan.model.entities import (
    GenerationReport,
    GenerationSettings,
    Message,
    Token,
    TokenAlternative,
    Usage,
)
from avalan.model.llama_server import LlamaServer, no_llama_server, read_tokenizer
from avalan.model.prompt import Tokenizer
from avalan.model.service import Service

_FILTERS = ["penalties", "temperature", "top_k", "top_p", "min_p"]
"""In the order of `decode/sampling.py`; the server leaves out what is not named."""

_NEUTRAL = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}
"""What the server calls them too, with the values that change nothing."""


class LlamaServerEngine:
    """A generating engine over a llama-server; it reads token ids."""

    capabilities: frozenset[Capability] = frozenset(("logprobs", "grammar", "token_prompt"))

    def __init__(self, server: LlamaServer, vocabulary: Tokenizer, num_cells: int) -> None:
        self._server = server
        self.vocabulary = vocabulary
        self.context_length = num_cells - 1
        """The server keeps the last place of its context for itself."""

    def generate(
        self,
        prompt: Sequence[int] | Sequence[Message],
        settings: GenerationSettings,
        report: GenerationReport,
    ) -> Iterator[Token]:
        """Tokens as they come; see `GeneratingEngine.generate`.

        A token that ends inside a character is not told by the server, neither its id nor its
        probability: it comes as `NO_ID` and NaN, with no text.
        """
        token_ids = [each for each in prompt if isinstance(each, int)]
        check_room(0, len(token_ids), self.context_length)
        request = self._request(token_ids, settings)
        service = self._server.service
        report.constraint = settings.constraint
        report.enforced_by = service.name if settings.constraint else None
        text = ""
        with explained(service):
            answer = self._server.stream("/completion", request)
        with answer, explained(service, begun=True):
            count = 0
            for piece in answer:
                # After the last token a summary follows, which counts those without an end too.
                num_new = int(piece["tokens_predicted"]) - count - len(piece["tokens"])
                for token in [_UNTOLD] * num_new + self._tokens(piece, settings):
                    count += 1
                    text += token.text
                    yield token
                if piece["stop"]:
                    _take_report(piece, report)
        check_end(text, settings, report, service)

    def close(self) -> None:
        """Close the connections; the server goes on."""
        self._server.close()

    def _request(self, token_ids: list[int], settings: GenerationSettings) -> dict[str, Any]:
        """The body of the request, with a value for each setting that the server has one of."""
        given: dict[str, float | None] = {
            "repeat_penalty": settings.repetition_penalty,
            "seed": settings.seed,
        }
        if settings.samples:
            given |= {name: getattr(settings, name) for name in ("temperature", *_NEUTRAL)}
        request = {
            "prompt": token_ids,
            "n_predict": min(settings.max_new_tokens, self.context_length + 1 - len(token_ids)),
            "n_probs": max(settings.num_alternatives, 1),
            "stop": list(settings.stop_strings),
            "samplers": _FILTERS,
            "temperature": 1.0 if settings.samples else 0.0,
            "repeat_last_n": self.context_length + 1,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "mirostat": 0,
            "repeat_penalty": 1.0,
            "seed": -1,
            **_NEUTRAL,
        }
        if not settings.skip_special_tokens:
            shown = self.vocabulary.added_tokens.items()
            request["preserved_tokens"] = [
                text for text, token_id in shown if token_id not in self.vocabulary.eos_ids
            ]
        if settings.forbidden_ids:
            request["logit_bias"] = [[token_id, False] for token_id in settings.forbidden_ids]
        request |= {name: value for name, value in given.items() if value is not None}
        return request | _constraint(settings)

    def _tokens(self, piece: dict[str, Any], settings: GenerationSettings) -> list[Token]:
        """The tokens of one piece of the stream: one, or none in a summary."""
        known = piece.get("completion_probabilities") or ()
        return [
            Token(
                token_id=each["id"],
                text=piece["content"],
                logprob=float(each["logprob"]),
                probability=nan if settings.samples else 1.0,
                alternatives=tuple(
                    TokenAlternative(
                        token_id=other["id"],
                        text=self.vocabulary.decode([other["id"]]),
                        logprob=float(other["logprob"]),
                    )
                    for other in each["top_logprobs"][: settings.num_alternatives]
                ),
                special=each["id"] in self.vocabulary.special_ids,
            )
            for each in known
        ]


def load(service: Service) -> LlamaServerEngine:
    """The engine over a llama-server, which is asked for its vocabulary at once.

    Raises:
        ModelError: nobody answers, the key is refused, it is no llama-server, or it has another
            model.
    """
    server = LlamaServer(service)
    props, models = server.get("/props"), server.get("/v1/models")
    try:
        row = models["data"][0]
        num_tokens = int(row["meta"]["n_vocab"])
        num_cells = int(props["default_generation_settings"]["n_ctx"])
        # Without an alias it is the path of the file.
        found = row["id"].rpartition("/")[2]
        names = {row["id"], found, found.removesuffix(".gguf"), *row.get("aliases", ())}
    except (LookupError, TypeError, AttributeError, ValueError):
        raise no_llama_server(server.service) from None
    if service.model not in names:
        raise ModelError(
            "The server at {url} serves {found!r} and not {name!r}; name that one.",
            url=server.service.base_url,
            found=found,
            name=service.model,
        )
    return LlamaServerEngine(server, read_tokenizer(server, props, num_tokens), num_cells)


_UNTOLD = Token(token_id=NO_ID, text="", logprob=nan, probability=nan)


def _constraint(settings: GenerationSettings) -> dict[str, Any]:
    """The option that holds the answer to the constraint.

    Raises:
        ConfigurationError: there is none.
    """
    if settings.schema is not None:
        return {"json_schema": dict(settings.schema)}
    if settings.regex is not None:
        raise ConfigurationError(
            "A llama-server can be held to a schema or to choices, not to a pattern; run the GGUF "
            "file on this machine, or give a schema."
        )
    if settings.choices:
        return {"grammar": "root ::= " + " | ".join(map(_literal, settings.choices))}
    return {}


def _literal(text: str) -> str:
    """`text` in llama.cpp's grammar notation, each character by its number."""
    return '"' + "".join(f"\\U{ord(character):08X}" for character in text) + '"'


def _take_report(piece: dict[str, Any], report: GenerationReport) -> None:
    """What the summary says of the whole answer."""
    report.finish_reason = "length" if piece["stop_type"] == "limit" else "stop"
    report.usage = Usage(
        prompt_tokens=piece["tokens_evaluated"],
        completion_tokens=piece["tokens_predicted"],
        cached_tokens=int(piece["timings"].get("cache_n", 0)),
    )
