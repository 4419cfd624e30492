"""Make the corpus that the embedder in the box is distilled on, from unpacked Debian packages.

    apt-get download wordnet-base postgresql-doc-15 sqlite3-doc apache2-doc rust-doc
    for package in *.deb; do dpkg -x "$package" tree; done
    python scripts/embedder_corpus.py tree runs/embedder-corpus

Writes one file per package, one text a line: passages, headings, sentences and definitions, in an
order that depends on the texts alone. Their licences are in the embedder's card.
"""

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from itertools import chain
from pathlib import Path

_DOC = "usr/share/doc"
_PAGES = {
    "postgresql": (f"{_DOC}/postgresql-doc-15/html", "*.html", ()),
    # The matrix of requirements says every sentence of the rest again.
    "sqlite": (f"{_DOC}/sqlite3", "*.html", ("matrix", "keyword_index", "doclist", "toc.")),
    "apache": (f"{_DOC}/apache2-doc/manual/en", "*.html", ()),
    # The crates `core` and `alloc` repeat `std`, and pages of traits repeat one another.
    "rust": (f"{_DOC}/rust-doc/html", "*.html", ("/core/", "/alloc/", "/arch/", "trait.", "/src/")),
}
_MOST_TEXTS = 40_000
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "dt")
_BLOCKS = (*_HEADINGS, "p", "li", "dd", "td", "div", "section", "blockquote", "summary")
_SKIPPED = ("script", "style", "nav", "pre", "head", "footer", "button")
_PASSAGE_WORDS = 110
_NOISE = re.compile(r"[→🔬−]|source ·|^(impl|pub|unsafe|type|fn)\b|\b(uma|und|une|para|que)\b")
"""Link lists, the marks of generated pages, signatures, and what is not English."""


class _Reader(HTMLParser):
    """Collects (is_heading, text) for the blocks of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[tuple[bool, str]] = []
        self._parts: list[str] = []
        self._skipped = 0
        self._is_heading = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skipped += tag in _SKIPPED
        if tag in _BLOCKS:
            self._end()
            self._is_heading = tag in _HEADINGS

    def handle_endtag(self, tag: str) -> None:
        self._skipped -= tag in _SKIPPED and self._skipped > 0
        if tag in _BLOCKS:
            self._end()
            self._is_heading = False

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self._parts.append(data)

    def _end(self) -> None:
        text = " ".join("".join(self._parts).split()).strip("§¶#· ")
        self._parts = []
        if re.search(r"[a-z]{3}", text):
            self.blocks.append((self._is_heading, text))


def page_texts(html: str) -> Iterator[str]:
    """Headings, sentences, and passages of up to about 110 words, each under its heading."""
    reader = _Reader()
    reader.feed(html)
    heading, words = "", list[str]()
    for is_heading, text in [*reader.blocks, (True, "")]:
        if is_heading:
            if len(words) > 12:
                yield f"{heading}\n{' '.join(words)}".strip()
            heading, words = re.sub(r"^[\d.]+\s*", "", text), []
            if 2 <= len(heading.split()) <= 15:
                yield heading
            continue
        yield from (s for s in re.split(r"(?<=[.!?])\s+", text) if 4 <= len(s.split()) <= 40)
        words += text.split()
        while len(words) > _PASSAGE_WORDS:
            yield f"{heading}\n{' '.join(words[:_PASSAGE_WORDS])}".strip()
            words = words[_PASSAGE_WORDS - 20 :]


def wordnet_texts(folder: Path) -> Iterator[str]:
    """Definitions, with and without their words, and examples."""
    for path in sorted(folder.glob("data.*")):
        for line in path.read_text(encoding="latin-1").splitlines():
            if line.startswith(" "):
                continue
            record, _, gloss = line.partition(" | ")
            fields = record.split()
            names = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
            words = [name.replace("_", " ").split("(")[0] for name in names]
            definition, *_ = gloss.split('; "')
            yield definition.strip()
            yield f"{', '.join(words)}: {definition.strip()}"
            yield words[0]
            yield from (text for text in re.findall(r'"([^"]+)"', gloss) if len(text.split()) > 3)


def chosen(texts: Iterable[str]) -> list[str]:
    """Different texts in an order by hash, at most `_MOST_TEXTS`."""
    kept = (text for text in texts if len(text) < 1_500 and not _NOISE.search(text))
    different = {text.replace("\n", "\\n") for text in kept}
    key = {text: hashlib.blake2b(text.encode(), digest_size=8).digest() for text in different}
    return sorted(different, key=key.__getitem__)[:_MOST_TEXTS]


def main(tree: Path, out: Path) -> None:
    """Write the corpus of the packages under `tree` into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    made = {"wordnet": wordnet_texts(tree / "usr/share/wordnet")}
    for name, (folder, pattern, skipped) in _PAGES.items():
        pages = sorted(
            path
            for path in (tree / folder).rglob(pattern)
            if not any(part in str(path) for part in skipped)
        )
        read = (page.read_text(encoding="utf-8", errors="replace") for page in pages)
        made[name] = chain.from_iterable(map(page_texts, read))
    for name, texts in made.items():
        lines = chosen(texts)
        (out / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        print(f"{name}: {len(lines):,} texts")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
