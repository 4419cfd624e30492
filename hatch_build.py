"""The build's own step: compile the translations, into the wheel or beside their sources."""

from pathlib import Path
from typing import Any

from babel.messages import mofile, pofile
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LOCALE = Path(__file__).parent / "locale"


class Translations(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before a wheel is made, an editable one included."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say where the compiled files go."""
        for path in translations():
            compiled = compile_catalogue(path)
            if version != "editable":
                inside = f"avalan/locale/{compiled.relative_to(LOCALE)}"
                build_data["force_include"][str(compiled)] = inside


def translations() -> list[Path]:
    """The files that people translate."""
    return sorted(LOCALE.glob("*/LC_MESSAGES/avalan.po"))


def compile_catalogue(path: Path) -> Path:
    """Write the `.mo` beside a `.po`; messages without a translation, or fuzzy ones, stay out."""
    compiled = path.with_suffix(".mo")
    with path.open("rb") as source, compiled.open("wb") as target:
        mofile.write_mo(target, pofile.read_po(source, locale=path.parts[-3]))
    return compiled


if __name__ == "__main__":  # As Poetry calls it.
    for each in translations():
        compile_catalogue(each)
