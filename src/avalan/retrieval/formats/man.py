"""Manual pages: the text of their roff, in both of its dialects, without a typesetter.

What a page's macros mean for its text is kept (headings, paragraphs, items, words that belong
together); fonts, sizes and indentation are not.

Sources: man(7), mdoc(7), groff_char(7).
"""

import re
from collections.abc import Iterator

from avalan.locale import _
from avalan.retrieval.documents import BLOCK_CHARS, Document, Part, Unreadable
from avalan.retrieval.headings import MAX_TITLE, Heading

_CHARACTERS = {
    "aq": "'", "dq": '"', "lq": "“", "rq": "”", "oq": "‘", "cq": "’", "em": "—", "en": "–",
    "hy": "-", "mi": "-", "bu": "•", "co": "©", "rg": "®", "tm": "™", "rs": "\\", "ti": "~",
    "ha": "^", "ga": "`", "at": "@", "sh": "#", "bv": "|", "ba": "|", "ul": "_", "sl": "/",
    "lB": "[", "rB": "]", "lC": "{", "rC": "}", "la": "⟨", "ra": "⟩", "<=": "≤", ">=": "≥",
    "!=": "≠", "->": "→", "<-": "←", "mu": "×", "+-": "±", "de": "°", "sc": "§", "Do": "$",
    ":o": "ö", ":a": "ä", ":u": "ü", "ss": "ß", "'e": "é", "`e": "è", ",c": "ç", "oe": "œ",
}  # fmt: skip
_STRINGS = {"lq": "“", "rq": "”", "Tm": "™", "R": "®"}
_ESCAPE = re.compile(
    r"""\\(?:
      (?P<mark>["\#].*)
    | [fFmMgkYVn](?:\[[^\]]{0,80}\]|\(..|[+-]?.)
    | s(?:\[[^\]]{0,80}\]|\(..|[+-]?(?:'[^']{0,80}'|\d{1,2}))
    | [hvwlLDbXASNoxBHRCZ]'[^']{0,80}'
    | \*(?:\[(?P<string>[^\]]{0,80})\]|\((?P<string2>..)|(?P<string1>.))
    | \[u(?P<code>[0-9A-F]{4,6})\] | \[(?P<name>[^\]]{0,80})\] | \((?P<name2>..)
    | (?P<one>.)
    )""",
    re.VERBOSE,
)
_ONE = {"-": "-", "e": "\\", "\\": "\\", "~": "\xa0", " ": " ", "0": " ", "t": "\t", "'": "'",
        "`": "`", ".": ".", "_": "_"}  # fmt: skip
_ARGUMENT = re.compile(r'"((?:[^"]|"")*)"?|((?:\\ |[^\s"])(?:\\ |[^\s])*)')
_COMMENT = re.compile(r'\\".*')
_REQUEST = re.compile(r"[.'][ \t]*(\S{1,40})[ \t]*(.*)")
_IS_PAGE = re.compile(r"^[.'][ \t]*(?:TH|SH|Dd|Sh|so)\b", re.MULTILINE)

_HEADINGS = {"TH": 0, "Dt": 0, "SH": 1, "Sh": 1, "SS": 2, "Ss": 2}
_GAPS = {"PP": "\n\n", "P": "\n\n", "LP": "\n\n", "Pp": "\n\n", "HP": "\n\n", "sp": "\n\n",
         "IP": "\n\n", "TP": "\n\n", "TQ": "\n", "br": "\n", "RS": "\n", "RE": "\n", "It": "\n\n",
         "SY": "\n", "Bd": "\n\n", "Ed": "\n\n", "Bl": "\n", "El": "\n\n", "nf": "\n", "fi": "\n",
         "EX": "\n", "EE": "\n", "D1": "\n", "Dl": "\n", "TS": "\n\n", "TE": "\n\n"}  # fmt: skip
