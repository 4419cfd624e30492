"""Served models: a real server answers, and servers that fail in every way are explained."""

import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import pytest

from avalan import testing
from avalan.data.mixture import one
from avalan.data.record_files import read_lines
from avalan.errors import ConfigurationError, ModelError, ServerAway, TruncatedAnswer
from avalan.model.entities import EngineSettings, GenerationSettings
from avalan.model.load import open_model
from avalan.model.nlp.text import TextGenerationModel
from avalan.reflection.record import to_json

pytest.importorskip("openai", reason="served models need the package openai")

KEY = "sk-very-secret-4711"
EVENTS = "text/event-stream"
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer", "maximum": 9, "minimum": 0}},
    "required": ["a"],
    "additionalProperties": False,
}


def event(text: str, finish: str = "null") -> bytes:
    delta = json.dumps({"content": text} if text else {})
    choice = f'{{"index": 0, "delta": {delta}, "finish_reason": {finish}}}'
    return f'data: {{"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{choice}]}}\n\n'.encode()  # noqa: E501


class Server:
    """A server that says one thing, whatever it is asked."""

    def __init__(self, status: int, kind: str, body: bytes, *, breaks: bool = False) -> None:
        self.requests: list[bytes] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                outer.requests.append(self.rfile.read(length))
                self.send_response(status)
                self.send_header("content-type", kind)
                # A server that breaks promises more than it gives.
                self.send_header("content-length", str(len(body) + 99 * breaks))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"ai://{KEY}@local:{self._server.server_address[1]}/m"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serving() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def serve(*args: Any, **kwargs: Any) -> Server:
        servers.append(Server(*args, **kwargs))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


def answer(name: str, prompt: str = "Hi", **settings: Any) -> tuple[str, Any]:
    async def ask() -> tuple[str, Any]:
        with TextGenerationModel(name) as lm:
            stream = await lm(prompt, settings=GenerationSettings(**settings))
            text = await stream.text()
            return text, stream.report

    return asyncio.run(ask())


GOOD = event("Hel") + event("lo") + event("", '"stop"') + b"data: [DONE]\n\n"


def test_the_text_comes_and_the_request_says_what_was_set(serving: Callable[..., Server]) -> None:
    server = serving(200, EVENTS, GOOD)
    text, report = answer(server.uri, seed=7, max_new_tokens=9, stop_strings=("x",))
    assert text == "Hello"
    assert report.finish_reason == "stop"
    (body,) = server.requests
    for part in (b'"seed":7', b'"max_tokens":9', b'"stop":["x"]', b'"temperature":0.0'):
        assert part in body


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        ((200, "text/html", b"<html><h1>It works!</h1></html>"), "answers with text/html"),
        ((401, "application/json", b'{"error": {"message": "bad key ' + KEY.encode() + b'"}}'),
         "refuses the key"),
        ((404, "application/json", b'{"error": {"message": "no model m"}}'), "404: no model m"),
        ((400, "application/json", b'{"error": {"message": "context is 5, sent ' + KEY.encode()
          + b'"}}'), "400: context is 5, sent …"),
        ((404, "text/html", b"<html>nope</html>"), "404"),
        ((200, EVENTS, event("Hel")), "broke off"),
        ((200, EVENTS, b"data: {not json\n\n"), "broke off"),
    ],
    ids=["html", "key", "model", "reason", "html-404", "no-end", "no-json"],
)  # fmt: skip
def test_a_server_that_fails_is_explained_without_the_key(
    serving: Callable[..., Server], reply: tuple[int, str, bytes], complaint: str
) -> None:
    with pytest.raises(ModelError, match=complaint) as caught:
        answer(serving(*reply).uri)
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_dies_in_the_middle_is_explained(serving: Callable[..., Server]) -> None:
    with pytest.raises(ModelError, match="broke off"):
        answer(serving(200, EVENTS, event("Hel"), breaks=True).uri)


def test_failures_that_pass_are_tried_again(serving: Callable[..., Server]) -> None:
    server = serving(503, "application/json", b'{"error": {"message": "busy"}}')
    with pytest.raises(ModelError, match="503: busy"):
        answer(server.uri)
    assert len(server.requests) == 3


def test_nobody_there_is_said_within_seconds(free_port: Callable[[], int]) -> None:
    port = free_port()
    began = time.monotonic()
    with pytest.raises(ModelError, match=f"Nobody answers at http://localhost:{port}"):
        answer(f"ai://local:{port}/m")
    assert time.monotonic() - began < 5


