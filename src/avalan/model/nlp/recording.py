"""A generation on disk, as JSON lines, and how it is read again.

The first line says what was asked of which model; then comes a line for each token, and at the end
the report. Everything is ASCII: whatever a model wrote, a recording can be shown by any program.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self, TextIO, get_args

from avalan.errors import ConfigurationError, StateError
from avalan.model.entities import (
    FinishReason,
    GenerationReport,
    GenerationSettings,
    GenerationTimings,
    Token,
    TokenAlternative,
    Usage,
)
from avalan.model.nlp.steps import Step, TokenKind

VERSION = 1
MARK = '{"avalan_recording": '
"""How every recording begins, so that no other file is overwritten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked."""

    model: str
    prompt: str
    system_prompt: str | None = None
    settings: Mapping[str, Any]
    """The fields of `GenerationSettings`."""


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
            ConfigurationError: the file holds something else.
            StateError: its folder does not exist, or what is there cannot be read.
        """
        check_target(path)
        self._path = path
        self._header = {"avalan_recording": VERSION, **asdict(request)}
        self._file: TextIO | None = None

    def add(self, step: Step) -> None:
        """Write one token."""
        token = _token_document(step.token)
        self._line({"time_s": step.time_s, "kind": step.kind, "piece": step.piece} | token)

    def finish(self, report: GenerationReport) -> None:
        """Write the last line; a recording without it counts as damaged."""
        self._line({"report": asdict(report)})

    def _line(self, value: Mapping[str, Any]) -> None:
        if self._file is None:  # Not before there is something: an older recording stays till then.
            self._file = self._opened()
            self._line(self._header)
        self._file.write(json.dumps(value, allow_nan=False) + "\n")

    def _opened(self) -> TextIO:
        try:
            return self._path.open("w", encoding="ascii", newline="\n")
        except OSError as error:
            raise _unwritable(self._path, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_args: object) -> None:
        if self._file is not None:
            self._file.close()


def settings_document(settings: GenerationSettings) -> dict[str, Any]:
    """The fields of `settings` as JSON values."""
    return json.loads(json.dumps(asdict(settings)))  # type: ignore[no-any-return]


def check_target(path: Path) -> None:
    """Whether a recording may be written to `path`, before a model is loaded for it.

    Raises:
        ConfigurationError: the file holds something else.
        StateError: there is no such folder, or the file cannot be read.
    """
    if not path.parent.is_dir():
        raise StateError(
            "The recording {path!r} cannot be written, because its folder does not exist; "
            "make the folder first.",
            path=str(path),
        )
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            start = file.read(len(MARK))
    except OSError as error:
        raise _unwritable(path, error) from None
    if start not in (b"", MARK.encode()):
        raise ConfigurationError(
            "The file {path!r} is not a recording and is left as it is; record to another name.",
            path=str(path),
        )


def _token_document(token: Token) -> dict[str, Any]:
    alternatives = [[each.token_id, each.text, each.logprob] for each in token.alternatives]
    return asdict(token) | {"alternatives": alternatives}


def _unwritable(path: Path, error: OSError) -> StateError:
    return StateError(
        "The recording {path!r} cannot be written ({reason}); choose another place for it.",
        path=str(path),
        reason=error.strerror,
    )


# --- reading ------------------------------------------------------------------------------------


def read_recording(path: Path) -> Recording:
    """The recording in `path`.

    Raises:
        ConfigurationError: it cannot be read, is no recording, or is damaged.
    """
    lines = _read(path).splitlines()
    if not lines or not lines[0].startswith(MARK):
        raise ConfigurationError(
            "The file {path!r} is not a recording; make one with: avalan model run bundled "
            "--record FILE.",
            path=str(path),
        )
    number = 1
    try:
        request = _request(path, _object(lines[0]))
        steps = []
        for number, line in enumerate(lines[1:-1], 2):  # noqa: B007
            steps.append(_step(_object(line)))
        number = len(lines)
        report = _report(_object(lines[-1])["report"])
    except (ValueError, TypeError, KeyError, RecursionError):
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
            reason=error.strerror,
        ) from None
    except UnicodeDecodeError:
        return ""  # Not one of ours, which are ASCII.


def _object(line: str) -> dict[str, Any]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise TypeError
    return value


def _request(path: Path, header: Mapping[str, Any]) -> Request:
    version = _whole(header["avalan_recording"])
    if version != VERSION:
        raise ConfigurationError(
            "The recording {path!r} has version {version}, but this avalan reads version "
            "{ours}; update avalan, or record it again.",
            path=str(path),
            version=version,
            ours=VERSION,
        )
    system_prompt = header["system_prompt"]
    return Request(
        model=_text(header["model"]),
        prompt=_text(header["prompt"]),
        system_prompt=None if system_prompt is None else _text(system_prompt),
        settings=dict(header["settings"]),
    )


def _step(line: Mapping[str, Any]) -> Step:
    kind = _text(line["kind"])
    if kind not in get_args(TokenKind):
        raise ValueError(kind)
    return Step(
        token=_token(line),
        piece=_text(line["piece"]),
        kind=kind,  # type: ignore[arg-type]
        time_s=_at_least_zero(line["time_s"]),
    )


def _token(line: Mapping[str, Any]) -> Token:
    known: dict[str, Any] = {
        "token_id": _whole(line["token_id"]),
        "text": _text(line["text"]),
        "logprob": _logprob(line["logprob"]),
        "probability": _number(line["probability"]),
        "alternatives": tuple(map(_alternative, line["alternatives"])),
        "special": _flag(line["special"]),
    }
    # Later fields are plain values with defaults: they are kept where this version knows them.
    later = {field.name for field in fields(Token)} - known.keys()
    return Token(**known | {name: _scalar(line[name]) for name in later & line.keys()})


def _alternative(row: Any) -> TokenAlternative:
    token_id, text, logprob = row
    return TokenAlternative(token_id=_whole(token_id), text=_text(text), logprob=_logprob(logprob))


def _report(value: Mapping[str, Any]) -> GenerationReport:
    usage, timings = value["usage"], value["timings"]
    reason = value["finish_reason"]
    if reason is not None and reason not in get_args(FinishReason):
        raise ValueError(reason)
    return GenerationReport(
        usage=Usage(
            prompt_tokens=_whole(usage["prompt_tokens"]),
            completion_tokens=_whole(usage["completion_tokens"]),
        ),
        timings=GenerationTimings(
            prefill_s=_at_least_zero(timings["prefill_s"]),
            decode_s=_at_least_zero(timings["decode_s"]),
        ),
        finish_reason=reason,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError
    return float(value)


def _at_least_zero(value: Any) -> float:
    if _number(value) < 0:
        raise ValueError
    return float(value)


def _logprob(value: Any) -> float:
    # Rounding may leave a certain token a hair above 0.
    if _number(value) > 1e-3:
        raise ValueError
    return float(value)


def _scalar(value: Any) -> str | int | float | bool | None:
    if value is not None and not isinstance(value, str | int | float | bool):
        raise TypeError
    return value
