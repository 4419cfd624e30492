"""Every sentence of the sources that people read is marked for translation."""

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path

from avalan import errors

SOURCES = Path(__file__).parents[2] / "src" / "avalan"

# Their strings are what models read and write, or what tests show.
NOT_INTERFACE = {"data", "testing"}

# What several words may be without being a sentence for people.
NOT_FOR_PEOPLE = re.compile(
    r"\s*(avalan|cat|pip|ollama|git) "  # commands to copy
    r"|\s*\(?(SELECT|INSERT|DELETE|UPDATE|CREATE|DROP|PRAGMA|WITH|BEGIN|ALTER|ATTACH|VALUES|FROM"
    r"|ORDER BY|WHERE|SAVEPOINT|RELEASE|ROLLBACK)\b"
    r"|(dim|bold|italic|underline|red|green|yellow|blue|magenta|cyan)( [a-z]+)*$"  # styles
)
# By file, how the strings begin that a reader of the sources agreed to leave.
LEFT: dict[str, tuple[str, ...]] = {
    # What models read.
    "agent/prompt.py": ("Your name is",),
    "model/profile.py": ("the quick brown",),
    "model/nlp/reasoning.py": ("Here is my",),
    "reflection/avalon_judge.py": ("You are AVALON",),
    "data/authored.py": (
        "Below is",
        "Below are",
        "not in the",
        "told by",
        "the reviewer",
        "the adjudicator",
    ),
    "reflection/conversation.py": ("Below are",),
    "reflection/marks.py": ("\n      <",),
    "reflection/signals.py": ("Answer in",),
    # … and what a new token means, for the model that gets it.
    "reflection/tokens.py": ("",),
    "reflection/word_judge.py": ("Decide whether", "Below are", "Answer in"),
    "reflection/writer.py": ("Answer the", "Go on", "A search"),
    "train/tokenizer.py": ("{% for",),
    # What is compared with other programs' words, or read by programs.
    "cli/__init__.py": ("home directory",),
    "cli/machine.py": ("^model name", "page size of"),
    "cli/parser.py": (": expected one", ": it needs one", "the following arguments"),
    "hub/protocol.py": ("You ", "Access to", "Entry not"),
    "hub/shapes.py": ("version https", "{}\noid sha256"),
    "retrieval/store.py": ("Could not decode",),
    # Lists of English words and of tags.
    "reflection/language.py": ("the a ", "der die", "le la", "el la"),
    "reflection/rules.py": ("\\b", "\\d", "^"),
    "retrieval/sentences.py": ("\nmr mrs",),
    "retrieval/dates.py": ("jan", "enero", "janvier"),
    "retrieval/formats/html.py": ("\naddress article",),
    "retrieval/formats/man.py": ("\nAd An",),
    "retrieval/query.py": ("\na about",),
    "retrieval/sqlite.py": ("{} FROM",),
    # What torch's writer says.
    "train/pretrain.py": ("iostream",),
    "train/embedding_texts.py": ("what ", "how ", "why ", "where ", "{} not"),
    "train/rows.py": ("dict[",),
    "train/teacher_logits.py": ("The quick",),
    "train/tuning_tokens.py": ("dict[",),
    # Commands to copy, and questions for a model that reads English.
    "cli/commands/cache_serve.py": ("export ",),
    "cli/commands/completion.py": ("eval ",),
    # Keys of what is counted.
    "cli/commands/data_synthesize.py": ("not in", "told by", "the reviewer", "the adjudicator"),
    "cli/commands/tokenizer.py": ("echo ",),
    "cli/demonstration.py": ("What ", "When ", "How ", 'ask "'),
    # Styles.
    "cli/display/palette.py": ("bold underline",),
}

# Errors translate their sentence themselves.
MARKS = {"_", "_n", "ngettext"} | {
    name for name in vars(errors) if isinstance(vars(errors)[name], type)
}
# What they say is for programmers, or a program on the other side.
NOT_OURS = {name for name in dir(builtins) if name.endswith("Error")} | {"Refused"}
SENTENCE = re.compile(r"[^\W\d_]{2,}[,;:]? [^\W\d_]{2,}")


def unmarked(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Strings of two words or more that stand neither in a mark nor as documentation."""
    match tree:
        case ast.Call(func=ast.Name(id=name)) if name in MARKS:
            for keyword in tree.keywords:
                yield from unmarked(keyword.value)
            return
        case ast.Expr(value=ast.Constant(value=str())):
            return
        case ast.Raise(exc=ast.Call(func=ast.Name(id=name))) if name in NOT_OURS:
            return  # A bug of the caller's program, not a sentence for people.
        case ast.JoinedStr(values=values):
            text = "".join(
                each.value if isinstance(each, ast.Constant) else "{}" for each in values
            )
            if is_sentence(text):
                yield tree.lineno, text
            values = [each for each in values if not isinstance(each, ast.Constant)]
            for each in values:
                yield from unmarked(each)
            return
        case ast.Constant(value=str(text)) if is_sentence(text):
            yield tree.lineno, text
    for child in ast.iter_child_nodes(tree):
        yield from unmarked(child)


def is_sentence(text: str) -> bool:
    return SENTENCE.search(text) is not None and not NOT_FOR_PEOPLE.match(text)


def test_no_sentence_is_unmarked() -> None:
    found = [
        f"{path.relative_to(SOURCES)}:{line}: {text}"
        for path in sorted(SOURCES.rglob("*.py"))
        if path.relative_to(SOURCES).parts[0] not in NOT_INTERFACE
        for line, text in unmarked(ast.parse(path.read_text(encoding="utf-8")))
        if not text.startswith(LEFT.get(path.relative_to(SOURCES).as_posix(), ()) or "\0")
    ]
    assert found == []


def test_the_rule_sees_what_it_should() -> None:
    source = (
        "'''Doc string here.'''\n"
        "a = 'two words'\n"
        "b = f'there is {x} here'\n"
        "c = _('two words', value=f'and more words')\n"
        "d = _n('two words') + ngettext('one word', 'two words', 2)\n"
        "raise ValueError('not for people')\n"
        "raise UsageError('for people {x}', x='two words')\n"
        "raise Unknown('for people')\n"
        "e = 'avalan model run'\n"
    )
    assert [line for line, _ in unmarked(ast.parse(source))] == [2, 3, 4, 7, 8]
