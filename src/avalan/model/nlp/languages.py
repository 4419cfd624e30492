"""Which of a model's languages is meant."""

import difflib
import re
from collections.abc import Iterable

from avalan.errors import ConfigurationError
from avalan.locale import _

# en_XX, eng_Latn, or a bare en.
_CODE = re.compile(r"[a-z]{2,3}(_[A-Z][A-Za-z]+)?")
_ANYWHERE = "xx"
_MOST_NAMED = 60


def is_language(token: str) -> bool:
    """Whether a control token looks like a language's code."""
    return _CODE.fullmatch(token) is not None


def find_language(wanted: str, codes: Iterable[str], *, model: str) -> str:
    """The one of `codes` that `wanted` means.

    `en_US`, `en-us` and `en` all mean `en_XX`, whose region is open; `de` means `de_DE` where that
    is the only German; `zh_TW` does not mean `zh_CN`.

    Args:
        model: the model's name, for the sentence.

    Raises:
        ConfigurationError: none of them; the sentence has near ones.
    """
    known = sorted(codes)
    language, region = _parts(wanted)
    same = [code for code in known if _parts(code)[0] == language]
    exact = [code for code in same if _parts(code)[1] == region]
    fitting = exact or [code for code in same if not region or _parts(code)[1] in ("", _ANYWHERE)]
    if len(fitting) == 1:
        return fitting[0]
    near = same or difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)
    if near:
        raise ConfigurationError(
            "The model {model!r} has no language {wanted!r}; did you mean {choices}?",
            model=model,
            wanted=wanted,
            choices=_(" or ").join(near),
        )
    more = ["…"] if len(known) > _MOST_NAMED else []
    raise ConfigurationError(
        "The model {model!r} has no language {wanted!r}; it has: {choices}.",
        model=model,
        wanted=wanted,
        choices=", ".join([*known[:_MOST_NAMED], *more]),
    )


def _parts(code: str) -> tuple[str, str]:
    """The language and the region, in small letters; the region may be empty."""
    language, _, region = code.strip().lower().replace("-", "_").partition("_")
    return language, region
