"""From key press to answer: from the start of `avalan ask … --index` to the answer's line.

    python bench/press.py DOCS [--rounds 12] [--beside SRC]

DOCS is what docs/ask-examples.md asks: the Debian FAQ and texts of doc-debian, which become an
index of their own. Each press is a new process; with --beside the same question is asked in turn by
the sources in another checkout's SRC, and the ratio is of such pairs. Python keeps what it
compiled, as after any installation.
"""

import argparse
import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

SOURCES = Path(__file__).parents[1] / "src"
QUESTIONS = (
    "how often is the project leader elected",
    "What was the codename of Debian 3.1?",
    "how do i find out which package a file belongs to",
    "What is in the contrib section?",
    "how many members may the technical committee have",
)
SAYS = (b"answer:", b"not sure:", b"abstained:")
ASK = [sys.executable, "-m", "avalan"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("docs", type=Path)
    options.add_argument("--rounds", type=int, default=12)
    options.add_argument("--beside", type=Path, help="the src of another checkout")
    given = options.parse_args()
    places = [SOURCES, *([given.beside] if given.beside else [])]
    with TemporaryDirectory() as state:
        ways = [{**os.environ, "AVALAN_HOME": state, "PYTHONPATH": str(path)} for path in places]
        for way in ways:
            way.pop("PYTHONDONTWRITEBYTECODE", None)
        subprocess.run(
            [*ASK, "index", "add", given.docs, "--index", "docs"], env=ways[0], check=True
        )
        for way in ways:  # What is compiled now is compiled for all.
            press(QUESTIONS[0], way)
        measured = np.array(
            [
                [additions(), *(press(question, way) for way in ways)]
                for _ in range(given.rounds)
                for question in QUESTIONS
            ]
        )
        talked = np.array(list(talk(QUESTIONS * given.rounds, ways[0])))
    pace, seconds = measured[:, 0], measured[:, 1:]
    fast = pace <= np.quantile(pace, 1 / 3)
    for path, column in zip(places, seconds.T, strict=True):
        low, middle, high = np.quantile(column, [0, 0.5, 1])
        print(
            f"{path}: {middle:.3f} s [{low:.3f}, {high:.3f}], "
            f"{(column < 1).sum()} of {len(column)} below 1 s; in the fastest third of moments "
            f"{np.median(column[fast]):.3f} s, {(column[fast] < 1).sum()} of {fast.sum()}"
        )
    print(
        "a million additions: {1:.3f} s [{0:.3f}, {2:.3f}]".format(*np.quantile(pace, [0, 0.5, 1]))
    )
    if len(pace) > 2:
        rank = np.corrcoef(pace.argsort().argsort(), seconds[:, 0].argsort().argsort())[0, 1]
        print(f"rank correlation of the loop's time and the press's: {rank:.2f}")
    print(
        "in a conversation: {1:.3f} s [{0:.3f}, {2:.3f}], ".format(
            *np.quantile(talked, [0, 0.5, 1])
        )
        + f"{(talked < 1).sum()} of {len(talked)} below 1 s"
    )
    if given.beside:
        ratios = seconds[:, 0] / seconds[:, 1]
        print("the first to the second, paired: {1:.3f} [{0:.3f}, {2:.3f}]".format(
            *np.quantile(ratios, [0.25, 0.5, 0.75])
        ))  # fmt: skip


def additions() -> float:
    """Seconds that a million additions take."""
    start, total = perf_counter(), 0
    for number in range(1_000_000):
        total += number
    return perf_counter() - start


def press(question: str, environment: Mapping[str, str]) -> float:
    """Seconds until the answer's line is there."""
    start = perf_counter()
    with subprocess.Popen(
        [*ASK, "ask", question, "--index", "docs"], env=environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(SAYS):
                passed = perf_counter() - start
                break
        else:
            raise SystemExit(f"{question}: nothing was said")
        process.stdout.read()
    return passed


def talk(questions: tuple[str, ...], environment: Mapping[str, str]) -> Iterator[float]:
    """Seconds from Enter until the whole answer is shown and the next question is waited for."""
    ours, theirs = pty.openpty()
    command = [*ASK, "ask", "--index", "docs"]
    with subprocess.Popen(
        command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        wait_for_prompt(ours)
        for question in questions:
            start = perf_counter()
            os.write(ours, f"{question}\n".encode())
            wait_for_prompt(ours)
            yield perf_counter() - start
        os.write(ours, b"\n")  # No question ends it.
        process.wait()
    os.close(ours)


def wait_for_prompt(terminal: int) -> None:
    shown = b""
    while b"Question:" not in shown:
        shown += os.read(terminal, 4096)


if __name__ == "__main__":
    main()
