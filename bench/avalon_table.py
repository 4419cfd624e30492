"""The table of bench/avalon.py: figures of each arm over its seeds, and of pairs of arms."""

import gzip
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avalan.evaluate import gates
from avalan.evaluate.metrics import auroc, expected_calibration_error
from avalan.evaluate.statistics import Estimate, bootstrap, bootstrap_mean, proportion
from avalan.reflection.calibrate import logit

Found = dict[str, Any]
"""What a model did with each example, as `bench/avalon.py run` wrote it."""

PAIRS = (
    ("avalon", "frozen"),
    ("avalon", "frozen-mean"),
    ("rows", "avalon"),
    ("rows", "frozen"),
    ("better", "avalon"),
    ("better", "better-no-kl"),
    ("better-sums", "better"),
    ("distilled", "alone"),
)
"""Arms that differ in one thing."""

SUMS, PAGES, PERPLEXITY = 0.005, 0.01, 0.01
"""How far from the base is as good as equal: shares of sums and pages, and of the perplexity."""


def kept(folder: Path, name: str, split: str) -> Path:
    """Where the figures of a model are kept; of an arm, `name` ends with its seed."""
    return folder / f"{name}-{split}.json.gz"


def _read(file: Path) -> Found:
    found: Found = json.loads(gzip.decompress(file.read_bytes()))
    return found


def table(folder: Path, split: str) -> None:
    """Print the figures of all arms, over all seeds that are measured."""
    base = _read(kept(folder, "base", split))
    arms: dict[str, dict[str, Found]] = {"base, prompted": {"": base}}
    for file in sorted(folder.glob(kept(folder, "*-[0-9]*", split).name)):
        arm, seed, _rest = file.name.rsplit("-", 2)
        arms.setdefault(arm, {})[seed] = _read(file)
    for arm, seeds in arms.items():
        print(f"\n{arm}, {len(seeds)} seed(s)")
        for name, line in figures(base, list(seeds.values())):
            print(f"  {name:34} {line}")
    print(
        "\nthe first above the second, paired: DEC on templates and on the textbook's prompts; "
        "sums; pages; perplexity lost"
    )
    for first, second in PAIRS:
        one, two = arms.get(first, {}), arms.get(second, {})
        if pairs := [(one[seed], two[seed]) for seed in one if seed in two]:
            print(f"  {first} – {second}", *compared(pairs), sep="  ")


def brief(found: Found) -> dict[str, str]:
    """The means of one model, to follow a run by."""
    flags = {f"DEC {level}": right(found, level, free=True) for level in ("G1", "T")}
    flags |= {f"DEC {level} of two": right(found, level, free=False) for level in ("G1", "T")}
    flags |= {key: found[key] for key in (*SHARES, "token in a sum, free")}
    flags["FVR"] = valid(found)
    means = {key: f"{fmean(each):.3f}" for key, each in flags.items() if each}
    return means | {"perplexity": f"{perplexity(np.array(found['texts']), 1):.3f}"}


SHARES = ("sums free", "sums masked", "pages")


def figures(base: Found, seeds: Sequence[Found]) -> Iterator[tuple[str, str]]:
    """Each figure over all seeds, examples drawn together, and that of each seed behind it."""
    for level in ("G1", "T"):
        for name, free in (("free", True), ("of two", False)):
            yield f"DEC {level}, {name}", shares([right(one, level, free=free) for one in seeds])
    flags = [[each["label"] for each in rows_of(one, "T")] for one in seeds]
    said = [calibrated(one) for one in seeds]
    hits = [
        [(p >= 0.5) == label for p, label in zip(ps, labels, strict=True)]
        for ps, labels in zip(said, flags, strict=True)
    ]
    yield "DEC T, calibrated", shares(hits)
    languages = [each["language"] for each in rows_of(base, "T")]
    for language in ("en", "de", "es", "fr"):
        places = [place for place, each in enumerate(languages) if each == language]
        yield f"  {language}", shares([[one[place] for place in places] for one in hits])
    yield "AUROC T", each_of(auroc(labels, ps) for labels, ps in zip(flags, said, strict=True))
    yield (
        "ECE T, calibrated",
        each_of(
            expected_calibration_error(labels, ps) for labels, ps in zip(flags, said, strict=True)
        ),
    )
    yield "FVR", shares([valid(one) for one in seeds])
    yield "token in a sum, free", shares([one["token in a sum, free"] for one in seeds])
    for key, margin in zip(SHARES, (SUMS, SUMS, PAGES), strict=True):
        yield key, shares([one[key] for one in seeds])
        against = base["sums masked"] if key.startswith("sums") else base[key]
        found = gain([(one[key], against) for one in seeds])
        yield f"{key}, above the base", f"{shown(found, '+.3f')}{within(found, margin)}"
    for which, name in ((1, "without tokens"), (0, "with tokens")):
        found = lost([(one, base) for one in seeds], which)
        yield f"perplexity, {name}, lost", f"{shown(found, '+.3f')}{within(found, PERPLEXITY)}"


