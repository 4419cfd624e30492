"""The build's own step: compile the translations, into the wheel or into a checkout's locale/."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Translations(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before a wheel is made, an editable one included."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say where the compiled files go."""
        sys.path.insert(0, str(Path(self.root) / "scripts"))
        import translations

        for path in translations.translations():
            compiled = translations.compile_catalogue(path)
            inside = compiled.relative_to(translations.LOCALE)
            if version != "editable":
                build_data["force_include"][str(compiled)] = f"avalan/locale/{inside}"
