"""Every page of `--help`: it tells what the command is for, what each option does, and an example.

The pages are found by walking the tables and the parsers, so a new command is held to it too.
"""

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest

from avalan import cli
from avalan.cli import main
from avalan.cli.parser import Parser
from avalan.cli.tree import Group, walk

Page = Group | Parser


def pages(place: Page = cli.ROOT) -> Iterator[Page]:
    """All groups, verbs' parents and commands."""
    yield place
    if isinstance(place, Group):
        for word in place.commands:
            yield from pages(place.choose(word))
    else:
        yield from place.verbs().values()


PAGES = {page.prog: page for page in pages()}
HEAVY = {"torch", "transformers", "onnxruntime", "rich", "pydantic", "httpx", "numpy", "fastapi"}


def shown(prog: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([*prog.split()[1:], "--help"]) == 0
    return capsys.readouterr().out


def description(page: Page) -> str:
    return page.about if isinstance(page, Group) else page.description or ""


def examples(text: str) -> list[list[str]]:
    """The words after `avalan` of each example on a help page."""
    lines = text.partition("\nTry:\n")[2].replace("\\\n", " ").splitlines()
    return [command for line in lines for command in commands(line)]


def commands(line: str) -> Iterator[list[str]]:
    """Each call of avalan in a line of shell, up to its pipe, redirection or bracket."""
    line = line.replace('"$(', " ( ").replace(')"', " ) ")
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    words: list[str] | None = None
    for token in [*lexer, ";"]:
        if set(token) <= set("();<>|&"):
            if words is not None:
                yield words
            words = None
        elif words is not None:
            words.append(token)
        elif token == "avalan":
            words = []


def test_the_walk_finds_groups_verbs_and_commands() -> None:
    assert {"avalan", "avalan model", "avalan model run", "avalan index add"} <= set(PAGES)
    assert {"avalan completion", "avalan cache delete", "avalan agent init"} <= set(PAGES)


@pytest.mark.parametrize("prog", PAGES)
def test_every_page_says_in_full_sentences_what_the_command_is_for(prog: str) -> None:
    text = " ".join(description(PAGES[prog]).split())
    assert re.fullmatch(r"(avalan|[A-Z]).{15,}\.", text), text


@pytest.mark.parametrize("prog", PAGES)
def test_every_option_and_argument_has_a_help_text(prog: str) -> None:
    page = PAGES[prog]
    if isinstance(page, Group):
        assert all(about for about, _ in page.commands.values())
        return
    assert all(page.verb_helps().values())
    own = [action for action in page._actions if not isinstance(action, argparse._SubParsersAction)]
    bare = [action.dest for action in own if not (action.help or "").strip()]
    assert not bare


@pytest.mark.parametrize("prog", PAGES)
def test_every_page_ends_with_examples_that_the_parser_understands(
    prog: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = examples(shown(prog, capsys))
    assert found, "there is no example"
    for words in found:
        place, rest = walk(cli.ROOT, words)
        assert isinstance(place, Parser), words
        place.add_global_options()
        assert callable(place.parse(rest).run)
    assert any(prog.split()[1:] == words[: len(prog.split()) - 1] for words in found)


@pytest.mark.parametrize("prog", PAGES)
def test_paragraphs_are_filled_and_not_broken_twice(
    prog: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line is as long as the next line's first word allows."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = shown(prog, capsys).splitlines()
    for line, following in pairwise(lines):
        is_prose = line and following and line[0] != " " and following[0] != " "
        if is_prose and line[-1] != ":" and not line.startswith("Usage: "):
            assert len(line) + 1 + len(following.split()[0]) > 80, line


def test_the_examples_in_a_line_of_shell_are_found() -> None:
    line = """cat a.txt | avalan model run --quiet "a | b" > out.txt; eval "$(avalan x y)" # z"""
    assert list(commands(line)) == [["model", "run", "--quiet", "a | b"], ["x", "y"]]
    assert examples("Usage\n\nTry:\n  avalan a \\\n    --b 'c d'\n") == [["a", "--b", "c d"]]


def test_no_page_imports_a_heavy_library() -> None:
    words = [[*prog.split()[1:], "--help"] for prog in PAGES]
    script = (
        "import sys\n"
        "from avalan.cli import main\n"
        f"for words in {words!r}:\n"
        "    assert main(words) == 0\n"
        f"    heavy = {HEAVY!r} & {{name.partition('.')[0] for name in sys.modules}}\n"
        "    assert not heavy, f'{words} import {heavy}'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
