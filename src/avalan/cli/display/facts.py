"""A model's description in words: labels and values."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from avalan.cli.display.units import bytes_text, count_text, seconds_text
from avalan.locale import _, ngettext, number

if TYPE_CHECKING:
    from avalan.cli.display.description import Description
    from avalan.cli.display.loading import Loaded

_MOST_TOKENS = 16
_FORMATS = {"F64": "fp64", "F32": "fp32", "F16": "fp16", "I8": "int8", "U8": "uint8"}
# As configurations write them.
_FORMATS |= {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


def facts(model: "Description") -> dict[str, str]:
    """Everything but the card and the files."""
    unknown = _("not stated")
    rows = {
        _("Architecture"): model.architecture or unknown,
        _("Parameters"): count_text(model.num_parameters) if model.num_parameters else unknown,
        **{f"  {_(part)}": _share(count, model) for part, count in model.parameters.items()},
        _("Number format"): _formats(model.dtypes) or unknown,
        _("Vocabulary"): _count_of_tokens(model.vocab_size) or unknown,
        _("Context"): _count_of_tokens(model.context_length) or unknown,
        _("Hidden size"): number(model.hidden_size) if model.hidden_size else None,
        _("Layers"): _layers(model) or unknown,
        _("Attention"): _attention(model) or unknown,
        _("Heads"): _heads(model),
        _("Special tokens"): _tokens(model.special_tokens) or unknown,
        **{f"  {role.removesuffix('_token')}": token for role, token in model.roles.items()},
        _("Chat template"): _template(model.chat_template),
        _("Licence"): model.licence or unknown,
    }
    return {label: value for label, value in rows.items() if value}


def summary(model: "Description") -> dict[str, str]:
    """The few that one compares models by."""
    size = bytes_text(sum(row[1] for row in model.files))
    every = facts(model)
    names = (_("Architecture"), _("Parameters"), _("Number format"), _("Context"), _("Licence"))
    found = {name: every[name] for name in names}
    where = _("{size}, not downloaded", size=size)
    if model.is_downloaded:
        where = _("{size}, on disk", size=size)
    elif model.folder:
        where = _("not known; {size} on disk, without the weights", size=size)
    return found | {_("Size"): where}


def loaded_facts(loaded: "Loaded") -> dict[str, str]:
    """What was found by loading."""
    memory, count, width = loaded.memory_bytes, loaded.num_parameters, loaded.vocab_size
    rows = {
        _("Loaded"): _(
            "in {time} with {engine} on {device}",
            time=seconds_text(loaded.seconds),
            engine=loaded.engine,
            device=loaded.device,
        ),
        _("Parameters"): _("{count:,} counted", count=count) if count else None,
        **{f"  {_(part)}": number(count) for part, count in loaded.parameters.items()},
        _("Memory"): bytes_text(memory) if memory else None,
        _("Modules"): ", ".join(f"{count} {name}" for name, count in loaded.modules.items()),
        _("Logits"): _("{count:,} wide", count=width) if width else None,
    }
    return {label: value for label, value in rows.items() if value}


def _share(count: int, model: "Description") -> str:
    share = count / (model.num_parameters or count)
    return f"{count_text(count)} ({f'{share:.0%}' if share >= 0.005 else '<1%'})"


def _formats(dtypes: Mapping[str, int]) -> str | None:
    names = {_format(name): count_text(n) for name, n in dtypes.items()}
    if len(names) < 2:
        return next(iter(names), None)
    return ", ".join(_("{count} in {format}", count=n, format=name) for name, n in names.items())


def _format(name: str) -> str:
    if name[0] == "Q" and name[1:].isdigit():
        return _("{bits}-bit blocks", bits=name[1:])
    # GGUF's own formats are spelled as their files are.
    return _FORMATS.get(name, name if "_" in name else name.lower())


def _layers(model: "Description") -> str:
    if not model.num_layers or not model.layers:
        return str(model.num_layers or "")
    if len(model.layers) == 1:
        (kind,) = model.layers
        return _("{count}, all {kind}", count=model.num_layers, kind=_(kind))
    kinds = ", ".join(f"{count} {_(kind)}" for kind, count in model.layers.items())
    return f"{model.num_layers}: {kinds}"


def _attention(model: "Description") -> str | None:
    kind, window = _(model.attention) if model.attention else None, model.sliding_window
    if kind and window:
        return _("{kind}, over {count:,} tokens", kind=kind, count=window)
    return kind


def _heads(model: "Description") -> str:
    heads, shared = model.num_heads, model.num_kv_heads
    if not heads or shared in (None, heads):
        return str(heads or "")
    return _("{heads}, {shared} for keys and values", heads=heads, shared=shared)


def _count_of_tokens(count: int | None) -> str | None:
    return ngettext("{n:,} token", "{n:,} tokens", count) if count else None


def _tokens(tokens: Sequence[str]) -> str | None:
    more = len(tokens) - _MOST_TOKENS
    shown = " ".join(tokens[:_MOST_TOKENS])
    return _("{tokens} and {count} more", tokens=shown, count=more) if more > 0 else shown or None


def _template(template: str | None) -> str:
    """What a template can do, told from the names that it uses."""
    if template is None:
        return _("none; messages are joined by blank lines")
    kinds = {
        "tools": _("tools"),
        "enable_thinking": _("thinking on or off"),
        "<think>": _("reasoning"),
    }
    knows = ", ".join(text for word, text in kinds.items() if word in template)
    length = ngettext("{n:,} character", "{n:,} characters", len(template))
    return _("{length}; knows {abilities}", length=length, abilities=knows) if knows else length
