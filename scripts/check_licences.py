"""Fail if an installed distribution is licensed under the GPL, the AGPL or the LGPL.

A choice ("MIT OR GPL-2.0") passes, and so does the run-time library exception of GCC, which the
numerical libraries carry for what their compiler adds.
"""

import re
import sys
from importlib.metadata import Distribution, distributions

COPYLEFT = re.compile(r"\b[AL]?GPL|GNU (?:Affero|Lesser|Library)? ?General Public", re.IGNORECASE)
RUNTIME_EXCEPTION = re.compile(r"[\w.+-]*GPL[\w.+-]*\s+WITH\s+GCC-exception[\w.-]*", re.IGNORECASE)
# PostgreSQL's client, in an extra of its own and used as it is: its LGPL asks no more.
LINKED = ("psycopg", "psycopg-binary", "psycopg_binary")
LONGEST_NAME = 200
"""Characters; a longer field is the text of a licence, not its name."""


def main() -> int:
    """Print the offenders; the exit code is 1 if there are any."""
    installed = sorted(distributions(), key=lambda each: each.name.lower())
    checked = [each for each in installed if each.name not in LINKED]
    offenders = [f"{each.name}: {'; '.join(found)}" for each in checked if (found := bad(each))]
    unknown = [each.name for each in installed if not licences(each)]
    print(f"licences: {len(installed)} distributions, {len(offenders)} copyleft")
    if unknown:
        print(f"licences: nothing stated by {', '.join(unknown)}")
    for offender in offenders:
        print(f"  {offender}", file=sys.stderr)
    return bool(offenders)


def bad(distribution: Distribution) -> list[str]:
    """The licences of a distribution that forbid it here; none if one may choose another."""
    stated = licences(distribution)
    return [] if any(map(is_permissive, stated)) else stated


def is_permissive(licence: str) -> bool:
    """Whether a licence expression can be met without copyleft."""
    expression = RUNTIME_EXCEPTION.sub("", licence)
    return any(not COPYLEFT.search(part) for part in re.split(r"\s+OR\s+", expression))


def licences(distribution: Distribution) -> list[str]:
    """What a distribution states: its expression, else its classifiers, else its licence field."""
    metadata = distribution.metadata.json
    if expression := metadata.get("license_expression"):
        return [str(expression)]
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in metadata.get("classifier", [])
        if line.startswith("License :: ") and not line.endswith("OSI Approved")
    ]
    named = str(metadata.get("license", "")).strip()
    return classifiers or ([named] if 0 < len(named) <= LONGEST_NAME else [])


if __name__ == "__main__":
    sys.exit(main())
