"""What `make run` does: answer from Python's own reference text, which is on every machine.

Without `Q` in the environment, three questions: one that needs a look-up, one that does not, and
one that has no answer there. With `Q`, that question, over the documents in `DOCS` if it is given.
"""

import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from avalan import cli, extras, locale, state
from avalan.cli.console import Console
from avalan.cli.display.answer import Screen
from avalan.errors import AvalanError, RetrievalError
from avalan.locale import _, _n, ngettext
from avalan.retrieval import store
from avalan.retrieval.index import SyncIndex
from avalan.retrieval.place import named

INDEX = "python"
EMBED_S = 30.0
"""How long the first question waits, at most, for the reference to be searchable by meaning."""
QUESTIONS = (
    (
        _n("A question that needs a look-up"),
        "When are default parameter values evaluated, according to the Python reference?",
    ),
    (_n("A question that needs none"), "What is the capital of France?"),
    (
        _n("A question with no answer there"),
        "How much does the ferry to the island cost this year?",
    ),
)
TRY = (
    (
        _n("See every step of an answer:"),
        'ask "When are defaults evaluated?" --index python --trace',
    ),
    (_n("Ask your own documents:"), 'ask "Under which licence is avalan?" --docs README.md'),
    (_n("See this machine, and what fits on it:"), ""),
)


def main(model: str | None = None) -> int:
    """Run the demonstration.

    Args:
        model: as `--model` of `avalan ask`.

    Returns:
        An exit code, as of `avalan.cli.main`.
    """
    locale.use(None)
    console = Console()
    return _guarded(lambda: _run(console, model), console)


def _guarded(act: Callable[[], int], console: Console) -> int:
    try:
        return act()
    except AvalanError as error:
        console.error(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0


def _run(console: Console, model: str | None) -> int:
    question, docs = os.environ.get("Q", "").strip(), os.environ.get("DOCS", "").strip()
    chosen = ["--model", model] if model else []
    if docs:
        words = ["--docs", str(Path(docs).expanduser())]
        return cli.main(["ask", *chosen, *words, "--", *([question] if question else [])])
    open_panel = extras.load("avalan.reflection.panel").open_panel
    with _reference(console) as index, open_panel(model) as panel:
        if question:
            _answer(question, panel, index, console)
        else:
            _show_all(panel, index, console)
    return 0


def _show_all(panel: Any, index: SyncIndex, console: Console) -> None:
    console.print(
        ngettext(
            "Asking {n} page of Python's reference text, which came with Python.",
            "Asking {n} pages of Python's reference text, which came with Python.",
            len(index.documents()),
        )
    )
    for title, question in QUESTIONS:
        console.print()
        console.print((_(title), "dim"))
        console.print((question, "bold"))
        _answer(question, panel, index, console)
    console.print()
    console.print((_("Try next"), "bold"))
    for what, words in TRY:
        console.print((f"  {_(what)}", "dim"))
        console.print(f"    {command()} {words}".rstrip(), wrap=False)


def _answer(question: str, panel: Any, index: SyncIndex, console: Console) -> None:
    screen = Screen(console)
    ask = extras.load("avalan.reflection.loop").ask
    for event in ask(question, panel=panel, index=index):
        screen.show(event)


def command() -> str:
    """How `avalan` is called here: by its name where the shell finds it, else by its path."""
    script = Path(sysconfig.get_path("scripts")) / "avalan"
    if not script.is_file():
        return f"{os.path.relpath(sys.executable)} -m avalan"
    found = shutil.which("avalan")
    return "avalan" if found and Path(found).samefile(script) else os.path.relpath(script)


# --- the reference text -------------------------------------------------------------------------


def _reference(console: Console) -> SyncIndex:
    """The index of Python's reference text, up to date; close it."""
    folder = state.folder("demo") / "python"
    console.progress(_("Writing Python's reference text …"))
    write_pages(folder, topics())
    path = named(INDEX)
    # It is made from what Python has, so one of another version is simply made again.
    index = SyncIndex.open(path, create=True, rebuild=store.needs_replacing(path))
    for count, _event in enumerate(index.add([folder]), 1):
        console.progress(
            ngettext(
                "Reading Python's reference text: {n} page",
                "Reading Python's reference text: {n} pages",
                count,
            )
        )
    deadline = monotonic() + EMBED_S
    for event in index.embed():
        if monotonic() > deadline:
            break  # By words it can be asked already; the rest follows next time.
        console.progress(
            ngettext(
                "Reading it for its meaning: {n} passage left",
                "Reading it for its meaning: {n} passages left",
                event.num_left,
            )
        )
    return index


def topics() -> Mapping[str, str]:
    """The pages of Python's reference that `help()` shows, by name.

    Raises:
        RetrievalError: this Python came without them.
    """
    try:
        found: Mapping[str, str] = extras.load("pydoc_data.topics").topics
    except ModuleNotFoundError:
        raise RetrievalError(
            "This Python came without its reference text (the module pydoc_data), which the "
            'demonstration reads; ask your own documents with: make run Q="…" DOCS=path'
        ) from None
    return found


def write_pages(folder: Path, pages: Mapping[str, str]) -> None:
    """Make `folder` hold each page as a `.rst` file and no other; what is the same stays."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {re.sub(r"[^\w-]", "_", name) + ".rst": text for name, text in pages.items()}
    for path in _others(folder, wanted):
        path.unlink()
    for name, text in wanted.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _others(folder: Path, wanted: Mapping[str, str]) -> Iterator[Path]:
    return (path for path in list(folder.glob("*.rst")) if path.name not in wanted)
