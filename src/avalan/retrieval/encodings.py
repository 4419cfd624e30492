"""Tell text from the rest, and in which encoding it is, from bytes that come piece by piece.

A byte order mark decides. Without one it is UTF-8 if all of it decodes, then what a page declares,
then Windows-1252 if little lies outside ASCII; bytes with zeros among them can only be UTF-16.
"""

import codecs
import re

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROLS = bytes(set(range(0x20)) - set(b"\t\n\v\f\r\x1b")) + b"\x7f"
_ABOVE_ASCII = bytes(range(0x80, 0x100))
_MAX_ABOVE_ASCII = 0.3
"""Share of bytes above 0x7F in a Windows-1252 text; other encodings read as it exceed this."""

_DECLARABLE = ("cp", "iso8859", "koi8", "shift_jis", "euc_", "gb", "big5", "mac", "tis")
_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)

_PRINTABLE = frozenset(range(0x20, 0x7F))
_PLAIN = _PRINTABLE | frozenset(b"\t\n\r")
_MIN_PLAIN, _MIN_PLAIN_SHARE = 4, 1 / 8
"""ASCII characters in a UTF-16 text: spaces, digits and line ends, if not the letters."""
_MAX_PAIRS_SHARE = 1 / 16
"""Of 16-bit units that are two ASCII characters, as when text of 8 bits is read as UTF-16."""

_NUL = re.compile("\0")
_NO_TEXT = re.compile("[\0-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f\ufdd0-\ufdef\ufffe\uffff]")
"""Control characters and noncharacters, one of which numbers read as UTF-16 soon give."""


class Candidate:
    """An encoding that the bytes read so far do not exclude."""

    def __init__(self, encoding: str, *, bom: bytes = b"", refused: re.Pattern[str] = _NUL) -> None:
        self.encoding = encoding
        self.bom = bom
        self._refused = refused
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._seen = self._above_ascii = 0

    def accepts(self, piece: bytes) -> bool:
        """Whether the text may go on with `piece`."""
        if self.bom and not self._seen:
            piece = piece[len(self.bom) :]
        self._seen += len(piece)
        if self.encoding == "cp1252":
            self._above_ascii += len(piece) - len(piece.translate(None, _ABOVE_ASCII))
            if len(piece) != len(piece.translate(None, _CONTROLS)):
                return False
        return self._decodes(piece, final=False)

    def holds(self) -> bool:
        """Whether the text may end here."""
        few = self.encoding != "cp1252" or self._above_ascii <= _MAX_ABOVE_ASCII * self._seen
        return few and self._decodes(b"", final=True)

    def _decodes(self, piece: bytes, *, final: bool) -> bool:
        try:
            return not self._refused.search(self._decoder.decode(piece, final))
        except UnicodeDecodeError:
            return False


def candidates(head: bytes, *, is_page: bool) -> list[Candidate]:
    """What a text may be that begins with `head`, the likeliest first.

    Args:
        is_page: it is HTML. Offsets are into the text that is extracted from a page, so that any
            encoding it declares will do.
    """
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return [Candidate(encoding, bom=bom)]
    if 0 in head:
        return _wide(head)
    names = ["utf-8", "cp1252"]
    if is_page and (declared := _DECLARED.search(head)):
        names[1:1] = _known_encoding(declared[1].decode("ascii", "replace"))
    return [Candidate(name) for name in names]


def _known_encoding(name: str) -> list[str]:
    try:
        known = codecs.lookup(name).name
    except LookupError:
        return []
    # Latin-1 is read as Windows-1252, as browsers do; pages that say UTF-16 in ASCII are not.
    return [known] if known.startswith(_DECLARABLE) and known != "iso8859-1" else []


def _wide(head: bytes) -> list[Candidate]:
    """UTF-16 without a byte order mark, in the order of bytes that makes more of it ASCII."""
    little = list(zip(head[1::2], head[::2], strict=False))
    big = [(low, high) for high, low in little]
    pairs = sum(high in _PRINTABLE and low in _PRINTABLE for high, low in little)
    plain, encoding = max((_count_plain(little), "utf-16-le"), (_count_plain(big), "utf-16-be"))
    is_likely = plain >= max(_MIN_PLAIN, _MIN_PLAIN_SHARE * len(little))
    if not is_likely or pairs > _MAX_PAIRS_SHARE * len(little):
        return []
    return [Candidate(encoding, refused=_NO_TEXT)]


def _count_plain(units: list[tuple[int, int]]) -> int:
    return sum(high == 0 and low in _PLAIN for high, low in units)
