"""LoRA adapters as PEFT saves them, by their files: whose they are, and how large.

A layer's matrices are A, (rank, in), and B, (out, rank); their product is added to the layer's
weights, (out, in) (Hu et al., 2021, arXiv:2106.09685).
"""

from pathlib import Path

from avalan.errors import ModelError
from avalan.hub.headers import read_header, read_headers
from avalan.locale import _
from avalan.model.prompt import read_json

CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
NEW_ROWS = "new_rows.safetensors"
"""Of tokens that the base lacks, as they were before the adapter was trained."""
_CHOOSING = ("layers_to_transform", "exclude_modules")
"""What leaves out layers that the names of the targets mean."""


def find_weights(folder: Path) -> Path:
    """The file of the adapter in `folder`.

    Raises:
        ModelError: there is none.
    """
    if not (folder / _WEIGHTS).is_file():
        raise ModelError(
            "There is no adapter in {folder} ({file} is missing); give the folder that PEFT saved "
            "it to.",
            folder=folder,
            file=_WEIGHTS,
        )
    return folder / _WEIGHTS


def foreign(folder: Path, reason: str) -> ModelError:
    """The error of an adapter of another model."""
    return ModelError(
        "The adapter in {folder} does not fit the model ({reason}); give one that was trained on "
        "this model.",
        folder=folder,
        reason=reason,
    )


def check_fits(folder: Path, model: Path) -> int:
    """Whether the adapter in `folder` was trained on a model like that in `model`; its rank.

    Raises:
        ModelError: there is no adapter, or it has other layers or other shapes.
    """
    tensors = {
        name.removeprefix("base_model.model."): tensor.shape
        for name, tensor in read_header(find_weights(folder)).items()
    }
    places = {
        name.removesuffix(".weight"): tensor.shape
        for name, tensor in read_headers(model).items()
        if name.endswith(".weight")
    }
    first = {
        name.removesuffix(".lora_A.weight"): shape
        for name, shape in tensors.items()
        if name.endswith(".lora_A.weight")
    }
    for name, shape in first.items():
        made = (*tensors.get(f"{name}.lora_B.weight", ())[:1], *shape[1:])
        if places.get(name, made) != made:
            raise foreign(folder, _("its matrices have other shapes"))
    settings = read_json(folder / CONFIG)
    used = first.keys() & places.keys()
    if isinstance(settings.get("target_modules"), list) and not any(map(settings.get, _CHOOSING)):
        ends = {name.rpartition(".")[2] for name in first}
        used = {name for name in places if name.rpartition(".")[2] in ends}
    if len(used) != len(first):
        raise foreign(
            folder, _("{num} tensors, but {used} places", num=len(tensors), used=2 * len(used))
        )
    return max((shape[0] for shape in first.values()), default=1)
