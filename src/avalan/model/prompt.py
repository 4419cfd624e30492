"""The one place where text becomes token ids.

Two readings of a text exist and never mix. *Trusted* text is a template's: `[Retrieval]` in it is
the control token. *Plain* text is anybody's (a user's, a document's, a tool's): there the same
eleven characters are spelled out in ordinary pieces, so that no content can act as a control token.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol

import tokenizers

from avalan import extras
from avalan.errors import AvalanError, ModelError, reason_of
from avalan.model.entities import Message, TokenKind

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""What a byte that is no UTF-8 becomes in an argument; no tokenizer can spell it."""

_KEEPING = ("ByteLevel", "Digits", "Metaspace", "Punctuation", "Split")
"""Pre-tokenizers that leave no text out, unless they are told to."""

Offset = tuple[int, int]
"""Where a token's text stands: first and one-past-last character."""


class Reading(Protocol):
    """One way to read texts with a vocabulary: what of `tokenizers.Tokenizer` is used here."""

    def encode(self, text: Any, /, *, add_special_tokens: bool = True) -> Any:
        """Has `ids`, `offsets` and `special_tokens_mask`."""

    def decode(self, token_ids: Any, /, *, skip_special_tokens: bool = True) -> str:
        """The text of token ids."""

    def id_to_token(self, token_id: int, /) -> str | None:
        """How the vocabulary writes a token."""

    def get_added_tokens_decoder(self) -> Mapping[int, Any]:
        """The tokens beside the vocabulary by id, each with `content` and `special`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """How a vocabulary reads trusted text, and how plain text."""

    trusted: Reading
    """Control tokens are parsed."""
    plain: Reading
    """They are spelled out."""
    plain_inner: Reading
    """The same for text that does not open the prompt."""
    control_ids: frozenset[int]
    """Tokens that plain text must not become."""
    vocab_size: int
    """One more than the highest id."""
    longest: int | None = None
    """The most characters of a text that one token can cover, if there is such a limit."""
    spelling: Callable[[int], bytes] | None = None
    """The bytes that a token adds to a text, where `trusted` is no `tokenizers.Tokenizer`."""


class Tokenizer:
    """Text to token ids and back, for one model.

    Safe to share between threads: nothing in it changes after it is made.
    """

    def __init__(
        self,
        definition: "str | Readings",
        *,
        chat_template: str | None = None,
        special_tokens: Mapping[str, str] | None = None,
        eos_ids: Iterable[int] = (),
    ) -> None:
        """
        Args:
            definition: the text of a `tokenizer.json`, or another vocabulary's readings.
            chat_template: Jinja2 source; without one, `encode_chat` joins by blank lines.
            special_tokens: `bos_token`, `eos_token` … by name, for the chat template.
            eos_ids: tokens that end an answer, besides `special_tokens["eos_token"]`.
        """
        readings = read_definition(definition) if isinstance(definition, str) else definition
        self._trusted, self._plain = readings.trusted, readings.plain
        self._plain_inner, self._control_ids = readings.plain_inner, readings.control_ids
        self.spelling = readings.spelling
        """The bytes that a token adds to a text, where there is no `definition`."""
        self._special_tokens = dict(special_tokens or {})
        self.chat_template = chat_template
        """Its source."""
        added = self._trusted.get_added_tokens_decoder()
        self.added_tokens: Mapping[str, int] = {
            token.content: token_id for token_id, token in added.items()
        }
        """The tokens that stand beside the vocabulary, control tokens among them, and their ids."""
        self.special_ids = frozenset(token_id for token_id, token in added.items() if token.special)
        """Ids of the control and reflection tokens."""
        self.added_ids = frozenset(self.added_tokens.values()) - self.special_ids
        """Ids of the tokens that were added to the vocabulary and control nothing."""
        named = self.added_tokens.get(self._special_tokens.get("eos_token", ""))
        self.eos_ids = frozenset(eos_ids if named is None else [*eos_ids, named])
        """Ids that end an answer."""
        self._longest = readings.longest
        self.vocab_size = readings.vocab_size
        """One more than the highest id; the model's own table may be larger."""

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text: no control token comes out, whatever the text says."""
        return self.encode_with_offsets(text)[0]

    def least_tokens(self, text: str) -> int:
        """A number of tokens that `text` has at least, known without encoding it."""
        if self._longest is None:
            return 0
        return math.ceil(len(text) / self._longest)

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[Offset]]:
        """As `encode`, with each token's place in `text`.

        A character of several bytes may be spelled by several tokens; each then has the place of
        the whole character, so `text[offsets[i][0]:offsets[j][1]]` always covers tokens i to j.
        """
        return self._encode_plain(text, self._plain)

    def encode_with_controls(self, text: str) -> tuple[list[int], list[Offset]]:
        """What the tokenizer's own files make of `text`: control tokens in it are parsed, and those
        that they put before and after a text are there. To look at; a prompt is made by the others.
        """
        encoding = self._trusted.encode(_LONE_SURROGATE.sub("\ufffd", text))
        return encoding.ids, encoding.offsets

    def encode_chat(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = True
    ) -> list[int]:
        """Token ids of a conversation, by the model's chat template.

        Plain text between two control tokens is encoded in one go, so the ids are those of the
        rendered text wherever no content spells a control token. Without a template: the contents
        joined by blank lines, after whatever the tokenizer puts before a text (as `<s>`).

        Raises:
            ModelError: the template refuses the conversation or leaves a message out.
        """
        if self.chat_template is None:
            return self._opening_ids() + self.encode("\n\n".join(m.content for m in messages))
        return self._encode_parts(self._rendered(messages, add_generation_prompt))

    def fit(self, messages: Sequence[Message]) -> Sequence[Message]:
        """`messages`; where the chat template takes no system prompt, with that in front of the
        user's first words, as other tools do it."""
        match messages:
            case [Message(role="system") as system, Message(role="user") as first, *others]:
                merged = replace(first, content=f"{system.content}\n\n{first.content}")
                for tried in (messages, [merged, *others]):
                    with suppress(ModelError):
                        self.generation_prompt(tried)
                        return tried
        return messages  # Whoever encodes them says why they cannot be.

    def generation_prompt(self, messages: Sequence[Message]) -> str:
        """What the chat template says after the last content, before the model's own words.

        Raises:
            ModelError: as `encode_chat`.
        """
        if self.chat_template is None:
            return ""
        *_before, (text, trusted) = self._rendered(messages, True) or [("", True)]
        return text if trusted else ""

    @property
    def definition(self) -> str | None:
        """The text of a `tokenizer.json` that makes this tokenizer, its added tokens included; None
        for a vocabulary of another kind, which has a `spelling`."""
        trusted = self._trusted
        return trusted.to_str() if isinstance(trusted, tokenizers.Tokenizer) else None

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of token ids; ids that the tokenizer does not know add nothing."""
        text: str = self._trusted.decode(list(token_ids), skip_special_tokens=skip_special_tokens)
        return text

    def token(self, token_id: int) -> str:
        """How the vocabulary writes a token, as `Ġthe` or `<0x0A>`; empty for an unknown id."""
        return self._trusted.id_to_token(token_id) or ""

    def kind(self, token_id: int) -> TokenKind:
        """Whether a token controls, was added, or is an ordinary one."""
        if token_id in self.special_ids:
            return "special"
        return "added" if token_id in self.added_ids else "plain"

    def token_id(self, text: str) -> int | None:
        """The id of the control token, or else of the one plain token, that reads `text`."""
        if text in self.added_tokens:
            return self.added_tokens[text]
        ids = self.encode(text)
        return ids[0] if len(ids) == 1 and self.decode(ids) == text else None

    def _rendered(self, messages: Sequence[Message], add_generation_prompt: bool) -> Any:
        # Jinja2 is loaded for models that have a template, when it is first needed.
        return extras.load("avalan.model.template").render(
            self.chat_template,
            messages,
            special_tokens=self._special_tokens,
            add_generation_prompt=add_generation_prompt,
        )

    def _opening_ids(self) -> list[int]:
        """What the tokenizer's own post-processing puts before a text."""
        encoding = self._trusted.encode("a", add_special_tokens=True)
        pairs = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
        return [token_id for token_id, _ in takewhile(lambda pair: pair[1], pairs)]

    def _encode_parts(self, parts: Iterable[tuple[str, bool]]) -> list[int]:
        """Token ids of (text, trusted) pairs, in order; only trusted text has control tokens."""
        ids: list[int] = []
        held = ""
        for text, trusted in parts:
            done = 0
            encoding = self._trusted.encode(text if trusted else "", add_special_tokens=False)
            for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
                if token_id in self._control_ids:
                    ids += [*self._encode_after(ids, held + text[done:start]), token_id]
                    held, done = "", end
            held += text[done:]
        return ids + self._encode_after(ids, held)

    def _encode_after(self, before: Sequence[int], text: str) -> list[int]:
        return self._encode_plain(text, self._plain_inner if before else self._plain)[0]

    def _encode_plain(self, text: str, reading: Reading) -> tuple[list[int], list[Offset]]:
        encoding = reading.encode(_LONE_SURROGATE.sub("\ufffd", text), add_special_tokens=False)
        ids, offsets = encoding.ids, encoding.offsets
        for token_id, (start, end) in zip(ids, offsets, strict=True):
            if token_id in self._control_ids and end - start > 1:
                # Some vocabularies hold the control token as an ordinary piece too; cutting the
                # text inside it leaves no way to spell it in one token.
                cut = start + 1
                ids, offsets = self._encode_plain(text[:cut], reading)
                more_ids, more_offsets = self._encode_plain(text[cut:], self._plain_inner)
                moved = [(first + cut, last + cut) for first, last in more_offsets]
                return ids + more_ids, offsets + moved
        return ids, offsets