_ALTERNATING = frozenset({"BR", "RB", "BI", "IB", "IR", "RI"})
_SPOKEN = frozenset({"B", "I", "SM", "SB", "R"})
_UNFILLED = {"nf": True, "EX": True, "Bd": True, "TS": True}
_FILLED = frozenset({"fi", "EE", "Ed", "TE"})
# mdoc's macros that only choose a font, and those that put something around their words.
_FONTS = """
Ad An Ar At Bx Bsx Cd Cm Dv Em Er Ev Fa Fd Fn Fr Ft Fx Ic In Li Lk Ms Mt No Nx Ox Pa St Sx Sy Tn Ux
Va Vt D1 Dl It Ql Qo Qc Nm Fl Op Oo Oc Dq Do Dc Sq So Sc Pq Po Pc Aq Ao Ac Bq Bo Bc Brq Qq Ns Xr Nd
Ap Pf Xo Xc Rv Ex Rs Re
"""
_MDOC = frozenset(_FONTS.split())
_AROUND = {"Op": "[]", "Dq": "“”", "Qq": '""', "Sq": "‘’", "Ql": "‘’", "Pq": "()", "Aq": "<>",
           "Bq": "[]", "Brq": "{}"}  # fmt: skip
_MARKS = {"Oo": "[", "Oc": "]", "Do": "“", "Dc": "”", "So": "‘", "Sc": "’", "Po": "(", "Pc": ")",
          "Ao": "<", "Ac": ">", "Bo": "[", "Bc": "]", "Qo": '"', "Qc": '"'}  # fmt: skip


def read(document: Document) -> Iterator[Part]:
    """The page's text, section by section.

    Raises:
        Unreadable: it is no manual page, or only the name of another one.
    """
    source = "".join(document.pieces())
    if not _IS_PAGE.search(source):
        raise Unreadable(document.path, _("it is not a manual page"))
    if other := re.match(r"(?:[.'][ \t]*\\\".*\n)*[.']so[ \t]+(\S+)\s*\Z", source):
        raise Unreadable(document.path, _("it only leads to {other}", other=other[1]))
    yield from _Page().parts(source)


