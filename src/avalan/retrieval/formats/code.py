"""Where definitions begin in source code, by one expression for each family of languages.

A grammar for each language would find them all; it would also be a compiled package for each, and
all that hangs on it is where a chunk begins and which name stands above it. A definition that is
not seen costs a heading, never a character.

Every expression matches lines from their start, finds `indent` and `title`, and takes along what
belongs to the definition from the lines above it: comments, attributes, decorators. Lines are
looked at for a bounded number of characters and lines above, so that time stays linear.
"""

import re
from collections.abc import Iterator
from functools import cache

_BEFORE = r"^(?:[ \t]*(?:{marks})[^\r\n]*\r?\n){{0,20}}(?P<indent>[ \t]*)"
_SLASHES = _BEFORE.format(marks=r"//|/\*|\*|@|\#\[|\[[A-Z]")
_HASHES = _BEFORE.format(marks=r"\#")
_DASHES = _BEFORE.format(marks=r"--")

_MODIFIERS = r"""(?:(?:export|default|declare|public|private|protected|internal|open|static|final
    |abstract|sealed|async|override|virtual|partial|inline|unsafe|extern|const|case|data|implicit
    |lazy|fileprivate|mutating|readonly|pub(?:\([^)\r\n]{0,40}\))?|suspend|operator|constexpr
    |typedef|synchronized|native|new|enum(?=[ ]class))[ \t]+){0,6}"""
_NOT_CALLS = "if|for|while|switch|return|else|catch|do|new|throw|delete|await|case|goto|using|try"
_BRACES = rf"""{_SLASHES}(?:
    {_MODIFIERS}(?P<title>(?:class|struct|enum|interface|trait|union|record|object|protocol
        |extension|namespace|module|mod|fn|func|fun|function\*?|def|type|impl|macro_rules!)
        (?:[ \t]+|(?=<))(?:\([^)\r\n]{{0,80}}\)[ \t]*)?(?:<[^>\r\n]{{0,80}}>[ \t]*)?[\w$.:]+)
    | {_MODIFIERS}(?:const|let|var)[ \t]+(?P<bound>[\w$]+)[^=\r\n]{{0,80}}=[ \t]*
        (?:async[ \t]*)?(?:function\b|\([^)\r\n]{{0,200}}\)[^=\r\n]{{0,80}}=>|\w+[ \t]*=>)
    | (?!(?:{_NOT_CALLS})\b)(?=[^;\r\n]{{0,300}}\)[^;\r\n]{{0,100}}(?:\{{|$))
        (?:[\w:<>,\[\]*&~?@.]+[ \t*&]+){{1,6}}(?P<called>[\w:~]+)[ \t]*\((?![^()\r\n]*\)[ \t]*;)
    )[^\r\n]*"""

FAMILIES = {
    "python": rf"""{_BEFORE.format(marks="@|[#]")}(?:async[ \t]+)?
        (?P<title>(?:def|class)[ \t]+\w+)[^\r\n]*""",
    "braces": _BRACES,
    "ruby": rf"{_HASHES}(?P<title>(?:def|class|module)[ \t]+[\w.:?!=]+)[^\r\n]*",
    "shell": rf"""{_HASHES}(?P<title>function[ \t]+[\w:.-]+|[\w:.-]+(?=[ \t]*\(\)))[^\r\n]*""",
    "lua": rf"{_DASHES}(?:local[ \t]+)?(?P<title>function[ \t]+[\w.:]+)[^\r\n]*",
    "sql": rf"""{_DASHES}(?P<title>(?i:create)[ \t]+(?:(?i:or[ ]replace|unique|temp|temporary
        |materialized)[ \t]+){{0,3}}(?i:table|view|function|procedure|trigger|index|type|schema)
        [ \t]+(?i:if[ ]not[ ]exists[ \t]+)?[\w."`\[\]]+)[^\r\n]*""",
    "r": rf"{_HASHES}(?P<title>[\w.]+)[ \t]*(?:<-|=)[ \t]*function\b[^\r\n]*",
    "keys": rf"""{_HASHES}(?P<title>\[{{1,2}}[^\[\]\r\n]{{1,100}}\]{{1,2}}(?=[ \t]*(?:[#;]|$))
        |(?<![ \t])[\w."'/-]{{1,100}}:(?=\s))[^\r\n]*""",
}

_ENDINGS = {
    "python": ".py .pyi",
    "braces": ".js .mjs .cjs .jsx .ts .tsx .go .rs .java .kt .kts .swift .c .h .cc .cpp .cxx .hh "
    ".hpp .cs .php .scala .dart",
    "ruby": ".rb",
    "shell": ".sh .bash .zsh",
    "lua": ".lua",
    "sql": ".sql",
    "r": ".r",
    "keys": ".toml .yaml .yml .ini .cfg .conf",
}
ENDINGS = {ending: family for family, line in _ENDINGS.items() for ending in line.split()}


def definitions(family: str, text: str) -> Iterator[tuple[re.Match[str], int, str]]:
    """(match, columns of indentation, name) of each definition in `text`."""
    for match in _compiled(family).finditer(text):
        found = match.groupdict()
        name = found["title"] or found.get("bound") or f"{found['called']}()"
        yield match, len(match["indent"].expandtabs(4)), name


@cache
def _compiled(family: str) -> re.Pattern[str]:
    """Compiled when a file is read: a search does without."""
    return re.compile(FAMILIES[family], re.MULTILINE | re.VERBOSE)