def read_definition(definition: str) -> Readings:
    """The readings of the text of a `tokenizer.json`."""
    spelled_out = json.loads(definition)
    trusted = _reading(definition)
    control_ids = _flag_control_tokens(spelled_out)
    plain = _reading(json.dumps(spelled_out), plain=True)
    inner = spelled_out | {"pre_tokenizer": _unprefixed(spelled_out.get("pre_tokenizer"))}
    is_same = inner == spelled_out
    return Readings(
        longest=_longest(spelled_out, trusted.get_vocab(with_added_tokens=True)),
        trusted=trusted,
        plain=plain,
        plain_inner=plain if is_same else _reading(json.dumps(inner), plain=True),
        control_ids=control_ids,
        vocab_size=max(trusted.get_vocab(with_added_tokens=True).values()) + 1,
    )


def _longest(definition: Mapping[str, Any], vocabulary: Mapping[str, int]) -> int | None:
    """The most characters that a token of `vocabulary` covers; None where it is not certain.

    It is certain where every byte has a token and no step drops text: not where unknown words
    become one token, or where spaces are left out.
    """
    model = definition.get("model", {})
    steps = _steps(definition.get("pre_tokenizer"), "pretokenizers")
    changes = _steps(definition.get("normalizer"), "normalizers")
    is_byte_level = any(step["type"] == "ByteLevel" for step in steps)
    spelled = [f"<0x{byte:02X}>" for byte in range(256)] if model.get("byte_fallback") else [""]
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet() if is_byte_level else spelled
    added = definition.get("added_tokens", [])
    if (
        model.get("type") != "BPE"
        or not all(byte in vocabulary for byte in alphabet)
        or not all(step["type"] in _KEEPING and step.get("behavior") != "Removed" for step in steps)
        or not all(_keeps_length(step) for step in changes)
        or any(token.get("lstrip") or token.get("rstrip") for token in added)
    ):
        return None
    # NFC makes one character of up to four.
    most = 4 if any(step["type"] == "NFC" for step in changes) else 1
    return most * max(map(len, vocabulary), default=1)


