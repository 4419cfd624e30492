"""Sessions with `avalan ask`, word for word.

    python scripts/ask_examples.py DOCS > docs/ask-examples.md

What is to be said of the answers is written above them by hand.

DOCS is a folder with the Debian project's own documentation: the pages of the package debian-faq
(11.1), and of doc-debian (11.3) the constitution, the social contract, the manifesto, and what is
said about reporting bugs, mailing lists and unpacking sources, as text files. Neither is among what
any model of ours was trained or tested on. The questions were written before the reader was.
"""

import subprocess
import sys
from pathlib import Path

SESSIONS = (
    ("how often is the project leader elected", "a term of one year"),
    ("Who can override a decision made by the Project Leader?", "the Developers"),
    ("What was the codename of Debian 3.1?", "sarge"),
    ("how do i find out which package a file belongs to", "dpkg --search, or -S"),
    ("What is in the contrib section?", "free packages that depend on others which are not"),
    ("how many members may the technical committee have", "up to eight"),
    ("Why is the distribution called Debian?", "Debra and Ian Murdock"),
    ("What does it cost to become a Debian developer?", "not in the documents"),
    ("Does Debian run on the Raspberry Pi 5?", "not in the documents"),
    ("what is the capital of Sweden", "no look-up: Stockholm"),
)
HEAD = """# Ten sessions with `avalan ask`

Word for word, the bad ones too. The documents are the Debian project's own, which no model of ours
has seen: its FAQ (the HTML pages of the package debian-faq) and from doc-debian the constitution,
the social contract, the manifesto and texts about bugs, mailing lists and sources; {num} files in
the folder `debian`. The questions and what is right were written down before there was a reader.
Made with `scripts/ask_examples.py`, in a pipe; in a terminal, an answer that is not sure begins
with "Not sure. What comes nearest:".
"""


def main(docs: Path) -> None:
    print(HEAD.format(num=len(list(docs.iterdir()))))
    for number, (question, right) in enumerate(SESSIONS, 1):
        words = ["-m", "avalan", "ask", question, "--docs", docs.name]
        done = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, cwd=docs.parent, check=True
        )
        said = (done.stdout + done.stderr).strip().replace(f"{docs.parent.resolve()}/", "")
        print(
            f"## {number}. Expected: {right}\n\n"
            f'```text\n$ avalan ask "{question}" --docs {docs.name}'
        )
        print(f"{said}\n```\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
