"""The models that ship inside the package, and their catalogue.

`catalogue.json` beside this file maps a name to where its files are and what they must be:

    {"bundled": {"folder": "nano", "licence": "Apache-2.0", "card": "nano/card.md",
                 "files": {"model.onnx": "<sha256>", "tokenizer.json": "<sha256>"}}}
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from avalan.errors import ModelError, reason_of

RESERVED = ("bundled", "embedder", "reader", "rules")
"""Names that never mean a folder or a model on the hub."""
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledModel:
    """A row of the catalogue."""

    name: str
    folder: Path
    licence: str
    """An SPDX identifier."""
    card: Path
    """Markdown: data, recipe, cost and scores."""
    files: tuple[tuple[str, str], ...]
    """Each file's name inside `folder` and its SHA-256, in hexadecimal."""

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum((self.folder / name).stat().st_size for name, _ in self.files)


def catalogue(root: Path = _HERE) -> dict[str, BundledModel]:
    """Every model that ships, by name.

    Raises:
        ModelError: the catalogue is missing or broken.
    """
    path = root / "catalogue.json"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: BundledModel(
                name=name,
                folder=root / row["folder"],
                licence=row["licence"],
                card=root / row["card"],
                files=tuple(row["files"].items()),
            )
            for name, row in rows.items()
        }
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(
            "The catalogue of bundled models at {path} cannot be read ({error}); install the "
            "package again.",
            path=path,
            error=reason_of(error),
        ) from error


def find(name: str, root: Path = _HERE) -> BundledModel:
    """The bundled model called `name`, its files checked against the catalogue.

    Raises:
        ModelError: it does not ship, or a file is missing or not the one that was released.
    """
    rows = catalogue(root)
    if name not in rows:
        raise ModelError(
            "No bundled model is called {name!r}; those that ship are: {choices}.",
            name=name,
            choices=", ".join(rows),
        )
    model = rows[name]
    for file_name, expected in model.files:
        path = model.folder / file_name
        if not path.is_file():
            raise ModelError(
                "The file {name} of the model {model!r} is missing from {folder}; install the "
                "package again.",
                name=file_name,
                model=name,
                folder=model.folder,
            )
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            raise ModelError(
                "The file {path} is not the one that was released (its SHA-256 is {found}, not "
                "{expected}); install the package again.",
                path=path,
                found=f"{found[:12]}…",
                expected=f"{expected[:12]}…",
            )
    return model
