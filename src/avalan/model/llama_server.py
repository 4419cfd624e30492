"""A running llama-server: what it says of its model, and its vocabulary over HTTP.

Its native interface takes and gives token ids, so what may become a control token stays decided in
`model/prompt.py`: the server's tokenizer is asked for templates and for contents apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import openai

from avalan.errors import ModelError
from avalan.model.engine.remote import asked, explained, found_at, open_client
from avalan.model.pieces import Encoding, places
from avalan.model.prompt import Readings, Tokenizer, is_bracketed
from avalan.model.service import Service

_BEFORE = -1
"""No token's id, which the server gives back as it is; it stands before each of several texts."""


class LlamaServer:
    """The server's own interface; safe to share between threads."""

    def __init__(self, service: Service) -> None:
        root = service.base_url.rstrip("/").removesuffix("/v1")
        self.service = replace(service, base_url=root)
        self._client = open_client(self.service)

    def get(self, path: str) -> dict[str, Any]:
        """The JSON object at `path`.

        Raises:
            ModelError: nobody answers, the key is refused, or it is no llama-server.
        """
        return self._checked(found_at(path, self._client, self.service))

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """What `path` answers; raises as `get`."""
        with explained(self.service):
            answer = asked(
                self._client,
                lambda client: client.post(path, cast_to=object, body=self._named(body)),
            )
        return self._checked(answer)

    def stream(self, path: str, body: Mapping[str, Any]) -> openai.Stream[Any]:
        """What `path` answers piece by piece; close it. Raises the client's own errors."""
        return asked(
            self._client,
            lambda client: client.post(
                path,
                cast_to=object,
                body=self._named(body) | {"stream": True},
                stream=True,
                stream_cls=openai.Stream[Any],
            ),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _named(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {"model": self.service.model, **body}

    def _checked(self, answer: object) -> dict[str, Any]:
        if not isinstance(answer, dict):
            raise no_llama_server(self.service)
        return answer


class ServedReading:
    """A `Reading` by a llama-server."""

    def __init__(self, server: LlamaServer, pieces: Sequence[bytes], *, trusted: bool) -> None:
        """
        Args:
            pieces: the bytes of each token.
            trusted: control tokens are parsed.
        """
        self._server, self._pieces, self._trusted = server, pieces, trusted
        self.control_ids: frozenset[int] = frozenset()
        """Tokens that only trusted text becomes."""
        self.added_ids: frozenset[int] = frozenset()
        """Those and the others beside the ordinary ones."""

    def encode(self, text: str, /, *, add_special_tokens: bool = True) -> Encoding:
        """Token ids, with the characters that each stands for."""
        ids = self._ids(text, add_special=add_special_tokens)
        mask = [int(token_id in self.control_ids) for token_id in ids]
        return Encoding(ids, places(text, [self._pieces[token_id] for token_id in ids]), mask)

    def encode_each(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, in one request."""
        rows: list[list[int]] = []
        for token_id in self._ids([part for text in texts for part in (_BEFORE, text)]):
            if token_id == _BEFORE:
                rows.append([])
            else:
                rows[-1].append(token_id)
        return rows

    def decode(self, token_ids: Sequence[int], /, *, skip_special_tokens: bool = True) -> str:
        """The text of token ids."""
        shown = [
            self._pieces[token_id]
            for token_id in token_ids
            if 0 <= token_id < len(self._pieces)
            and not (skip_special_tokens and token_id in self.control_ids)
        ]
        return b"".join(shown).decode(errors="replace")

    def id_to_token(self, token_id: int, /) -> str | None:
        """A token's letters."""
        if not 0 <= token_id < len(self._pieces):
            return None
        return self._pieces[token_id].decode(errors="replace")

    def get_added_tokens_decoder(self) -> Mapping[int, Any]:
        """The tokens beside the ordinary ones that read like control tokens."""
        return {
            token_id: SimpleNamespace(
                content=self.id_to_token(token_id), special=token_id in self.control_ids
            )
            for token_id in self.added_ids
        }

    def _ids(self, content: Any, *, add_special: bool = False) -> list[int]:
        body = {
            "content": content,
            "add_special": add_special,
            "parse_special": self._trusted,
        }
        tokens: list[int] = self._server.post("/tokenize", body)["tokens"]
        return tokens


def read_tokenizer(server: LlamaServer, props: Mapping[str, Any], num_tokens: int) -> Tokenizer:
    """The tokenizer of the model that is served.

    Args:
        props: what the server says at `/props`.
        num_tokens: of its vocabulary.
    """
    pieces = _read_pieces(server, num_tokens)
    trusted = ServedReading(server, pieces, trusted=True)
    plain = ServedReading(server, pieces, trusted=False)
    control, added = _find_control(pieces, trusted, plain)
    for reading in (trusted, plain):
        reading.control_ids, reading.added_ids = control, added
    return Tokenizer(
        Readings(
            trusted=trusted,
            plain=plain,
            plain_inner=plain,
            control_ids=added,
            vocab_size=num_tokens,
            spelling=pieces.__getitem__,
        ),
        chat_template=props.get("chat_template") or None,
        special_tokens={
            name: props[name] for name in ("bos_token", "eos_token") if props.get(name)
        },
    )


def no_llama_server(service: Service) -> ModelError:
    """The error of a server that speaks otherwise."""
    return ModelError(
        "The server at {url} is no llama-server; check its address, or ask it over the OpenAI "
        "protocol: ai://local:PORT/NAME.",
        url=service.base_url,
    )


def _read_pieces(server: LlamaServer, num_tokens: int) -> list[bytes]:
    """The bytes of each token: ids in place of text come back with their letters."""
    body = {"content": list(range(num_tokens)), "with_pieces": True}
    pieces = [row["piece"] for row in server.post("/tokenize", body)["tokens"]]
    return [piece.encode() if isinstance(piece, str) else bytes(piece) for piece in pieces]


def _find_control(
    pieces: Sequence[bytes], trusted: ServedReading, plain: ServedReading
) -> tuple[frozenset[int], frozenset[int]]:
    """The control tokens, and with them the bracketed ones that plain text becomes too.

    The server has no list of them, but it reads their letters as one token only where it is told
    to parse control tokens. A bracketed one that it always reads so may control the model as well
    (`<think>`, where it is not flagged).
    """
    spelled = {token_id: piece.decode(errors="replace") for token_id, piece in enumerate(pieces)}
    asked = [token_id for token_id, text in spelled.items() if text.strip()]
    texts = [spelled[token_id] for token_id in asked]
    control, added = set(), set()
    readings = zip(asked, trusted.encode_each(texts), plain.encode_each(texts), strict=True)
    for token_id, parsed, spelled_out in readings:
        if parsed == [token_id] != spelled_out:
            control.add(token_id)
        elif parsed == [token_id] and is_bracketed(spelled[token_id]):
            added.add(token_id)
    return frozenset(control), frozenset(control | added)
