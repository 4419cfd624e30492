"""How people type: casing, missing marks, typos, courtesies."""

from random import Random

_BEFORE = (
    "Hi, ", "Hello! ", "Please tell me: ", "Quick question: ", "hey, ", "I was wondering, ",
    "One more thing: ", "Sorry to bother you, but ", "Can you help? ", "ok so ", "So, ",
    "Could you check something for me? ", "I need to know this for a form: ", "um, ",
    "My colleague asks: ", "For my notes, ", "Just to be sure, ", "Good morning. ",
)  # fmt: skip
_AFTER = (
    " Thanks!", " thx", " Thank you very much.", " please", " Short answer, please.", " ??",
    " I can't find it.", " Cheers", " It's urgent.", " (one line is enough)", " pls",
)  # fmt: skip


def as_typed(text: str, rng: Random) -> str:
    """`text` as somebody might type it; more than half of the time unchanged."""
    if rng.random() < 0.10:
        before = rng.choice(_BEFORE)
        lower = len(text) > 1 and text[0].isupper() and text[1].islower()
        text = before + (
            text[0].lower() + text[1:] if lower and not before.endswith(". ") else text
        )
    if rng.random() < 0.08:
        text += rng.choice(_AFTER)
    return as_keyed(text, rng)


def as_keyed(text: str, rng: Random) -> str:
    """`text`, in any language, as fingers leave it: casing, missing marks, typos."""
    if rng.random() < 0.15:
        text = text.rstrip("?.! ")
    shape = rng.random()
    if shape < 0.16:
        text = text.lower()
    elif shape < 0.18:
        text = text.upper()
    if rng.random() < 0.08:
        for _ in range(rng.choice((1, 1, 2))):
            text = typo(text, rng)
    return text


def typo(text: str, rng: Random) -> str:
    """`text` with one slip of the fingers inside a word."""
    places = [i for i in range(1, len(text) - 1) if text[i - 1 : i + 2].isalpha()]
    if not places:
        return text
    at = rng.choice(places)
    return rng.choice(
        (
            text[:at] + text[at + 1 :],
            text[:at] + text[at] + text[at:],
            text[:at] + text[at + 1] + text[at] + text[at + 2 :],
            text[:at] + rng.choice("abcdefghijklmnopqrstuvwxyz") + text[at + 1 :],
        )
    )
