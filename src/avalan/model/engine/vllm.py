"""vLLM, over HTTP with token ids: found running, or started from its own environment and stopped.

Its pins conflict with ours, so it is never imported. What it takes to use more machines (tensor
and data parallel size, remote hosts) are options of its own, which are passed on.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import httpx2

from avalan.errors import ConfigurationError, ModelError
from avalan.hub.layout import name_of
from avalan.locale import _
from avalan.model.adapter import check_fits
from avalan.model.decode.constraint import cut_short
from avalan.model.engine import Capability, check_room
from avalan.model.engine.remote import (
    asked,
    broken_off,
    explained,
    found_at,
    open_client,
    take_report,
)
from avalan.model.entities import (
    EngineSettings,
    GenerationReport,
    GenerationSettings,
    Message,
    Token,
    TokenAlternative,
)
from avalan.model.service import Service

AUTHOR = "vllm"
VARIABLE = "AVALAN_VLLM"
_START_S = 600.0
_STOP_S = 20.0
_LISTED_S = 10.0
_POLL_S = 0.25
_MARK = "token_id:"
_ADAPTED = "adapted"
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
_DTYPES = {"fp32": "float32", "f32": "float32", "fp16": "float16", "f16": "float16",
           "bf16": "bfloat16"}  # fmt: skip


class VllmEngine:
    """A generating engine over a vLLM server; it reads token ids."""

    capabilities: frozenset[Capability] = frozenset(
        ("logprobs", "grammar", "token_prompt", "prompt_logprobs", "adapters")
    )

    def __init__(self, service: Service, context_length: int, process: "Process | None") -> None:
        self._service = service
        self._process = process
        self.context_length = context_length
        self._client = open_client(service)

    def generate(
        self,
        prompt: Sequence[int] | Sequence[Message],
        settings: GenerationSettings,
        report: GenerationReport,
    ) -> Iterator[Token]:
        """Tokens as they come; see `GeneratingEngine.generate`."""
        token_ids = [each for each in prompt if isinstance(each, int)]
        check_room(0, len(token_ids), self.context_length)
        if settings.constraint is not None:
            report.constraint, report.enforced_by = settings.constraint, AUTHOR
        request = _request(self._service.model, token_ids, settings)
        with explained(self._service):
            answer = asked(self._client, lambda each: each.completions.create(**request))
        with explained(self._service, begun=True):
            for chunk in answer:
                yield from _tokens(chunk, report)
        if report.finish_reason in (None, "interrupted"):
            raise broken_off(_("it ended without an end"), self._service)
        if settings.constraint is not None and report.finish_reason == "length":
            raise cut_short(settings.max_new_tokens, settings.constraint)

    def close(self) -> None:
        """Close the connections, and stop the server if it was started here."""
        self._client.close()
        if self._process is not None:
            self._process.stop()


class Process:
    """A vLLM server that was started here."""

    def __init__(self, command: Sequence[str], folder: Path, settings: EngineSettings) -> None:
        """
        Raises:
            ModelError: it ends before it serves; the sentence has its last words.
        """
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `stop`)
        # Without a bound it takes most of the memory of a machine that has no GPU.
        environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "WARNING"} | os.environ
        self._process = subprocess.Popen(
            [*command, str(folder), "--host", "127.0.0.1", "--port", str(port),
             *_options(settings)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )  # fmt: skip
        try:
            self._wait(f"http://127.0.0.1:{port}/health")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it and everything that it started."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, 9)
                self._process.wait()
        self._log.close()

    def _wait(self, url: str) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ModelError(
                    "vLLM did not start ({reason}); run it by hand to see more: vllm serve …",
                    reason=self._last_words(),
                )
            with contextlib.suppress(httpx2.HTTPError):
                if httpx2.get(url, timeout=2).status_code == 200:
                    return
            time.sleep(_POLL_S)
        raise ModelError(
            "vLLM was not ready after {seconds:g} s; start it by hand and name it with --vllm URL.",
            seconds=_START_S,
        )

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if "Error" in line] or [
            line.strip() for line in lines if line.strip()
        ]
        return said[-1][-300:] if said else _("it said nothing")


def load(folder: Path, settings: EngineSettings) -> VllmEngine:
    """The engine over the checkpoint in `folder`, on a server that runs or is started.

    Raises:
        ConfigurationError: no vLLM is named, and none is on the PATH.
        ModelError: it does not start, is not reached, or serves another model.
    """
    place = settings.vllm or os.environ.get(VARIABLE) or shutil.which("vllm")
    if not place:
        raise ConfigurationError(
            "There is no vLLM: name a server with --vllm http://host:8000, or the Python of its "
            "environment with --vllm PATH; {variable} does the same. docs/vllm.md says how to "
            "install one.",
            variable=VARIABLE,
        )
    if place.startswith(("http://", "https://")):
        base_url = place.rstrip("/")
        base_url = base_url if base_url.endswith("/v1") else f"{base_url}/v1"
        return _connect(base_url, folder, settings, None)
    command = _command(place)
    if settings.adapter is not None:
        # vLLM takes an adapter of another model, and leaves out what has no place.
        rank = check_fits(Path(settings.adapter).expanduser(), folder)
        settings = replace(
            settings, vllm_options=(f"max-lora-rank={_room(rank)}", *settings.vllm_options)
        )
    process = Process(command, folder, settings)
    try:
        return _connect(process.base_url, folder, settings, process)
    except BaseException:
        process.stop()
        raise


def _connect(
    base_url: str, folder: Path, settings: EngineSettings, process: Process | None
) -> VllmEngine:
    key = os.environ.get("VLLM_API_KEY")
    service = Service(name=base_url, model=str(folder), base_url=base_url, key=key)
    listing = replace(service, timeout_s=_LISTED_S)
    with open_client(listing) as client:
        answer = found_at("/models", client, listing)
    rows = answer.get("data") if isinstance(answer, dict) else None
    if not rows:
        raise ModelError("The server at {url} is no vLLM; check its address.", url=base_url)
    row = rows[0] if process else _row_of(rows, folder)
    if row is None:
        raise ModelError(
            "The server at {url} serves {found} and not {name!r}; name that one, or start it with "
            "--served-model-name {name}.",
            url=base_url,
            found=", ".join(repr(row.get("id")) for row in rows),
            name=_names(folder)[0],
        )
    name = row["id"] if settings.adapter is None else _ADAPTED
    if name not in [row.get("id") for row in rows]:
        raise ModelError(
            "The server at {url} has no adapter of the name {name!r}; start it with --enable-lora "
            "--lora-modules {name}=FOLDER, or let avalan start it.",
            url=base_url,
            name=name,
        )
    context_length = int(row.get("max_model_len") or 2048)
    return VllmEngine(replace(service, model=name), context_length, process)


def _row_of(rows: Sequence[dict[str, Any]], folder: Path) -> dict[str, Any] | None:
    """What a server says of the model in `folder`; its owner, or where it lies there, is open."""
    for row in rows:
        found = {str(row.get(key)).rstrip("/").rpartition("/")[2] for key in ("id", "root")}
        if not row.get("parent") and found & set(_names(folder)):
            return row
    return None


def _names(folder: Path) -> list[str]:
    """What the model in `folder` may be called: by the hub, or by its folder."""
    if folder.parent.name != "snapshots":
        return [folder.name]
    return [name_of(folder.parents[1]).rpartition("/")[2], folder.name]


def _command(place: str) -> list[str]:
    """From a Python or a `vllm` to the command that starts it."""
    path = Path(place).expanduser()
    if not path.is_file():
        raise ConfigurationError(
            "There is no {place!r}; --vllm takes the address of a server, the Python of vLLM's "
            "environment, or its command vllm.",
            place=place,
        )
    if path.name.startswith("python"):
        # The module, since builds that are distributed under another name lack the command.
        return [str(path), "-m", "vllm.entrypoints.openai.api_server", "--model"]
    return [str(path), "serve"]


def _room(rank: int) -> int:
    """The room to ask for, of the sizes that vLLM has; it refuses a larger rank itself."""
    return next((size for size in _RANKS if size >= rank), _RANKS[-1])


def _options(settings: EngineSettings) -> list[str]:
    """vLLM's own options: those of our settings, then those passed on."""
    # A small model would otherwise write blanks between the braces for ever.
    structured = {"backend": "guidance", "disable_any_whitespace": True}
    given = ["--structured-outputs-config", json.dumps(structured)]
    if settings.weight_type != "auto":
        if settings.weight_type not in _DTYPES:
            raise ConfigurationError(
                "vLLM quantises by an option of its own, so the weight type {name!r} is not for "
                "it; give --vllm-option quantization=bitsandbytes.",
                name=settings.weight_type,
            )
        given += ["--dtype", _DTYPES[settings.weight_type]]
    if settings.context_length is not None:
        given += ["--max-model-len", str(settings.context_length)]
    if settings.adapter is not None:
        path = Path(settings.adapter).expanduser().resolve()
        given += ["--enable-lora", "--lora-modules", f"{_ADAPTED}={path}"]
    if settings.trust_remote_code:
        given.append("--trust-remote-code")
    for option in settings.vllm_options:
        name, equals, value = option.partition("=")
        given += [f"--{name.lstrip('-')}", *([value] if equals else [])]
    return given


