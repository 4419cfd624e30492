"""A model's description in words: labels and values."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from avalan.cli.display.units import bytes_text, count_text, seconds_text

if TYPE_CHECKING:
    from avalan.cli.display.description import Description
    from avalan.cli.display.loading import Loaded

_MOST_TOKENS = 16
_FORMATS = {
    "F32": "fp32",
    "F16": "fp16",
    "BF16": "bf16",
    "F64": "fp64",
    "I8": "int8",
    "U8": "uint8",
}


def facts(model: "Description") -> dict[str, str]:
    """Everything but the card and the files; what is not known is left out."""
    heads, kv_heads = model.num_heads, model.num_kv_heads
    shared = f", {kv_heads} for keys and values" if kv_heads not in (None, heads) else ""
    window = f", over {model.sliding_window:,} tokens" if model.sliding_window else ""
    rows = {
        "Architecture": model.architecture,
        "Parameters": count_text(model.num_parameters) if model.num_parameters else None,
        **{f"  {part}": _share(count, model) for part, count in model.parameters.items()},
        "Number format": _formats(model.dtypes),
        "Vocabulary": f"{model.vocab_size:,} tokens" if model.vocab_size else None,
        "Context": f"{model.context_length:,} tokens" if model.context_length else None,
        "Hidden size": f"{model.hidden_size:,}" if model.hidden_size else None,
        "Layers": _layers(model),
        "Attention": f"{model.attention}{window}" if model.attention else None,
        "Heads": f"{heads}{shared}" if heads else None,
        "Special tokens": _tokens(model.special_tokens),
        **{f"  {role.removesuffix('_token')}": token for role, token in model.roles.items()},
        "Chat template": _template(model.chat_template),
        "Licence": model.licence,
    }
    return {label: value for label, value in rows.items() if value}


def summary(model: "Description") -> dict[str, str]:
    """The few that one compares models by."""
    size = sum(size for _, size in model.files)
    where = "on disk" if model.is_downloaded else "not downloaded"
    every = facts(model)
    names = ("Architecture", "Parameters", "Number format", "Context", "Licence")
    found = {name: every[name] for name in names if name in every}
    return found | {"Size": f"{bytes_text(size)}, {where}"}


def loaded_facts(loaded: "Loaded") -> dict[str, str]:
    """What was found by loading."""
    memory = loaded.memory_bytes
    modules = ", ".join(f"{count} {name}" for name, count in loaded.modules.items())
    rows = {
        "Loaded": f"in {seconds_text(loaded.seconds)} with {loaded.engine} on {loaded.device}",
        "Parameters": f"{loaded.num_parameters:,} counted" if loaded.num_parameters else None,
        **{f"  {part}": f"{count:,}" for part, count in loaded.parameters.items()},
        "Memory": bytes_text(memory) if memory else None,
        "Modules": modules or None,
        "Logits": f"{loaded.vocab_size:,} wide" if loaded.vocab_size else None,
    }
    return {label: value for label, value in rows.items() if value}


def _share(count: int, model: "Description") -> str:
    share = count / (model.num_parameters or count)
    return f"{count_text(count)} ({f'{share:.0%}' if share >= 0.005 else '<1%'})"


def _formats(dtypes: Mapping[str, int]) -> str | None:
    names = {_FORMATS.get(name, name.lower()): count for name, count in dtypes.items()}
    if len(names) < 2:
        return next(iter(names), None)
    return ", ".join(f"{count_text(count)} in {name}" for name, count in names.items())


def _layers(model: "Description") -> str | None:
    if not model.num_layers:
        return None
    if len(model.layers) < 2:
        kind = next(iter(model.layers), "")
        return f"{model.num_layers}{f', all {kind}' if kind else ''}"
    kinds = ", ".join(f"{count} {kind}" for kind, count in model.layers.items())
    return f"{model.num_layers}: {kinds}"


def _tokens(tokens: Sequence[str]) -> str | None:
    more = len(tokens) - _MOST_TOKENS
    shown = " ".join(tokens[:_MOST_TOKENS])
    return (f"{shown} and {more} more" if more > 0 else shown) or None


def _template(template: str | None) -> str:
    """What a template can do, told from the names that it uses."""
    if template is None:
        return "none; messages are joined by blank lines"
    kinds = {"tools": "tools", "enable_thinking": "thinking on or off", "<think>": "reasoning"}
    knows = [text for word, text in kinds.items() if word in template]
    return f"{len(template):,} characters{'; knows ' + ', '.join(knows) if knows else ''}"
