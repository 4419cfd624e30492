"""How well and how fast the embedder in the box finds pages, beside its teacher and a table.

    python bench/embedder.py --teacher DIR [--student bundled] [--split validation] [FILE …]

The pages are Python's reference text in windows of 120 words; a question finds its page if a window
of it is among the windows of the first k different pages. `teacher` is the original in float32 on
ONNX Runtime, `int8` the same in 8 bits, and `static` a vector per token of the teacher, weighted by
its rank, averaged (model2vec, Minish, 2024, on SIF, Arora et al., 2017). Printed: recall with 95%
bootstrap intervals, the paired difference from the teacher and the share of its recall, and speed:
the contestants take turns, and each ratio is formed within its round.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from avalan.cli.demonstration import topics
from avalan.compress.encoder import export_encoder, principal_components
from avalan.evaluate.statistics import bootstrap, bootstrap_mean, paired_difference
from avalan.model import bundled
from avalan.model.entities import EngineSettings
from avalan.model.nlp.sentence import BUNDLED, load, unit_rows

DATA = Path(__file__).parent / "data"
DEPTHS = (1, 5, 10)
WINDOW, OVERLAP = 120, 20
Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("files", nargs="*", type=Path, default=sorted(DATA.glob("*.jsonl")))
    options.add_argument("--teacher", type=Path, required=True)
    options.add_argument("--student", default="bundled")
    options.add_argument("--split", default="validation")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--threads", type=int, default=1)
    given = options.parse_args()
    asked = [row for file in given.files for row in questions(file, given.split)]
    with tempfile.TemporaryDirectory() as folder:
        contestants, sizes = build(given.teacher, given.student, Path(folder), given.threads)
        quality(asked, contestants, sizes)
        speed([str(row["question"]) for row in asked], contestants, given.rounds)


def questions(file: Path, split: str) -> list[dict[str, Any]]:
    pages = topics()
    rows = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return [row for row in rows if row["split"] == split and row["document"] in pages]


def build(
    teacher: Path, student: str, folder: Path, threads: int
) -> tuple[dict[str, Embed], dict[str, float]]:
    """What makes vectors of texts, by name, and its megabytes."""
    settings = EngineSettings(num_threads=threads)
    ours = bundled.find(BUNDLED).folder if student == "bundled" else Path(student)
    folders = {"student": ours, "teacher": folder / "fp32", "int8": folder / "int8"}
    export_encoder(teacher, folders["teacher"], precision="fp32")
    export_encoder(teacher, folders["int8"], precision="int8")
    made: dict[str, Embed] = {
        name: load(name, path, settings).embed for name, path in folders.items()
    }
    sizes = {name: (path / "model.onnx").stat().st_size / 1e6 for name, path in folders.items()}
    made["static"], sizes["static"] = static(made["teacher"], teacher / "tokenizer.json")
    return made, sizes


def static(teacher: Embed, definition: Path, dimension: int = 256) -> tuple[Embed, float]:
    """A vector per token: the teacher's of the token alone, its principal components, weighted."""
    tokenizer = tokenizers.Tokenizer.from_file(str(definition))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    vocabulary = tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    vectors = teacher([token.removeprefix("##") for token in tokens])
    _mean, factors, _basis = principal_components(vectors, np.ones(len(vectors)), dimension)
    # Zipf: in a WordPiece vocabulary, a token's number is about its rank.
    table = (factors * np.log1p(np.arange(len(factors)))[:, None]).astype(np.float32)

    def embed(texts: Sequence[str]) -> Vectors:
        found = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return unit_rows(np.stack([table[row.ids or [0]].mean(axis=0) for row in found]))

    return embed, table.nbytes / 1e6


# --- quality --------------------------------------------------------------------------------------


def quality(
    asked: Sequence[dict[str, Any]], contestants: dict[str, Embed], sizes: dict[str, float]
) -> None:
    names, windows = windows_of(topics())
    hard = np.array([row["kind"] == "hard" for row in asked])
    print(f"{len(asked)} questions ({hard.sum()} hard), {len(windows)} windows")
    found = {
        name: judged(
            asked, embed([str(row["question"]) for row in asked]) @ embed(windows).T, names
        )
        for name, embed in contestants.items()
    }
    print(f"{'':9}{'MB':>6}" + "".join(f"{f'recall@{k}':>19}" for k in DEPTHS) + "  hard@10")
    for name, hits in found.items():
        cells = "".join(
            f"{written(bootstrap_mean(list(hits[:, i]))):>19}" for i in range(len(DEPTHS))
        )
        print(f"{name:9}{sizes[name]:6.1f}{cells}{hits[hard, -1].mean():9.3f}")
    for name in (name for name in found if name != "teacher"):
        for i, depth in enumerate(DEPTHS):
            ours, theirs = found[name][:, i], found["teacher"][:, i]
            share = bootstrap(lambda a, b: float(a.mean() / b.mean()), ours, theirs)
            gap = paired_difference(list(ours), list(theirs))
            print(f"{name} - teacher at {depth}: {written(gap)}; share {written(share)}")


def windows_of(pages: Any) -> tuple[list[str], list[str]]:
    """The page's name and the text of every window."""
    rows = []
    for name, text in pages.items():
        words = text.split()
        starts = range(0, max(1, len(words) - OVERLAP), WINDOW - OVERLAP)
        rows += [(name, " ".join(words[start : start + WINDOW])) for start in starts]
    return [name for name, _ in rows], [text for _, text in rows]


def judged(
    asked: Sequence[dict[str, Any]], scores: Vectors, names: Sequence[str]
) -> NDArray[np.float64]:
    """Whether (question, depth) a right page is among the first k different ones."""
    rows = []
    for question, order in zip(asked, np.argsort(-scores, axis=1, kind="stable"), strict=True):
        right = {question["document"], *question["also"]}
        ranked = list(dict.fromkeys(names[index] for index in order))
        rows.append([bool(right & set(ranked[:depth])) for depth in DEPTHS])
    return np.array(rows, np.float64)


def written(estimate: Any) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.2f}, {estimate.high:.2f}]"


# --- speed ----------------------------------------------------------------------------------------


def speed(texts: Sequence[str], contestants: dict[str, Embed], num_rounds: int) -> None:
    _names, windows = windows_of(topics())
    for what, given in (("question", texts[:40]), ("passage", windows[::25])):
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        for _round in range(num_rounds):
            for name, embed in contestants.items():
                started = perf_counter()
                for text in given:
                    embed([text])
                seconds[name].append((perf_counter() - started) / len(given))
        for name, values in seconds.items():
            ratios = np.array([b / a for a, b in zip(values, seconds["teacher"], strict=True)])
            spread = bootstrap(lambda rows: float(np.median(rows)), ratios)
            each = f"{median(values) * 1e3:8.2f} ms, {1 / median(values):8.1f}/s"
            print(f"{what:9}{name:9}{each}; teacher's time / its: {written(spread)}")


if __name__ == "__main__":
    main()