def test_a_silent_server_is_given_up_after_the_time_that_was_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"ai://local:{silent.getsockname()[1]}/m?timeout=0.2"
        with pytest.raises(ServerAway, match=r"said nothing for 0\.2 s"):
            answer(uri)
        silent.settimeout(0.5)
        silent.accept()[0].close()
        with pytest.raises(TimeoutError):
            silent.accept()  # It was not asked again.


def test_a_server_that_ignores_the_schema_is_found_out(serving: Callable[..., Server]) -> None:
    pytest.importorskip("llguidance", reason="constraints need llguidance")
    server = serving(200, EVENTS, GOOD)
    with pytest.raises(ModelError, match="did not keep to the schema"):
        answer(server.uri, schema=SCHEMA)
    assert b'"json_schema"' in server.requests[0]


def test_a_schema_leaves_the_white_space_to_the_server(serving: Callable[..., Server]) -> None:
    pytest.importorskip("llguidance", reason="constraints need llguidance")
    told = event('{\n\n  "a" :\t4\n}') + event("", '"stop"') + b"data: [DONE]\n\n"
    text, _report = answer(serving(200, EVENTS, told).uri, schema=SCHEMA)
    assert text == '{\n\n  "a" :\t4\n}'


def test_an_answer_cut_short_under_a_schema_is_an_error(serving: Callable[..., Server]) -> None:
    server = serving(200, EVENTS, event("{") + event("", '"length"') + b"data: [DONE]\n\n")
    with pytest.raises(TruncatedAnswer):
        answer(server.uri, schema=SCHEMA)


@pytest.mark.parametrize("pieces", [("Hello",), ("He", "l", "lo"), ("Hel", "lo ")])
def test_a_stop_string_is_no_part_of_the_answer(
    serving: Callable[..., Server], pieces: tuple[str, ...]
) -> None:
    told = b"".join(map(event, pieces)) + event("", '"stop"') + b"data: [DONE]\n\n"
    text, report = answer(serving(200, EVENTS, told).uri, stop_strings=("lo",))
    assert (text, report.finish_reason) == ("Hel", "stop")


def test_what_only_begins_a_stop_string_is_told_at_the_end(serving: Callable[..., Server]) -> None:
    text, report = answer(serving(200, EVENTS, GOOD).uri, stop_strings=("lol",))
    assert text == "Hello"
    assert report.finish_reason == "stop"


@pytest.mark.parametrize(
    "settings",
    [{"top_k": 5}, {"min_p": 0.1}, {"repetition_penalty": 1.1}, {"regex": "a"}, {"choices": ("a",)},
     {"num_alternatives": 50}, {"max_length": 9}, {"use_cache": False}],
    ids=str,
)  # fmt: skip
def test_what_the_protocol_cannot_say_is_refused(
    serving: Callable[..., Server], settings: dict[str, Any]
) -> None:
    server = serving(200, EVENTS, GOOD)
    with pytest.raises(ConfigurationError):
        answer(server.uri, **({"temperature": 1.0} | settings))
    assert not server.requests


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        (f"ai://{KEY}@nowhere/m", "no provider 'nowhere'"),
        (f"ai://{KEY}@openai/m?speed=9", "option 'speed'"),
        ("ai://env:AVALAN_NO_SUCH_KEY@openai/m", "AVALAN_NO_SUCH_KEY, which is not set"),
        ("ai://local:80/m?timeout=soon", "'soon'"),
    ],
)
def test_a_uri_that_cannot_be_used_is_explained_without_the_key(uri: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        open_model(uri)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [{"adapter": "x"}, {"tokens": ("x",)}, {"weight_type": "bf16"}, {"context_length": 9}],
    ids=str,
)
def test_what_a_server_has_loaded_cannot_be_changed_from_here(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(ConfigurationError, match=f"loaded its model already, so {name} cannot"):
        open_model("ai://local:80/m", EngineSettings(**settings))


def test_a_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVALAN_TEST_KEY", KEY)
    with open_model("ai://env:AVALAN_TEST_KEY@openai/gpt-4o") as model:
        assert model.name == "ai://openai/gpt-4o"
        assert KEY not in repr(model)


@pytest.fixture(scope="module")
def llama_server(
    tmp_path_factory: pytest.TempPathFactory, run_server: Callable[..., Any]
) -> Iterator[str]:
    """The URI of a pico model served by llama-cpp-python."""
    pytest.importorskip("llama_cpp.server.app", reason="needs llama-cpp-python[server]")
    folder = tmp_path_factory.mktemp("served")
    file: Path = testing.pico_gguf(folder, testing.pico_llama(folder / "m"))
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(file), "--port", "PORT",
               "--n_ctx", "256", "--logits_all", "true"]  # fmt: skip
    with run_server(command, "/v1/models", within_s=15) as server:
        yield f"ai://local:{server.port}/m"


