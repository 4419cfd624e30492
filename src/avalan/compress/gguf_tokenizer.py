"""A byte-level BPE tokenizer in the words of GGUF: tokens, their types, merges, controls, template.

llama.cpp does not read a tokenizer's rules for cutting text into words; it knows some by name
(src/llama-vocab.cpp). A tokenizer whose rules are none of those is refused, never guessed.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
from gguf import GGUFWriter, TokenType

from avalan.errors import ModelError
from avalan.locale import _
from avalan.model.prompt import configured_eos_ids, load_tokenizer, read_json

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_QWEN2, _LLAMA3 = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}"
    rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACES}"
    for digits in (r"\p{N}", r"\p{N}{1,3}")
)
_QWEN35 = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_SPACES}"
)
_GPT2 = "ByteLevel+regex"
_RULES: dict[tuple[tuple[str, ...], bool], str] = {
    ((_GPT2,), False): "gpt-2",
    (("Digits", _GPT2), False): "smollm",
    ((_QWEN2, "ByteLevel"), False): "qwen2",
    ((_QWEN35, "ByteLevel"), False): "qwen35",
    ((_LLAMA3, "ByteLevel"), True): "llama-bpe",
    ((_LLAMA3, "ByteLevel"), False): "smaug-bpe",
}
"""Steps before BPE, and whether a word that is a token skips the merges, to llama.cpp's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """A tokenizer as GGUF stores it."""

    rules: str
    """llama.cpp's name for how text is cut into words."""
    tokens: tuple[str, ...]
    types: tuple[TokenType, ...]
    """One per token; the reflection tokens and all other special ones are CONTROL."""
    merges: tuple[str, ...]
    control_ids: dict[str, int]
    """By role: bos, eos, eot, eom, unk, sep, pad, mask; eos, eot and eom end an answer."""
    add_bos: bool
    add_eos: bool
    chat_template: str | None

    def add_to(self, writer: GGUFWriter) -> None:
        """Add the tokenizer's keys."""
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(self.rules)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        writer.add_token_merges(self.merges)
        for role, token_id in self.control_ids.items():
            writer.add_uint32(f"tokenizer.ggml.{_KEYS.get(role, role)}_token_id", token_id)
        writer.add_add_bos_token(self.add_bos)
        writer.add_add_eos_token(self.add_eos)
        if self.chat_template is not None:
            writer.add_chat_template(self.chat_template)


_ROLES = ("bos", "eos", "unk", "sep", "pad", "mask")
_ENDS = ("eos", "eot", "eom")
_KEYS = {"unk": "unknown", "sep": "seperator", "pad": "padding"}


def read_vocabulary(folder: Path, vocab_size: int) -> Vocabulary:
    """The tokenizer of the model in `folder`, padded with unused tokens to `vocab_size`.

    Raises:
        ModelError: there is none, it is not byte-level BPE, llama.cpp does not know its rules, it
            has more tokens than `vocab_size`, or no token ends a text.
    """
    tokenizer = load_tokenizer(folder)
    definition = json.loads(tokenizer.definition or "{}")
    settings = read_json(folder / "tokenizer_config.json")
    _check_model(definition, folder)
    rules = _rules(definition, folder)
    tokens, types = _tokens(definition, vocab_size, folder)
    control_ids = _control_ids(folder, settings, tokens)
    add_bos, add_eos = _added(definition, settings, control_ids, folder)
    return Vocabulary(
        rules=rules,
        tokens=tokens,
        types=types,
        merges=tuple(" ".join(pair) for pair in definition["model"]["merges"]),
        control_ids=control_ids,
        add_bos=add_bos,
        add_eos=add_eos,
        chat_template=tokenizer.chat_template,
    )


def _refused(folder: Path, what: str) -> ModelError:
    return ModelError(
        "The tokenizer in {folder} cannot be written as GGUF ({what}); run the model with the "
        "engine 'transformers' instead.",
        folder=folder,
        what=what,
    )


def _check_model(definition: dict[str, Any], folder: Path) -> None:
    model = definition["model"]
    affixes = ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
    if model["type"] != "BPE" or any(model.get(name) for name in affixes):
        raise _refused(folder, _("it is not byte-level BPE"))
    # llama.cpp composes no characters either way: a text in NFC, as nearly all are, is the same.
    if (definition.get("normalizer") or {"type": "NFC"})["type"] != "NFC":
        raise _refused(folder, _("it changes texts before it cuts them"))


