"""Weights as transformers loads them: on their device, in their number format.

Code that came with a model runs (https://huggingface.co/docs/transformers/custom_models), and
pickled weights are read, only where the settings say so.
"""

import logging
import pickle
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.utils import is_flash_attn_2_available
from transformers.utils import logging as transformers_logging

from avalan import extras
from avalan.errors import ConfigurationError, MissingExtra, ModelError, reason_of
from avalan.hub.found import code_files
from avalan.hub.headers import read_headers
from avalan.locale import _
from avalan.model.entities import ATTENTIONS, WEIGHT_TYPES, EngineSettings
from avalan.model.prompt import read_json

_ON_CUDA = ("flash_attention_2", "flex_attention")
_WEIGHT_TYPES = {
    "auto": "auto",
    "fp32": torch.float32,
    "f32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "f16": torch.float16,
    "int8": torch.bfloat16,
    "int4": torch.bfloat16,
}
"""What is computed with; quantised weights become bf16 where they are used."""
QUANTISED = ("int8", "int4")
_BLOCK = 64
"""Weights that share a scale in NF4, as bitsandbytes has it."""
LOADING_ERRORS = (Exception, SystemExit)
"""What comes out of transformers for files that it cannot use: code that came with a model raises
whatever it likes while it is imported and built."""
_PICKLE_ERRORS = (pickle.UnpicklingError, EOFError, LookupError, TypeError, AttributeError)
"""What torch raises for a file that is no pickle of numbers."""


def load_whole(model_class: Any, folder: Path, settings: EngineSettings, *, kind: str) -> Any:
    """As `load_weights`, for a model that writes text and needs every one of its weights.

    Raises:
        ModelError: as there, or a weight has no file.
    """
    model, missing = load_weights(model_class, folder, settings, kind=kind)
    if missing:  # transformers would draw them at random.
        raise ModelError(
            "The files in {folder} lack {count} of the weights that a {kind} needs, such as "
            "{first}; download the model again, or choose one that writes text.",
            folder=folder,
            count=len(missing),
            kind=kind,
            first=min(missing),
        )
    return model


def load_weights(
    model_class: Any, folder: Path, settings: EngineSettings, *, kind: str, **options: Any
) -> tuple[Any, Collection[str]]:
    """The model in `folder`, ready to run; and the weights that it has no file for.

    Args:
        model_class: a class of transformers with `from_pretrained`.
        kind: what the folder should hold, for the sentences.
        options: further arguments of `from_pretrained`.

    Raises:
        ConfigurationError: there is no such attention.
        ModelError: transformers cannot load it, the device or weight type does not exist, or what
            the settings ask for cannot be done on this machine or without consent.
    """
    quieten()
    if settings.num_threads is not None:
        torch.set_num_threads(settings.num_threads)
    device = find_device(settings.device)
    check_attention(settings.attention, device)
    config = read_json(folder / "config.json")
    check_consent(str(folder), config, trusted=settings.trust_remote_code)
    read_headers(folder)  # Says which file is damaged.
    options = _options(settings, device) | options
    try:
        model, info = model_class.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=settings.trust_remote_code,
            output_loading_info=True,
            **options,
        )
    except LOADING_ERRORS as error:
        is_pickled = settings.allow_pickle and not any(folder.glob("*.safetensors"))
        if not (is_pickled and isinstance(error, _PICKLE_ERRORS)):
            raise ModelError(
                "transformers cannot load the model in {folder} ({reason}); check that the folder "
                "holds a complete {kind}.",
                folder=folder,
                reason=reason_of(error),
                kind=kind,
            ) from error
        raise ModelError(
            "The pickled weights in {folder} are damaged or hold more than numbers, and "
            "nothing else is taken from them; get the model with safetensors.",
            folder=folder,
        ) from error
    if settings.weight_type in QUANTISED:
        _leave_odd_layers(model)
        return model.eval(), info["missing_keys"]  # It is where it belongs.
    if device.type == "cpu" and settings.weight_type == "auto" and model.dtype == torch.float16:
        # Processors have no arithmetic for fp16; converting once is faster than at every product.
        model = model.float()
    return model.to(device).eval(), info["missing_keys"]


def written_by(config: Mapping[str, Any]) -> Any:
    """The class of transformers that wrote a model's files, so that no part of them is left out;
    for code that came with the model, the one that finds it."""
    names = config.get("architectures")
    name = str(names[0]) if isinstance(names, list) and names else "AutoModel"
    table = config.get("auto_map")
    if isinstance(table, Mapping) and config.get("model_type") not in CONFIG_MAPPING_NAMES:
        own = [key for key in table if key.startswith("AutoModel")]
        name = next(
            (key for key in own if str(table[key]).endswith(f".{name}")), (own or [name])[0]
        )
    return getattr(transformers, name, transformers.AutoModel)


