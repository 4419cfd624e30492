"""Sixty questions on an operating system's documents, through `avalan ask`: what is said, and how.

    python bench/system_docs.py PAGES

PAGES has the folders install, policy and devref; see data/system-docs. Printed are the counts, and
every sixth session word for word, as a person would see it in a pipe.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from avalan.reflection.events import Answer
from avalan.reflection.loop import ask
from avalan.reflection.matching import contains
from avalan.reflection.panel import open_panel
from avalan.retrieval.index import SyncIndex

QUESTIONS = Path(__file__).parents[1] / "data" / "system-docs" / "questions.jsonl"
EVERY = 6


def main(pages: Path) -> None:
    rows = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    counts: Counter[tuple[str, str]] = Counter()
    with open_panel() as panel:
        for name in dict.fromkeys(row["set"] for row in rows):
            with SyncIndex.temporary() as index:
                list(index.add([str(pages / name)]))
                list(index.embed())
                for row in (row for row in rows if row["set"] == name):
                    *_steps, answer = ask(row["question"], panel=panel, index=index)
                    assert isinstance(answer, Answer)
                    counts[said(answer), graded(row, answer)] += 1
    for manner in ("without reserve", "with reserve", "not at all"):
        found = {what: num for (how, what), num in counts.items() if how == manner}
        print(f"{manner}: {sum(found.values())}", found)
    for row in rows[::EVERY]:
        show(row, pages)


def said(answer: Answer) -> str:
    if answer.text is None:
        return "not at all"
    return "without reserve" if answer.sure else "with reserve"


def graded(row: dict[str, Any], answer: Answer) -> str:
    """Right if it holds a right answer, or is a part of one; or rightly silent."""
    if answer.text is None:
        return "wrong" if row["answers"] else "right"
    text = answer.text
    is_right = any(contains(text, gold) or contains(gold, text) for gold in row["answers"])
    return "right" if is_right else "wrong"


def show(row: dict[str, Any], pages: Path) -> None:
    words = ["-m", "avalan", "ask", row["question"], "--docs", row["set"]]
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=pages, check=True
    )
    expected = row["answers"][0] if row["answers"] else "not in the documents"
    print(f"\n## {row['id']}. Expected: {expected}\n")
    print(f'```text\n$ avalan ask "{row["question"]}" --docs {row["set"]}')
    print((done.stdout + done.stderr).strip().replace(f"{pages.resolve()}/", "") + "\n```")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
