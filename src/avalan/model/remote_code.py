"""Models that bring Python code of their own, which runs only with consent.

https://huggingface.co/docs/transformers/custom_models
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from avalan.errors import ModelError
from avalan.hub.found import code_files
from avalan.locale import _


def check_consent(folder: Path, config: Mapping[str, Any], *, trusted: bool) -> None:
    """Whether the model that `config` describes may be loaded.

    Raises:
        ModelError: it needs code of its own and that is not `trusted`.
    """
    if trusted or not needs_code(config):
        return
    files = ", ".join(code_files(config)) or _("of another repository")
    raise ModelError(
        "The model in {folder} needs Python code that came with it ({files}), which can read, "
        "change and send whatever you can; read it first, and if you trust it, consent with "
        "--trust-remote-code.",
        folder=folder,
        files=files,
    )


def needs_code(config: Mapping[str, Any]) -> bool:
    """Whether the installed transformers has no code of its own for the model."""
    return bool(config.get("auto_map")) and config.get("model_type") not in CONFIG_MAPPING_NAMES
