"""How well and how fast passages are found.

    python bench/retrieval.py quality [--split validation] [--embedder bundled] [--questions FILE …]
    python bench/retrieval.py speed [--passages 10000,100000] [--rounds 30]

quality: questions on Python's reference text (`tests/data/python`, one by one; half of the hard
ones' words do not stand in the answer). Printed for each ranking: the share of questions whose
document is among the first k distinct documents, and whose answer is in the first k passages, with
95% bootstrap intervals; the paired differences that matter; naive fusion of ranks beside ours.

speed: passages of made-up words (as frequent as words are) with random vectors. Printed: how fast
they are stored, how large the file is, and the median and 95th percentile of a search, in a process
that has searched before and in a fresh `avalan index search`.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from avalan.cli.demonstration import topics, write_pages
from avalan.retrieval.entities import Passage
from avalan.retrieval.index import MODES, SyncIndex
from avalan.retrieval.vectors import Vectors

DATA = Path(__file__).parents[1] / "tests" / "data" / "python"
DEPTHS = (1, 3, 5, 10)
Question = dict[str, object]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("part", choices=["quality", "speed"])
    options.add_argument("--split", default="validation")
    options.add_argument("--embedder", default="bundled")
    options.add_argument("--questions", nargs="*", default=sorted(DATA.glob("*.questions.jsonl")))
    options.add_argument("--passages", default="10000,100000")
    options.add_argument("--rounds", type=int, default=30)
    given = options.parse_args()
    if given.part == "quality":
        quality(list(questions(given.questions, given.split)), given.embedder, given.split)
    else:
        for num in map(int, given.passages.split(",")):
            speed(num, given.rounds)


# --- quality ------------------------------------------------------------------------------------


def questions(files: Sequence[Path], split: str) -> Iterator[Question]:
    for file in files:
        for line in Path(file).read_text(encoding="utf-8").splitlines():
            question = json.loads(line)
            if question["split"] == split:
                yield question


def quality(asked: list[Question], embedder: str, split: str) -> None:
    pages = topics()
    asked = [each for each in asked if str(each["answer"]) in pages.get(str(each["document"]), "")]
    hard = np.array([each["kind"] == "hard" for each in asked])
    print(f"{split}: {len(asked)} questions, {hard.sum()} of them hard; embedder {embedder}")
    with tempfile.TemporaryDirectory() as name, SyncIndex.temporary(embedder=embedder) as index:
        folder = Path(name)
        write_pages(folder, pages)
        list(index.add([folder]))
        started = perf_counter()
        for _event in index.embed():
            pass
        totals = index.totals()
        rate = totals.num_embedded / (perf_counter() - started)
        print(f"{totals.num_documents} documents, {totals.num_passages} passages, {rate:.0f}/s")
        rankings: dict[str, Callable[[str], list[Passage]]] = {
            mode: partial(index.search, top_k=100, mode=mode) for mode in MODES
        }
        rankings["ranks fused"] = lambda text: reciprocal_ranks(index, text)
        found = {name: judged(asked, search) for name, search in rankings.items()}
    print(
        f"\n{'':14}" + "".join(f"{'document@' + str(k):>18}" for k in DEPTHS) + " passage@5  hard@5"
    )
    for name, (documents, passages) in found.items():
        cells = "".join(
            f"{documents[:, i].mean():7.3f} {interval(documents[:, i])}" for i in range(4)
        )
        print(f"{name:14}{cells} {passages[:, 2].mean():9.3f} {documents[hard, 2].mean():7.3f}")
    at_5 = {name: documents[:, 2].astype(float) for name, (documents, _) in found.items()}
    arm = max(("lexical", "dense"), key=lambda name: at_5[name].mean())
    for other in dict.fromkeys(("lexical", arm)):
        difference = at_5["hybrid"] - at_5[other]
        print(f"hybrid - {other} at 5: {difference.mean():+.3f} {interval(difference)}")


def judged(
    asked: list[Question], search: Callable[[str], list[Passage]]
) -> tuple[np.ndarray, np.ndarray]:
    """Whether (question, depth) the document, and the answer's passage, is among the first k."""
    documents, passages = [], []
    for question in asked:
        right = {page(str(question["document"])), *map(page, question["also"])}  # type: ignore[call-overload]
        groups = [(each, *each.also) for each in search(str(question["question"]))]
        first: list[set[str]] = []
        for group in groups:
            names = {Path(each.source).stem for each in group}
            if not any(names & seen for seen in first):
                first.append(names)
        documents.append([any(names & right for names in first[:k]) for k in DEPTHS])
        answer = folded(str(question["answer"]))
        holds = [any(answer in folded(each.text) for each in group) for group in groups]
        passages.append([any(holds[:k]) for k in DEPTHS])
    return np.array(documents), np.array(passages)


