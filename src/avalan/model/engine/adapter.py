"""LoRA adapters that PEFT wrote (Hu et al., 2021, arXiv:2106.09685), merged into the weights."""

import warnings
from pathlib import Path
from typing import Any

import peft
from safetensors import safe_open

from avalan.errors import reason_of
from avalan.locale import _
from avalan.model.adapter import find_weights, foreign
from avalan.model.engine.new_rows import take_rows


def merged(model: Any, folder: Path) -> Any:
    """`model` with the adapter in `folder` added to its weights; it then costs nothing.

    Raises:
        ModelError: there is no adapter, or it is of another model.
    """
    weights = find_weights(folder)
    take_rows(model, folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # What is missing is counted below.
            adapted = peft.PeftModel.from_pretrained(model, folder)
    except RuntimeError as error:
        raise foreign(folder, _("its matrices have other shapes")) from error
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise foreign(folder, reason_of(error)) from error
    with safe_open(weights, "pt") as file:
        num_stored = len(file.keys())
    num_used = len(peft.get_peft_model_state_dict(adapted, save_embedding_layers=False))
    if num_used != num_stored:
        raise foreign(folder, _("{num} tensors, but {used} places", num=num_stored, used=num_used))
    return adapted.merge_and_unload()