def _steps(step: Any, inner: str) -> list[dict[str, Any]]:
    """A normalizer's or pre-tokenizer's steps, those of sequences one by one."""
    if not step:
        return []
    if step["type"] != "Sequence":
        return [step]
    return [each for one in step[inner] for each in _steps(one, inner)]


def _keeps_length(step: Mapping[str, Any]) -> bool:
    if step["type"] == "Replace":
        old = step["pattern"].get("String")
        return old is not None and len(old) <= len(step["content"])
    return step["type"] in ("NFC", "Prepend")


def load_tokenizer(
    folder: Path,
    *,
    change: Callable[[str], str] | None = None,
    eos_ids: Iterable[int] = (),
) -> Tokenizer:
    """The tokenizer of the model in `folder`, from its `tokenizer.json` and the files beside it.

    Args:
        change: from the text of its `tokenizer.json` to the one to use.
        eos_ids: further tokens that end an answer.

    Raises:
        ModelError: there is no `tokenizer.json`, or a file is not what its name says.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ModelError(
            "The model folder {folder} has no tokenizer.json; make one by loading the model "
            "with transformers' AutoTokenizer and calling save_pretrained on the folder.",
            folder=folder,
        )
    settings = read_json(folder / "tokenizer_config.json")
    try:
        definition = path.read_text(encoding="utf-8")
        return Tokenizer(
            change(definition) if change else definition,
            chat_template=_read_chat_template(folder, settings),
            special_tokens=_special_tokens(settings),
            eos_ids=[*eos_ids, *configured_eos_ids(folder)],
        )
    except AvalanError:
        raise
    except Exception as error:  # tokenizers raises bare Exception for a broken definition
        raise ModelError(
            "The tokenizer in {path} cannot be read ({error}); download the model again.",
            path=path,
            error=reason_of(error),
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; an absent file is an empty one.

    Raises:
        ModelError: the file is not a JSON object.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(
            "{path} is not readable JSON ({error}); download it again.",
            path=path,
            error=reason_of(error),
        ) from None
    if not isinstance(content, dict):
        raise ModelError("{path} holds no JSON object; download it again.", path=path)
    return content


def _read_chat_template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):  # several by name; the plain one is called default
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    return template if isinstance(template, str) else None


def _special_tokens(settings: Mapping[str, Any]) -> dict[str, str]:
    """`bos_token` and its like; a token is a text, or an object whose `content` is the text."""
    tokens = {}
    for name, value in settings.items():
        text = value.get("content") if isinstance(value, dict) else value
        if name.endswith("_token") and isinstance(text, str):
            tokens[name] = text
    return tokens


def configured_eos_ids(folder: Path) -> list[int]:
    """The tokens that end an answer, as the model's own configuration says."""
    for name in ("generation_config.json", "config.json"):
        ids = read_json(folder / name).get("eos_token_id")
        if ids is not None:
            return ids if isinstance(ids, list) else [ids]
    return []