def compared(pairs: Sequence[tuple[Found, Found]]) -> Iterator[str]:
    """How far the first of two arms is above the second, in what the claims are about."""
    for level in ("G1", "T"):
        yield shown(
            gain([(right(a, level, free=False), right(b, level, free=False)) for a, b in pairs]),
            "+.3f",
        )
    for key in ("sums free", "pages"):
        yield shown(gain([(a[key], b[key]) for a, b in pairs]), "+.3f")
    yield shown(lost(pairs, 1), "+.3f")


# --- of one model ---------------------------------------------------------------------------------


def rows_of(found: Found, level: str) -> list[dict[str, Any]]:
    """The prompts of a level; of the textbook's, those of the split that is measured."""
    rows = [each for each in found["decisions"] if each["level"] == level]
    return [each for each in rows if each["split"] == rows[0]["split"]]


def right(found: Found, level: str, *, free: bool) -> list[bool]:
    """Whether each decision is right: as said first, or as the likelier of the two."""
    rows = rows_of(found, level)
    if free:
        return [each["free"] == each["label"] for each in rows if each["valid"] is not None]
    return [(each["need"] >= 0.5) == each["label"] for each in rows]


def valid(found: Found) -> list[bool]:
    """Whether each decision that was said first was one."""
    return [each["valid"] for each in found["decisions"] if each["valid"] is not None]


def calibrated(found: Found) -> list[float]:
    """P(look-up) of the textbook's prompts, each language fitted on validation (Platt)."""
    lessons = [e for e in found["decisions"] if (e["level"], e["split"]) == ("T", "validation")]
    gate = gates.fitted(_asked(lessons), ("need",))
    return [
        gate.probability(each.features(("need",)), each.language)
        for each in _asked(rows_of(found, "T"))
    ]


def _asked(rows: Iterable[dict[str, Any]]) -> list[gates.Asked]:
    return [
        gates.Asked(
            retrieve=each["label"],
            language=each["language"],
            signs={"need": {"need_logit": logit(each["need"])}},
        )
        for each in rows
    ]


def perplexity(texts: NDArray[Any], which: int) -> float:
    """Of all tokens, (num_texts, 3); `which` is 0 with reflection tokens among what competes."""
    return math.exp(texts[:, which].sum() / texts[:, 2].sum())


# --- over seeds -----------------------------------------------------------------------------------


def shares(seeds: Sequence[Sequence[bool]]) -> str:
    """The share of all seeds with its interval, and each seed's."""
    if not seeds or not seeds[0]:
        return "–"
    if len(seeds) == 1:
        return shown(proportion(list(map(bool, seeds[0]))))
    flags = [float(flag) for one in seeds for flag in one]
    return f"{shown(bootstrap_mean(flags, groups=_places(seeds)))}  {each_of(map(fmean, seeds))}"


def gain(pairs: Sequence[tuple[Sequence[bool], Sequence[bool]]]) -> Estimate | None:
    """The paired difference over all seeds, an example drawn with all of its seeds."""
    differences = [float(a) - float(b) for one, two in pairs for a, b in zip(one, two, strict=True)]
    return bootstrap_mean(differences, groups=_places([one for one, _two in pairs]))


def lost(pairs: Sequence[tuple[Found, Found]], which: int) -> Estimate | None:
    """By what share the first's perplexity of ordinary text is above the second's, which is of all
    tokens but the reflection tokens; texts are drawn."""
    texts = np.concatenate([np.array(one["texts"], float) for one, _two in pairs])
    before = np.concatenate([np.array(two["texts"], float) for _one, two in pairs])
    places = _places([one["texts"] for one, _two in pairs])
    return bootstrap(
        lambda after, before: perplexity(after, which) / perplexity(before, 1) - 1,
        texts,
        before,
        groups=places,
    )


def _places(seeds: Sequence[Sequence[Any]]) -> list[int]:
    return [place for one in seeds for place in range(len(one))]


def within(found: Estimate | None, margin: float) -> str:
    """Whether the whole interval is within the margin (a two one-sided test at 2.5%)."""
    assert found is not None
    is_equal = -margin < found.low and found.high < margin
    return f", {'within' if is_equal else 'not shown within'} {margin:.1%}"


def each_of(values: Iterable[float]) -> str:
    return "(" + ", ".join(f"{value:.3f}" for value in values) + ")"


def shown(found: Estimate | None, form: str = ".3f") -> str:
    assert found is not None
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}] n {found.n}"