def check_consent(model: str, config: Mapping[str, Any], *, trusted: bool) -> None:
    """Whether `model`, a name or a folder, which `config` describes, may be loaded.

    Raises:
        ModelError: the installed transformers has no code for it, and its own is not `trusted`.
    """
    if trusted or not config.get("auto_map") or config.get("model_type") in CONFIG_MAPPING_NAMES:
        return
    files = ", ".join(code_files(config)) or _("of another repository")
    raise ModelError(
        "The model {model} needs Python code that comes with it ({files}), which can read, "
        "change and send whatever you can; read it first, and if you trust it, consent with "
        "--trust-remote-code, as in: avalan model run {model} --trust-remote-code",
        model=model,
        files=files,
    )


def check_attention(name: str, device: torch.device) -> None:
    """Whether the attention called `name` can be computed on `device`.

    Raises:
        ConfigurationError: there is no attention of this name.
        ModelError: it needs another device, or a package that is not installed.
    """
    if name not in ATTENTIONS:
        raise ConfigurationError(
            "There is no attention called {name!r}; choose one of: {known}.",
            name=name,
            known=", ".join(ATTENTIONS),
        )
    if name not in _ON_CUDA:
        return
    if device.type != "cuda":
        raise ModelError(
            "The attention {name!r} computes on CUDA devices only, and the model is to be on "
            "{device!r}; choose the attention 'sdpa', which works there.",
            name=name,
            device=device.type,
        )
    if name == "flash_attention_2" and not is_flash_attn_2_available():
        raise ModelError(
            "The attention {name!r} needs the package 'flash-attn', which is not installed; "
            "run: pip install flash-attn, or choose the attention 'sdpa', which works without.",
            name=name,
        )


def _options(settings: EngineSettings, device: torch.device) -> dict[str, Any]:
    options: dict[str, Any] = {
        "dtype": find_weight_type(settings.weight_type),
        "use_safetensors": None if settings.allow_pickle else True,
        "weights_only": True,
    }
    if settings.attention != "auto":
        options["attn_implementation"] = settings.attention
    if settings.weight_type in QUANTISED:
        options["quantization_config"] = _quantisation(settings.weight_type)
    if settings.low_cpu_mem_usage or settings.weight_type in QUANTISED:
        options["device_map"] = {"": device}  # Tensor by tensor to where it belongs.
    return options


def _quantisation(weight_type: str) -> Any:
    """LLM.int8() (Dettmers et al., 2022, arXiv:2208.07339) or NF4 (Dettmers et al., 2023,
    arXiv:2305.14314).

    Raises:
        MissingExtra: bitsandbytes is not installed.
    """
    if not extras.is_installed("bitsandbytes"):
        raise MissingExtra(
            "The weight type {name!r} needs the package 'bitsandbytes', which is not installed; "
            "run: {command}",
            name=weight_type,
            command=extras.install_command("quantization"),
        )
    if weight_type == "int8":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )


def _leave_odd_layers(model: Any) -> None:
    """Keep bitsandbytes from packing layers in 4 bits that it cannot pack.

    On processors with AVX-512 bf16 it packs them all, and fails where rows are no whole blocks
    (0.50).
    """
    for layer in model.modules():
        packs = getattr(layer, "support_avx512bf16_for_cpu", False)
        if packs and layer.in_features % _BLOCK:
            layer.support_avx512bf16_for_cpu = False


def find_device(name: str) -> torch.device:
    """The device called `name`.

    Raises:
        ModelError: this machine has none.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(
            "There is no device {name!r} on this machine ({reason}); choose the device 'cpu'.",
            name=name,
            reason=reason_of(error),
        ) from error
    return device


def find_weight_type(name: str) -> Any:
    """The torch dtype called `name`, or `auto`.

    Raises:
        ModelError: there is none.
    """
    if name not in _WEIGHT_TYPES:
        raise ModelError(
            "There is no weight type called {name!r}; choose one of: {known}.",
            name=name,
            known=", ".join(WEIGHT_TYPES),
        )
    return _WEIGHT_TYPES[name]


def quieten() -> None:
    """Let transformers speak of errors only: what it remarks is for programmers."""
    transformers_logging.set_verbosity_error()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
