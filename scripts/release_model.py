"""Put a finished training run into the package: `python scripts/release_model.py runs/bundled`.

Writes the int8 ONNX files and their catalogue below src/avalan/model/bundled/, the float16
checkpoint to models/, and prints how far the quantised files are from float32 on records that
training never saw.
"""

import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from avalan.compress.export import export
from avalan.compress.fidelity import compare
from avalan.data import mixture
from avalan.data.mixture import rng_for
from avalan.model.engine.onnx import load
from avalan.model.entities import EngineSettings
from avalan.model.prompt import load_tokenizer
from avalan.reflection.render import render
from avalan.reflection.tokens import reflection_ids

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src/avalan/model/bundled"
NAME = "nano"
SHIPPED = "int8"
NUM_RECORDS = 200


def main(run: Path) -> None:
    checkpoint = run / "model"
    with tempfile.TemporaryDirectory() as name:
        exports = {p: Path(name) / p for p in ("fp32", "int8", "int4")}
        for precision, folder in exports.items():
            export(checkpoint, folder, precision=precision)  # type: ignore[arg-type]
        for precision in ("int8", "int4"):
            size = (exports[precision] / "model.onnx").stat().st_size / 1e6
            print(f"{precision}: {size:.2f} MB, {fidelity(exports['fp32'], exports[precision])}")
        install(exports[SHIPPED])
    target = ROOT / "models" / NAME
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(checkpoint, target)
    print(f"released to {PACKAGE / NAME} and {target}")


def install(folder: Path) -> None:
    """Copy the shipped files into the package and write the catalogue."""
    target = PACKAGE / NAME
    target.mkdir(exist_ok=True)
    files = {}
    for file in sorted(folder.iterdir()):
        shutil.copy(file, target / file.name)
        files[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    row = {"folder": NAME, "licence": "Apache-2.0", "card": f"{NAME}/card.md", "files": files}
    (PACKAGE / "catalogue.json").write_text(json.dumps({"bundled": row}, indent=1) + "\n")


def fidelity(reference: Path, other: Path) -> object:
    """Mean KL and top-1 agreement over every position of held-out reading records."""
    first, second = (load(folder, EngineSettings()) for folder in (reference, other))
    tokenizer = load_tokenizer(reference)
    ids = reflection_ids(tokenizer.token_id)
    expected, found = [], []
    for index in range(NUM_RECORDS):
        record = mixture.one(
            "reading", rng_for(91, index), "G1", identifier=str(index), split="validation"
        )
        pieces = render(record, tokenizer, ids, eos_id=0)
        token_ids = [token for piece in pieces for token in piece.token_ids][:512]
        expected.append(first.feed(first.start(), token_ids, every=True))
        found.append(second.feed(second.start(), token_ids, every=True))
    return compare(np.concatenate(expected), np.concatenate(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