_LEAST_BIAS = -100
"""The lowest that the protocol has; no logit comes up from there."""


def _request(model: str, token_ids: list[int], settings: GenerationSettings) -> dict[str, Any]:
    more: dict[str, Any] = {
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        "skip_special_tokens": settings.skip_special_tokens,
    }
    if settings.repetition_penalty is not None:
        more["repetition_penalty"] = settings.repetition_penalty
    request: dict[str, Any] = {
        "model": model,
        "prompt": token_ids,
        "max_tokens": settings.max_new_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.0,
        "logprobs": max(settings.num_alternatives, 1),
    }
    if settings.samples:
        request["temperature"] = 1.0 if settings.temperature is None else settings.temperature
        request |= _given(settings, "top_p")
        more |= _given(settings, "top_k", "min_p")
    request |= _given(settings, "seed")
    if settings.stop_strings:
        request["stop"] = list(settings.stop_strings)
    if settings.forbidden_ids:
        request["logit_bias"] = {str(each): _LEAST_BIAS for each in settings.forbidden_ids}
    if settings.constraint is not None:
        more["structured_outputs"] = _constraint(settings)
    return request | {"extra_body": more}


def _given(settings: GenerationSettings, *names: str) -> dict[str, Any]:
    values = {name: getattr(settings, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _constraint(settings: GenerationSettings) -> dict[str, Any]:
    if settings.schema is not None:
        return {"json": dict(settings.schema)}
    if settings.regex is not None:
        return {"regex": settings.regex}
    return {"choice": list(settings.choices)}


def _tokens(chunk: Any, report: GenerationReport) -> Iterator[Token]:
    """The tokens of one piece of the stream; its text comes with the last of them."""
    take_report(chunk, report)
    for choice in chunk.choices:
        if choice.logprobs is None:
            continue
        names = choice.logprobs.tokens or []
        for index, name in enumerate(names):
            is_last = index == len(names) - 1
            logprob = float(choice.logprobs.token_logprobs[index])
            yield Token(
                token_id=_id(name),
                text=choice.text if is_last else "",
                logprob=logprob,
                probability=float("nan"),
                alternatives=_alternatives(choice.logprobs.top_logprobs[index]),
            )


def _alternatives(found: dict[str, float] | None) -> tuple[TokenAlternative, ...]:
    """Best first; whoever knows the tokenizer adds the texts."""
    ranked = sorted((found or {}).items(), key=lambda pair: -pair[1])
    return tuple(
        TokenAlternative(token_id=_id(name), text="", logprob=float(logprob))
        for name, logprob in ranked
    )


def _id(name: str) -> int:
    return int(name.removeprefix(_MARK))
