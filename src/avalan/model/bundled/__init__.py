"""The models that ship inside the package, and their catalogue.

`catalogue.json` beside this file maps a name to where its files are and what they must be:

    {"bundled": {"folder": "nano", "licence": "Apache-2.0", "card": "nano/card.md",
                 "files": {"model.onnx": "<sha256>", "tokenizer.json": "<sha256>"}}}
"""

import hashlib
import json
import mmap
import threading
from collections.abc import Iterable
from contextlib import suppress
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


def look_ahead(*names: str, root: Path = _HERE) -> dict[str, BundledModel]:
    """Begin to read the files of models that are about to be wanted, beside what else goes on.

    Their hashes take 40 ms, in which Python can import modules.

    Raises:
        ModelError: as `catalogue`, which it returns.
    """
    rows = catalogue(root)
    paths = [rows[name].folder / file for name in names for file, _ in rows[name].files]
    thread = threading.Thread(target=_read_all, args=(paths,), daemon=True)
    _ahead.append(thread)
    thread.start()
    return rows


_ahead: list[threading.Thread] = []
_hashes: dict[tuple[Path, int, int], str] = {}
"""By path, size in bytes and time of the last change, in nanoseconds."""


def _read_all(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            _hashes[_state(path)] = _digest(path)


def _sha256(path: Path) -> str:
    while _ahead:
        _ahead.pop().join()
    return _hashes.get(_state(path)) or _digest(path)


def _state(path: Path) -> tuple[Path, int, int]:
    found = path.stat()
    return path, found.st_size, found.st_mtime_ns


def _digest(path: Path) -> str:
    # In one go: between two parts of a file a thread would wait for the interpreter.
    with path.open("rb") as file:
        if not path.stat().st_size:
            return hashlib.sha256().hexdigest()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return hashlib.sha256(content).hexdigest()


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
        if (found := _sha256(path)) != expected:
            raise ModelError(
                "The file {path} is not the one that was released (its SHA-256 is {found}, not "
                "{expected}); install the package again.",
                path=path,
                found=f"{found[:12]}…",
                expected=f"{expected[:12]}…",
            )
    return model