def reciprocal_ranks(index: SyncIndex, text: str, k0: int = 60) -> list[Passage]:
    """Cormack et al., 2009, doi:10.1145/1571941.1572114: what fusing ranks alone would give."""
    scores: dict[tuple[str, int], float] = {}
    known: dict[tuple[str, int], Passage] = {}
    for mode in ("lexical", "dense"):
        for rank, passage in enumerate(index.search(text, 100, mode=mode), 1):
            key = (passage.source, passage.start)
            known[key] = passage
            scores[key] = scores.get(key, 0.0) + 1 / (k0 + rank)
    return [known[key] for key in sorted(scores, key=lambda key: -scores[key])]


def page(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in name)


def folded(text: str) -> str:
    return " ".join(text.split())


def interval(values: np.ndarray) -> str:
    draws = np.random.default_rng(0).choice(np.asarray(values, float), (4000, len(values)))
    low, high = np.quantile(draws.mean(axis=1), [0.025, 0.975])
    return f"[{low:.2f}, {high:.2f}]" if low >= 0 else f"[{low:+.3f}, {high:+.3f}]"


# --- speed --------------------------------------------------------------------------------------


def speed(num: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        os.environ["AVALAN_HOME"] = name
        folder = Path(name) / "texts"
        vocabulary = write_texts(folder, num)
        path = Path(name) / "indexes" / "bench.sqlite"
        path.parent.mkdir()
        with SyncIndex.open(path, create=True) as index:
            started = perf_counter()
            list(index.add([folder]))
            words_s = perf_counter() - started
            put_random_vectors(index)
            totals = index.totals()
        size = path.stat().st_size / 1e6
        rate = totals.num_passages / words_s
        print(f"\n{totals.num_passages} passages: {rate:.0f}/s by words, {size:.0f} MB")
        asked = [" ".join(random.Random(i).sample(vocabulary[:3000], 5)) for i in range(rounds)]
        with SyncIndex.open(path) as index:
            for mode in MODES:
                warm = timed(asked, partial(index.search, mode=mode))
                fresh = timed(asked[: max(rounds // 3, 5)], partial(command, mode=mode))
                print(f"{mode:8} p50, p95 in ms: warm {warm}, a fresh command {fresh}")


def write_texts(folder: Path, num: int) -> list[str]:
    """`num` passages of 90 words as frequent as words are (Zipf), ten to a file; the words."""
    generator = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = [
        "".join(generator.choice(letters, generator.integers(3, 10))) for _ in range(30_000)
    ]
    weights = 1 / np.arange(1, len(vocabulary) + 1)
    folder.mkdir()
    for number in range(num // 10):
        words = generator.choice(vocabulary, (10, 90), p=weights / weights.sum())
        text = "\n\n".join(f"# Part {i}\n\n{' '.join(row)}." for i, row in enumerate(words))
        (folder / f"{number:06}.md").write_text(text)
    return vocabulary


def put_random_vectors(index: SyncIndex) -> None:
    """Vectors as the embedder in the box would give them, in its name, without its time."""
    for event in index.embed():  # A first batch, which says whose vectors they are.
        del event
        break
    backend, generator = index._backend, np.random.default_rng(0)
    embedding = backend.embedding()
    assert embedding
    while pending := backend.pending(4096):
        rows = generator.normal(size=(len(pending), embedding.dimension)).astype(np.float32)
        vectors: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        backend.put_vectors([number for number, _ in pending], vectors)


def command(text: str, mode: str) -> None:
    words = [sys.executable, "-m", "avalan", "index", "search", text, "--name", "bench"]
    subprocess.run([*words, "--mode", mode], check=True, stdout=subprocess.DEVNULL)


def timed(asked: Sequence[str], act: Callable[[str], object]) -> str:
    """Median and 95th percentile, in milliseconds."""
    act(asked[0])
    spent = []
    for text in asked:
        started = perf_counter()
        act(text)
        spent.append(1000 * (perf_counter() - started))
    return f"{np.median(spent):.1f}, {np.quantile(spent, 0.95):.1f}"


if __name__ == "__main__":
    main()
