"""LoRA adapters that PEFT wrote (Hu et al., 2021, arXiv:2106.09685), merged into the weights."""

import warnings
from pathlib import Path
from typing import Any

import peft
from safetensors import safe_open

from avalan.errors import ModelError, reason_of
from avalan.locale import _

_WEIGHTS = "adapter_model.safetensors"


def merged(model: Any, folder: Path) -> Any:
    """`model` with the adapter in `folder` added to its weights; it then costs nothing.

    Raises:
        ModelError: there is no adapter, or it is of another model.
    """
    if not (folder / _WEIGHTS).is_file():
        raise ModelError(
            "There is no adapter in {folder} ({file} is missing); give the folder that PEFT saved "
            "it to.",
            folder=folder,
            file=_WEIGHTS,
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # What is missing is counted below.
            adapted = peft.PeftModel.from_pretrained(model, folder)
    except RuntimeError as error:
        raise _foreign(folder, _("its matrices have other shapes")) from error
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise _foreign(folder, reason_of(error)) from error
    with safe_open(folder / _WEIGHTS, "pt") as file:
        num_stored = len(file.keys())
    num_used = len(peft.get_peft_model_state_dict(adapted))
    if num_used != num_stored:
        raise _foreign(folder, _("{num} tensors, but {used} places", num=num_stored, used=num_used))
    return adapted.merge_and_unload()


def _foreign(folder: Path, reason: str) -> ModelError:
    return ModelError(
        "The adapter in {folder} does not fit the model ({reason}); give one that was trained on "
        "this model.",
        folder=folder,
        reason=reason,
    )
