"""A generation on disk, as JSON lines, and how it is read again.

The first line says what was asked of which model; then comes a line for each token, and at the end
the report. Everything is ASCII: whatever a model wrote, a recording can be shown by any program.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Self, TextIO, get_args, get_origin

from avalan.errors import ConfigurationError, StateError, reason_of
from avalan.model.entities import GenerationReport, GenerationSettings
from avalan.model.nlp.steps import Step

VERSION = 1
MARK = '{"avalan_recording": '
"""How every recording begins."""
_STEP_MARK = '{"time_s": '
"""How every line of a token begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked."""

    model: str
    prompt: str
    system_prompt: str | None = None
    settings: GenerationSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A generation that is over."""

    request: Request
    steps: tuple[Step, ...]
    report: GenerationReport

    @property
    def text(self) -> str:
        """The answer, without the reasoning."""
        return "".join(step.token.text for step in self.steps if not step.token.reasoning)


# --- writing ------------------------------------------------------------------------------------


class Recorder:
    """Writes a recording while its tokens come; `with` closes the file."""

    def __init__(self, path: Path, request: Request) -> None:
        """
        Raises:
            ConfigurationError: the file holds something.
            StateError: its folder does not exist.
        """
        check_target(path)
        self._path = path
        self._header = {"avalan_recording": VERSION, **asdict(request)}
        self._file: TextIO | None = None

    def add(self, step: Step) -> None:
        """Write one token."""
        alternatives = [
            [each.token_id, each.text, each.logprob] for each in step.token.alternatives
        ]
        token = asdict(step.token) | {"alternatives": alternatives}
        self._line({"time_s": step.time_s, "kind": step.kind, "piece": step.piece, **token})

    def finish(self, report: GenerationReport) -> None:
        """Write the last line; a recording without it counts as damaged."""
        self._line({"report": asdict(report)})

    def _line(self, value: Mapping[str, Any]) -> None:
        if self._file is None:  # Not before there is something.
            try:
                # Whatever came into the file meanwhile, nothing of it goes.
                self._file = self._path.open("a", encoding="ascii", newline="\n")
            except OSError as error:
                raise StateError(
                    "The recording {path!r} cannot be written ({reason}); choose another place "
                    "for it.",
                    path=str(self._path),
                    reason=reason_of(error),
                ) from None
            self._line(self._header)
        self._file.write(json.dumps(value, allow_nan=False) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_args: object) -> None:
        if self._file is not None:
            self._file.close()


def check_target(path: Path) -> None:
    """Whether a recording may be written to `path`, before a model is loaded for it.

    Raises:
        ConfigurationError: the file holds something, which would be lost.
        StateError: there is no such folder.
    """
    if not path.parent.is_dir():
        raise StateError(
            "The recording {path!r} cannot be written, because its folder does not exist; "
            "make the folder first.",
            path=str(path),
        )
    if path.is_file() and path.stat().st_size:  # A pipe or a terminal holds nothing.
        raise ConfigurationError(
            "The file {path!r} holds something already and is left as it is; record to another "
            "name, or remove the file first.",
            path=str(path),
        )


# --- reading ------------------------------------------------------------------------------------


def read_recording(path: Path) -> Recording:
    """The recording in `path`.

    Raises:
        ConfigurationError: it cannot be read, is no recording, or is damaged.
    """
    text = _read(path)
    lines = text.splitlines()
    if not lines or not lines[0].startswith(MARK):
        raise ConfigurationError(
            "The file {path!r} is not a recording; make one with: avalan model run bundled "
            "--record FILE.",
            path=str(path),
        )
    number = 1
    try:
        request = _request(path, json.loads(lines[0]))
        steps = []
        for number, line in enumerate(lines[1:-1], 2):  # noqa: B007
            steps.append(_step(json.loads(line)))
        number = len(lines)
        report: GenerationReport = _made(GenerationReport, json.loads(lines[-1])["report"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        num_whole = text.count("\n")
        is_cut = num_whole < number or lines[-1].startswith((MARK, _STEP_MARK))
        if number == len(lines) and num_whole and is_cut:
            raise ConfigurationError(
                "The recording {path!r} breaks off after line {number}; record it again.",
                path=str(path),
                number=num_whole,
            ) from None
        raise ConfigurationError(
            "The recording {path!r} is damaged at line {number}; record it again.",
            path=str(path),
            number=number,
        ) from None
    return Recording(request=request, steps=tuple(steps), report=report)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise ConfigurationError(
            "The recording {path!r} cannot be read ({reason}); check its name.",
            path=str(path),
            reason=reason_of(error),
        ) from None
    except UnicodeDecodeError:
        return ""  # Not one of ours, which are ASCII.


def _request(path: Path, header: Mapping[str, Any]) -> Request:
    version = header["avalan_recording"]
    if version != VERSION:
        raise ConfigurationError(
            "The recording {path!r} has version {version}, but this avalan reads version "
            "{ours}; update avalan, or record it again.",
            path=str(path),
            version=version,
            ours=VERSION,
        )
    request: Request = _made(Request, header)
    return request


def _step(line: Mapping[str, Any]) -> Step:
    step: Step = _made(Step, {**line, "token": line})
    # Rounding may leave the logarithm of a certain token a hair above 0.
    if step.time_s < 0 or step.token.logprob > 1e-3:
        raise ValueError
    return step


def _made(kind: Any, value: Any) -> Any:
    """What JSON says as an object of `kind`: a dataclass, or what the fields of ours can be.

    A field with a default may be absent, because later versions have more of them.

    Raises:
        ValueError, TypeError, KeyError, OverflowError: it is something else.
    """
    inner = get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        types = {field.name: field.type for field in fields(kind)}
        if isinstance(value, list):
            value = dict(zip(types, value, strict=True))
        return kind(**{name: _made(types[name], value[name]) for name in types if name in value})
    if type(None) in inner:
        return None if value is None else _made(inner[0], value)
    if get_origin(kind) is tuple:
        return tuple(_made(inner[0], each) for each in value)
    if get_origin(kind) is Literal:
        fits = value in inner
    elif kind is float:
        fits = type(value) in (int, float) and math.isfinite(value)
    else:
        fits = type(value) is kind and (kind is not int or value >= 0)
    if not fits:
        raise ValueError
    return value
