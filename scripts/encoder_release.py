"""Put an encoder into the package: `python scripts/encoder_release.py embedder|reader RUN [RANK]`.

Writes the int8 ONNX files and their row of the catalogue below src/avalan/model/bundled/, and the
float16 checkpoint to models/; the card beside them is written by hand. With a folder that holds no
run but a model, such as the teacher's, only the package is written. RANK is the width of an
embedder's token factors.
"""

import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

from avalan.compress.encoder import export_encoder
from avalan.compress.export import set_apart
from avalan.compress.reader import export_reader

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src/avalan/model/bundled"
CARD = "card.md"


def main(kind: str, run: Path, rank: int | None = None) -> None:
    checkpoint = run / "model" if (run / "model").is_dir() else run
    target = PACKAGE / kind
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        if kind == "reader":
            size = export_reader(checkpoint, Path(name))
            # Not the embedder's: the fingerprint of every index is that of its one file.
            set_apart(Path(name) / "model.onnx")
        else:
            size = export_encoder(checkpoint, Path(name), rank=rank)
        for path in target.rglob("*"):
            if path.is_file() and path.name != CARD:
                path.unlink()
        shutil.copytree(name, target, dirs_exist_ok=True)
        target.chmod(0o755)  # A temporary folder is its owner's alone.
    print(f"model.onnx: {size / 1e6:.2f} MB")
    paths = (path for path in sorted(target.rglob("*")) if path.is_file() and path.name != CARD)
    files = {
        path.relative_to(target).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }
    row = {
        "folder": kind,
        "licence": "Apache-2.0",
        "card": f"{kind}/{CARD}",
        "files": files,
    }
    catalogue = PACKAGE / "catalogue.json"
    rows = json.loads(catalogue.read_text()) | {kind: row}
    catalogue.write_text(json.dumps(rows, indent=1) + "\n")
    if checkpoint != run:
        shutil.rmtree(ROOT / "models" / kind, ignore_errors=True)
        shutil.copytree(checkpoint, ROOT / "models" / kind)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