class _Page:
    """One page's text, put together line by line."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._headings: list[Heading] = []
        self._length = 0
        self._gap = ""
        self._is_unfilled = self._is_tag = self._is_table = False
        self._name = ""
        # Braces that are open, the first of them whose condition did not hold (0 if all did), and
        # whether the last condition did.
        self._depth = self._hidden_from = 0
        self._held = True
        self._definition = ""

    def parts(self, source: str) -> Iterator[Part]:
        """The text in parts that end where a section or a paragraph does."""
        for line in source.replace("\\\n", "").splitlines():
            self._line(line)
            is_long = self._length > BLOCK_CHARS
            if self._length and (is_long or (self._gap == "\n\n" and self._length > 4_000)):
                yield self._part()
        if self._length:
            yield self._part()

    def _part(self) -> Part:
        part = Part(text="".join(self._parts) + "\n\n", headings=tuple(self._headings))
        self._parts, self._headings, self._length, self._gap = [], [], 0, ""
        return part

    def _line(self, line: str) -> None:
        if self._definition:
            if line.startswith(self._definition):
                self._definition = ""
            return
        if closed := line.count("\\}"):
            self._depth = max(self._depth - closed, 0)
            if self._depth < self._hidden_from:
                self._hidden_from = 0
            line = line.replace("\\}", "")
            if line.strip() in (".", ""):
                return
        if self._hidden_from:
            # Only braces are of interest, so that those inside are not taken for the outer ones.
            self._depth += line.count("\\{")
            return
        match = _REQUEST.match(line)
        if match:
            self._request(match[1], match[2])
        elif line[:1] not in ".'" or line[:1] == "":
            self._text(line)

    def _request(self, name: str, rest: str) -> None:
        if name in ("if", "ie", "el"):
            self._condition(name, rest)
        elif name in ("de", "de1", "am", "ig"):
            end = _arguments(rest)[name != "ig" :][:1]
            self._definition = "." + (end[0] if end else ".")
        elif name in _HEADINGS:
            self._heading(name, _arguments(rest))
        elif name in _GAPS:
            self._item(name, rest)
        elif name in _ALTERNATING:
            self._words("".join(map(_plain, _arguments(rest))))
        elif name in _SPOKEN:
            self._words(" ".join(map(_plain, _arguments(rest))))
        elif name in ("UR", "MT", "URL"):
            self._words(" ".join(map(_plain, _arguments(rest)[:1])))
        elif name == "OP":
            self._words("[" + " ".join(map(_plain, _arguments(rest))) + "]")
        elif name in _MDOC:
            self._words(self._mdoc([name, *_arguments(rest)]))

    def _condition(self, name: str, rest: str) -> None:
        if name == "el":
            holds, body = not self._held, rest
        else:
            condition, _space, body = rest.partition(" ")
            if condition.startswith("\\{"):
                condition, body = "", rest
            # As on a terminal, and every comparison fails: it is about devices and registers.
            holds = self._held = condition in ("n", "!t", "1")
        if "\\{" in body:
            if not holds:
                self._hidden_from = self._depth + 1
            self._depth += body.count("\\{")
            body = body.replace("\\{", "")
        if holds and body.strip(" \t\\"):
            self._line(body.lstrip())

    def _heading(self, name: str, words: list[str]) -> None:
        level = _HEADINGS[name]
        title = " ".join(_plain(" ".join(words)).split())
        if level == 0:
            title = f"{_plain(words[0])}({_plain(words[1])})" if len(words) > 1 else ""
        self._is_unfilled = self._is_tag = False
        if not title:
            return
        self._gap = "\n\n"
        self._words(title)
        if len(title) <= MAX_TITLE:
            start = self._length - len(title)
            found = Heading(start=start, end=self._length, level=level, title=title)
            self._headings.append(found)
        self._gap = "\n\n"

    def _item(self, name: str, rest: str) -> None:
        if self._gap != "\n\n":
            self._gap = _GAPS[name]
        if name in _UNFILLED or name in _FILLED:
            self._is_unfilled = name in _UNFILLED
            self._is_table = name == "TS"
        elif name == "TP":
            self._is_tag = True
        elif name in ("IP", "TQ", "SY") and (words := _arguments(rest)):
            self._words(_plain(words[0]))
            self._gap = " " if words[0] in ("\\(bu", "\\[bu]", "*", "-", "o") else "\n"
        elif name in ("It", "D1", "Dl"):
            self._words(self._mdoc(_arguments(rest)))
            self._gap = "\n"

    def _text(self, line: str) -> None:
        if not line.strip():
            self._gap = "\n\n"
        elif self._is_table and line.rstrip().endswith((".", ";")) and "\t" not in line:
            return  # The layout of a table's columns, or its options.
        else:
            self._words(_plain(line))

    def _words(self, words: str) -> None:
        words = words.rstrip() if self._is_unfilled else words.strip()
        if not words.strip():
            return
        if self._length:
            self._append(self._gap or ("\n" if self._is_unfilled else " "))
        self._append(words)
        # A tag is the line below .TP, and stands on a line of its own.
        self._gap = "\n" if self._is_tag else ""
        self._is_tag = False

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def _mdoc(self, words: list[str]) -> str:
        """The words of a line in which macros may be called by their names."""
        found: list[str] = []
        closing: list[str] = []
        glue = True
        position = 0
        while position < len(words):
            word = words[position]
            position += 1
            text = ""
            if word not in _MDOC:
                text = _plain(word)
            elif word == "Ns":
                glue = True
            elif word == "Ap":
                text, glue = "'", True
            elif word == "Fl":
                is_next = position < len(words) and words[position] not in _MDOC
                text = "-" + (_plain(words[position]) if is_next else "")
                position += is_next
            elif word == "Nm":
                if position < len(words) and words[position] not in _MDOC and not found:
                    self._name = self._name or _plain(words[position])
                else:
                    text = self._name
            elif word == "Nd":
                text = "–"
            elif word == "Xr" and position + 1 < len(words):
                text = f"{_plain(words[position])}({_plain(words[position + 1])})"
                position += 2
            elif word in _AROUND:
                text = _AROUND[word][0]
                closing.append(_AROUND[word][1])
            else:
                text = _MARKS.get(word, "")
            if not text:
                continue
            is_close = text in ".,:;)]?!”’" or word in ("Oc", "Dc", "Sc", "Pc", "Ac", "Bc", "Qc")
            found += ["" if glue or is_close or not found else " ", text]
            glue = word in _AROUND or text in "([“‘" or word in ("Ao", "Ap")
        return "".join(found + closing[::-1])


def _arguments(rest: str) -> list[str]:
    rest = _COMMENT.sub("", rest)
    found = _ARGUMENT.findall(rest)
    return [quoted.replace('""', '"') if quoted else bare for quoted, bare in found]


def _plain(text: str) -> str:
    """The text without escapes."""
    return _ESCAPE.sub(_character, text) if "\\" in text else text


def _character(match: re.Match[str]) -> str:
    if match["code"]:
        code = int(match["code"], 16)
        return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else ""
    if name := match["name"] or match["name2"]:
        return _CHARACTERS.get(name, "")
    if string := match["string"] or match["string1"] or match["string2"]:
        return _STRINGS.get(string, "")
    return _ONE.get(match["one"] or "", "")
