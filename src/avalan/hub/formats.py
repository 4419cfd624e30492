"""Which files are a model's weights, where a repository or a folder holds them in several formats.

    unsloth/Qwen3-0.6B-GGUF:Q8_0         a GGUF file, by its format
    onnx-community/Qwen3-0.6B-ONNX:q4    an ONNX file, as transformers.js names formats
    ./models/qwen:Qwen3-0.6B-Q8_0.gguf   a file, by its name

Paths are relative to the repository, with forward slashes.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from avalan.errors import ModelError

GGUF, ONNX = ".gguf", ".onnx"

# The most used first, since it is the one that most people have tried: four bits lose little. Then
# what is nearest to it, and from there the smaller losses, each at twice the size at most.
_GGUF_ORDER = (
    "Q4_K_M", "Q4_K_XL", "Q4_K_S", "Q4_0", "Q4_1", "IQ4_NL", "IQ4_XS", "MXFP4", "MXFP4_MOE",
    "Q5_K_M", "Q5_K_S", "Q5_0", "Q6_K", "Q8_0", "F16", "FP16", "BF16", "F32", "FP32",
    "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K",
)  # fmt: skip

_ONNX_FORMATS = ("", "_int8", "_quantized", "_uint8", "_q4", "_bnb4", "_fp16", "_q4f16")
"""How file names of transformers.js tell the format of the numbers; the most exact that processors
compute with first."""
FULL = "fp32"
"""The format of an ONNX file that names none."""
_ALIASES = {"q8": "quantized"}
"""What transformers.js calls a format, where its file names call it something else."""

_GGUF_FILE = re.compile(r"(.+?)(?:-\d{5}-of-(\d{5}))?\.gguf", re.IGNORECASE)
_GGUF_FORMAT = re.compile(
    r"(?:^|[-._/])((?:UD-)?(?:I?Q\d|TQ\d|MXFP\d|B?FP?\d\d)\w*)(?=[-./]|$)", re.IGNORECASE
)
# Eyes and ears of a multimodal model, and what was measured to quantize one.
_NO_MODEL = re.compile(r"mmproj|imatrix", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A model's weights in one format."""

    format: str
    """As Q4_K_M or q4f16; the file's name where that tells none."""
    files: tuple[str, ...]
    """All that belong together, the one to open first."""


def split_format(name: str) -> tuple[str, str | None]:
    """A model's name and the format or file that it asks for after a colon."""
    model, _, wanted = name.rpartition(":")
    if not model or not wanted or wanted[0] in "/\\" or Path(name).expanduser().exists():
        return name, None
    return model, wanted


def gguf_weights(paths: Iterable[str]) -> list[Weights]:
    """The GGUF models that are whole, the one to take first first."""
    parts: dict[tuple[str, str | None], list[str]] = {}
    for path in sorted(paths):
        match = _GGUF_FILE.fullmatch(path)
        if match and not _NO_MODEL.search(path.rpartition("/")[2]):
            parts.setdefault((match[1], match[2]), []).append(path)
    found = [
        Weights(format=_gguf_format(stem, files[0]), files=tuple(files))
        for (stem, count), files in parts.items()
        if count is None or len(files) == int(count)
    ]
    return sorted(found, key=_gguf_rank)


def _gguf_format(stem: str, path: str) -> str:
    named = _GGUF_FORMAT.findall(stem)
    return named[-1].upper() if named else path.rpartition("/")[2]


def _gguf_rank(weights: Weights) -> tuple[int, int, str]:
    name = weights.format.removeprefix("UD-")
    rank = _GGUF_ORDER.index(name) if name in _GGUF_ORDER else len(_GGUF_ORDER)
    return rank, len(weights.format), weights.files[0]


def onnx_weights(paths: Sequence[str]) -> list[Weights]:
    """The ONNX decoders, the one to take first first."""
    return [
        _onnx(path, format_.removeprefix("_") or FULL, paths)
        for place in ("", "onnx/")
        for stem in ("model", "decoder_model_merged")
        for format_ in _ONNX_FORMATS
        if (path := f"{place}{stem}{format_}{ONNX}") in paths
    ]


def _onnx(path: str, format_: str, paths: Sequence[str]) -> Weights:
    """With the files beside the graph that hold its numbers, where they are too large for it."""
    data = sorted(each for each in paths if each.startswith((f"{path}_data", f"{path}.data")))
    return Weights(format=format_, files=(path, *data))


def default_weights(paths: Sequence[str]) -> tuple[str, ...]:
    """The files to take where no format is asked for; none: nothing that an engine here reads.

    Those of other folders than the repository's own and `onnx` are parts of something larger.
    """
    tensors = [path for path in paths if path.endswith(".safetensors")]
    onnx = onnx_weights(paths)
    if any("/" not in path for path in tensors):
        full = next((each.files for each in onnx if each.format == FULL), ())
        return (*tensors, *full)
    return next((each.files for each in (*onnx, *gguf_weights(paths))), ())


def find_format(paths: Sequence[str], wanted: str) -> Weights | None:
    """The weights in the format, or with the file, called `wanted`; upper and lower case alike."""
    wanted = _ALIASES.get(wanted.lower(), wanted.lower())
    known = [*gguf_weights(paths), *onnx_weights(paths)]
    for each in known:
        if wanted in (each.format.lower(), each.files[0].lower()):
            return each
    for each in known:  # Without the publisher's own mark, and by any part.
        names = (each.format.lower().removeprefix("ud-"), *map(str.lower, each.files))
        if wanted in names:
            return each
    others = (path for path in paths if path.lower() == wanted and wanted.endswith(ONNX))
    return next((_onnx(path, path, paths) for path in others), None)


def no_such_format(name: str, paths: Sequence[str], wanted: str) -> ModelError:
    """The sentence for a format that is not there."""
    known = [each.format for each in (*onnx_weights(paths), *gguf_weights(paths))]
    if not known:
        return ModelError(
            "The model {name!r} has no GGUF or ONNX files to choose {wanted!r} from; give its name "
            "alone.",
            name=name,
            wanted=wanted,
        )
    return ModelError(
        "The model {name!r} has nothing in the format {wanted!r}; choose one of: {known}.",
        name=name,
        wanted=wanted,
        known=", ".join(dict.fromkeys(known)),
    )