def _rules(definition: dict[str, Any], folder: Path) -> str:
    """llama.cpp's name for the tokenizer's rules."""
    steps = tuple(_step(step) for step in _flat(definition.get("pre_tokenizer") or {}))
    whole_words = bool(definition["model"].get("ignore_merges"))
    name = _RULES.get((steps, whole_words))
    if name is None:
        raise _refused(folder, _("llama.cpp has no name for its way of cutting text into words"))
    return name


def _flat(step: dict[str, Any]) -> list[dict[str, Any]]:
    if step.get("type") != "Sequence":
        return [step]
    return [inner for part in step["pretokenizers"] for inner in _flat(part)]


def _step(step: dict[str, Any]) -> str:
    """What a step does, as `_RULES` writes it; the empty text for what no rule does."""
    match step:
        case {"type": "ByteLevel", "add_prefix_space": False}:
            return _GPT2 if step.get("use_regex", True) else "ByteLevel"
        case {"type": "Digits", "individual_digits": True}:
            return "Digits"
        case {"type": "Split", "pattern": {"Regex": str(regex)}, "behavior": "Isolated"}:
            return "" if step.get("invert") else regex
    return ""


def _tokens(
    definition: dict[str, Any], vocab_size: int, folder: Path
) -> tuple[tuple[str, ...], tuple[TokenType, ...]]:
    entries = {
        token_id: (text, TokenType.NORMAL)
        for text, token_id in definition["model"]["vocab"].items()
    }
    entries |= {token["id"]: _added_token(token) for token in definition["added_tokens"]}
    if max(entries) >= vocab_size:
        raise _refused(
            folder,
            _("it has {count} tokens, the model {size}", count=max(entries) + 1, size=vocab_size),
        )
    padded = [entries.get(i, (f"[PAD{i}]", TokenType.UNUSED)) for i in range(vocab_size)]
    return tuple(text for text, _kind in padded), tuple(kind for _text, kind in padded)


def _added_token(token: dict[str, Any]) -> tuple[str, TokenType]:
    text = token["content"]
    # Models that name a role or a place in a text so mean a control token, flagged or not.
    is_control = token["special"] or (text.startswith("<|") and text.endswith("|>"))
    return text, TokenType.CONTROL if is_control else TokenType.USER_DEFINED


def _control_ids(folder: Path, settings: dict[str, Any], tokens: tuple[str, ...]) -> dict[str, int]:
    """Ids by role, from the tokenizer's settings or else the model's."""
    ids = {text: token_id for token_id, text in enumerate(tokens)}
    config = read_json(folder / "config.json")
    found: dict[str, int] = {}
    for role in _ROLES:
        entry = settings.get(f"{role}_token")
        text = entry.get("content") if isinstance(entry, dict) else entry
        token_id = ids.get(text) if text else None
        token_id = config.get(f"{role}_token_id") if token_id is None else token_id
        if isinstance(token_id, int):
            found[role] = token_id
    ends = list(dict.fromkeys([*_listed(found.get("eos")), *configured_eos_ids(folder)]))
    if not 1 <= len(ends) <= len(_ENDS):
        raise _refused(
            folder, _("{count} of its tokens end a text, and 1 to 3 can", count=len(ends))
        )
    return found | dict(zip(_ENDS, ends, strict=False))


def _listed(token_id: int | None) -> list[int]:
    return [] if token_id is None else [token_id]


def _added(
    definition: dict[str, Any],
    settings: dict[str, Any],
    control_ids: dict[str, int],
    folder: Path,
) -> tuple[bool, bool]:
    """Whether every text begins with the token `bos`, and whether it ends with `eos`."""
    reading = tokenizers.Tokenizer.from_str(json.dumps(definition))
    reading.no_truncation()
    reading.no_padding()
    plain, whole = (reading.encode("a", add_special_tokens=add).ids for add in (False, True))
    start = next(i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)
    around = {"bos": whole[:start], "eos": whole[start + len(plain) :]}
    flags = []
    for role, added in around.items():
        token_id = control_ids.get(role)
        if added not in ([], [token_id]):
            raise _refused(folder, _("it puts more around a text than one token on either side"))
        said = settings.get(f"add_{role}_token")
        flags.append(token_id is not None and bool(added if said is None else said))
    return flags[0], flags[1]