def test_a_real_server_says_what_its_model_says_here(llama_server: str) -> None:
    text, report = answer(llama_server, max_new_tokens=6, num_alternatives=3)
    assert text
    assert report.finish_reason in ("length", "stop")
    assert answer(llama_server, max_new_tokens=6)[0] == text


def test_a_real_server_keeps_to_a_schema(llama_server: str) -> None:
    pytest.importorskip("llguidance", reason="constraints need llguidance")
    schema = SCHEMA | {"properties": {"a": {"enum": ["x", "y"]}}}
    text, report = answer(llama_server, max_new_tokens=40, schema=schema, temperature=1.0, seed=1)
    assert json.loads(text)["a"] in ("x", "y")
    assert report.constraint == "schema"
    assert report.enforced_by == llama_server


def test_alternatives_come_with_their_log_probabilities(llama_server: str) -> None:
    async def ask() -> list[Any]:
        with TextGenerationModel(llama_server) as lm:
            settings = GenerationSettings(max_new_tokens=4, num_alternatives=3)
            return [token async for token in await lm("Hi", settings=settings)]

    tokens = asyncio.run(ask())
    assert all(token.logprob <= 0 for token in tokens)
    assert max(len(token.alternatives) for token in tokens) == 3


@pytest.fixture(scope="module")
def transformers_server(pico_folder: Path, run_server: Callable[..., Any]) -> Iterator[str]:
    """The URI of a pico model served by `transformers serve`."""
    for package in ("fastapi", "uvicorn", "rich"):
        pytest.importorskip(package, reason="needs what transformers[serving] does")
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(pico_folder),
               "--host", "127.0.0.1", "--port", "PORT", "--device", "cpu"]  # fmt: skip
    with run_server(command, "/v1/models", within_s=90) as server:
        yield f"ai://local:{server.port}/{pico_folder}"


@pytest.mark.slow  # It takes 15 s to start, most of it to import.
def test_transformers_serves_what_its_model_says_here(
    transformers_server: str, pico_folder: Path
) -> None:
    here, report_here = answer(str(pico_folder), max_new_tokens=8)
    there, report = answer(transformers_server, max_new_tokens=8)
    assert there == here
    assert report.usage == report_here.usage
    text, report = answer(transformers_server, max_new_tokens=8, stop_strings=(here[2],))
    assert (text, report.finish_reason) == (here[: here.index(here[2])], "stop")
    with pytest.raises(ModelError, match="gives no log-probabilities"):
        answer(transformers_server, max_new_tokens=2, num_alternatives=2)
    with pytest.raises(TruncatedAnswer):
        answer(transformers_server, max_new_tokens=2, schema=SCHEMA)


@pytest.mark.slow
def test_a_served_model_teaches_by_what_it_writes(
    transformers_server: str, pico_folder: Path, tmp_path: Path
) -> None:
    from avalan.train import distill as distillation
    from avalan.train.kinds import load_any

    data = tmp_path / "records.jsonl"
    made = [one("talk", Random(n), "train", identifier=f"r{n}", split="train") for n in range(4)]
    data.write_text("".join(json.dumps(to_json(record)) + "\n" for record in made))
    changes = {
        "base.model": pico_folder, "lessons.data": data, "lessons.held_out": 0,
        "lessons.max_tokens": 256, "run.num_steps": 2, "run.rows_per_step": 1,
    }  # fmt: skip
    recipe = load_any("distill", {key: str(value) for key, value in changes.items()})
    found = distillation.distill(
        recipe, transformers_server, "auto", tmp_path / "out", lambda event: None, device="cpu"
    )
    assert found.method == "sequence"
    written = list(read_lines(tmp_path / "out" / "written.jsonl"))
    with open_model(str(pico_folder)) as model:
        expected = [distillation._said(model, record) for record in made]
    assert len(written) == len(made)
    # What a random model says may be no text, of which either side makes its own.
    clean = [place for place, text in enumerate(expected) if "\ufffd" not in text]
    assert clean
    assert all(written[place].segments[0].text == expected[place] for place in clean)