def _flag_control_tokens(definition: dict[str, Any]) -> frozenset[int]:
    """Flag the control tokens of `definition` as special, in place; returns their ids.

    Only special tokens can be switched off while encoding. Models also have control tokens that
    are not flagged (`<think>`, `<tool_call>`): those are known by their brackets. The rest, such as
    runs of spaces, are ordinary vocabulary. The unknown token is harmless and may come out.
    """
    unknown = definition.get("model", {}).get("unk_token")
    control = set()
    for token in definition.get("added_tokens", []):
        token["special"] = token["special"] or is_bracketed(token["content"])
        if token["special"] and token["content"] != unknown:
            control.add(token["id"])
    return frozenset(control)


def is_bracketed(text: str) -> bool:
    """Whether a token reads like a control token: `<think>`, `[INST]`."""
    text = text.strip()
    return len(text) > 2 and text[0] + text[-1] in ("<>", "[]", "{}")


def _reading(definition: str, *, plain: bool = False) -> tokenizers.Tokenizer:
    """A tokenizer that reads texts whole; a plain one spells control tokens out."""
    reading = tokenizers.Tokenizer.from_str(definition)
    reading.no_truncation()
    reading.no_padding()
    reading.encode_special_tokens = plain
    return reading


def _unprefixed(step: Any) -> Any:
    """The definition of a pre-tokenizer for text that does not open the prompt.

    SentencePiece-like tokenizers put a space before the first word of a text only; text after a
    control token is not the first.
    """
    if not isinstance(step, dict):
        return step
    if step.get("type") == "Sequence":
        return {**step, "pretokenizers": [_unprefixed(one) for one in step["pretokenizers"]]}
    if step.get("type") == "Metaspace" and step.get("prepend_scheme") == "first":
        return {**step, "prepend_scheme": "never"}
    return step
