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

from avalan.compress.export import export, set_apart
from avalan.compress.fidelity import compare
from avalan.data import mixture
from avalan.data.mixture import rng_for
from avalan.evaluate.examples import generated_prompts
from avalan.evaluate.statistics import mcnemar
from avalan.model.engine.onnx import load
from avalan.model.entities import EngineSettings
from avalan.model.load import open_model
from avalan.model.prompt import load_tokenizer
from avalan.reflection.render import render
from avalan.reflection.token_judge import TokenJudge
from avalan.reflection.tokens import reflection_ids
from avalan.retrieval.entities import Passage

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
            print(f"{precision} against fp32: {paired(exports['fp32'], exports[precision])}")
        set_apart(exports[SHIPPED] / "model.onnx")
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
    catalogue = PACKAGE / "catalogue.json"
    rows = json.loads(catalogue.read_text()) | {"bundled": row}
    catalogue.write_text(json.dumps(rows, indent=1) + "\n")


def paired(reference: Path, other: Path) -> str:
    """The tasks, paired: quoting the right span from the passage that holds it, and deciding."""
    judges = [TokenJudge(open_model(str(folder))) for folder in (reference, other)]
    quoted = [[_quotes(judge, index) for index in range(NUM_RECORDS)] for judge in judges]
    prompts = generated_prompts("G1", NUM_RECORDS, split="validation", seed=91)
    decided = [[(j.need(p.text) > 0.5) == p.retrieve for p in prompts] for j in judges]
    return ", ".join(
        f"{name} {sum(b) / len(b):.3f} / {sum(a) / len(a):.3f} of {len(a)} ({mcnemar(b, a)})"
        for name, (a, b) in (("quotes right", quoted), ("decisions right", decided))
    )


def _quotes(judge: TokenJudge, index: int) -> bool:
    record = mixture.one("simple", rng_for(92, index), "G1", identifier="", split="validation")
    shown = record.segments[0].passages[-1]
    passage = Passage(
        source="", start=0, end=0, text=shown.text, heading=shown.title, score=0, offsets_in="file"
    )
    reading = judge.read(record.messages[-1].content, passage)
    return reading.span == record.segments[0].span


def fidelity(reference: Path, other: Path) -> object:
    """Mean KL and top-1 agreement over every position of held-out reading records."""
    first, second = (load(folder, EngineSettings()) for folder in (reference, other))
    tokenizer = load_tokenizer(reference)
    ids = reflection_ids(tokenizer.token_id)
    (eos_id,) = tokenizer.eos_ids
    expected, found = [], []
    for index in range(NUM_RECORDS):
        record = mixture.one(
            "reading", rng_for(91, index), "G1", identifier=str(index), split="validation"
        )
        pieces = render(record, tokenizer, ids, eos_id)
        token_ids = [token for piece in pieces for token in piece.token_ids][:512]
        expected.append(first.feed(first.start(), token_ids, every=True))
        found.append(second.feed(second.start(), token_ids, every=True))
    return compare(np.concatenate(expected), np.concatenate(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
