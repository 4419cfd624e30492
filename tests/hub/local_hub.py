"""A model hub on this machine: enough of the protocol to download from, and to be refused by.

Run as a script it tries every case against itself and prints what became of each, as JSON; a
separate process, because huggingface_hub reads its settings when it is imported.
"""

import hashlib
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": b"weights",
    "tokenizer.json": b"{}",
    "original/big.bin": b"left out",
    "pytorch_model.bin": b"left out",
}
REFUSED = {
    "org/gated": (403, "GatedRepo"),
    "org/unknown": (401, "RepoNotFound"),
    "org/down": (500, "ServerError"),
}
ASKED: list[str] = []


class Hub(BaseHTTPRequestHandler):
    def log_message(self, *values: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        ASKED.append(f"{self.command} {path}")
        for name, (status, code) in REFUSED.items():
            if f"/{name}/" in path:
                return self.answer(status, b"{}", {"X-Error-Code": code})
        if path.startswith("/api/models/org/model/"):
            if not path.endswith(("/main", COMMIT)) and "/tree/" not in path:
                return self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return self.answer(200, self.listing("/tree/" in path))
        name = path.rpartition(f"/resolve/{COMMIT}/")[2]
        if name not in FILES:
            return self.answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        etag = hashlib.sha256(FILES[name]).hexdigest()
        return self.answer(200, FILES[name], {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

    def listing(self, tree: bool) -> bytes:
        if tree:
            rows = [
                {"type": "file", "path": name, "size": len(data), "oid": COMMIT}
                for name, data in FILES.items()
            ]
            return json.dumps(rows).encode()
        siblings = [{"rfilename": name} for name in FILES]
        return json.dumps({"id": "org/model", "sha": COMMIT, "siblings": siblings}).encode()

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def outcome(name: str, **options: object) -> str:
    from avalan import hub
    from avalan.errors import ModelError

    try:
        folder = hub.resolve(name, cache_dir=sys.argv[1], **options)  # type: ignore[arg-type]
    except ModelError as error:
        return str(error)
    return " ".join(sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob("*.*")))


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "0"
    found = {
        "offline": outcome("org/model", offline=True),
        "downloaded": outcome("org/model"),
    }
    ASKED.clear()
    found |= {
        "cached": outcome("org/model"),
        "asked for cached": " ".join(ASKED),
        "revision": outcome("org/model", revision="v9"),
        **{name: outcome(name) for name in REFUSED},
    }
    next(Path(sys.argv[1]).rglob("snapshots/*/model.safetensors")).unlink()
    found["resumed"] = outcome("org/model")
    server.shutdown()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
