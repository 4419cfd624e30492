"""What must stay cheap to import."""

import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "src"
HEAVY = {"torch", "transformers", "onnxruntime", "rich", "pydantic", "fastapi", "httpx", "numpy"}


def modules(folder: str) -> list[str]:
    paths = sorted((SOURCES / "avalan" / folder).glob("*.py"))
    names = [".".join(path.relative_to(SOURCES).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names]


def test_light_modules_import_no_heavy_library() -> None:
    """One process for all: a process for each would cost a second, not a tenth."""
    light = [
        "avalan",
        "avalan.errors",
        "avalan.extras",
        "avalan.state",
        "avalan.model.entities",
        *(name for name in modules("cli") if name != "avalan.cli.demo"),
        *modules("cli/commands"),
    ]
    script = (
        "import sys\n"
        "from importlib import import_module\n"
        f"for name in {light!r}:\n"
        "    import_module(name)\n"
        f"    heavy = {HEAVY!r} & {{module.partition('.')[0] for module in sys.modules}}\n"
        "    assert not heavy, f'{name} imports {heavy}'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_public_names_load_on_first_use() -> None:
    script = (
        "import sys, avalan\n"
        "assert 'avalan.errors' not in sys.modules\n"
        "assert set(avalan.__all__) == set(dir(avalan))\n"
        "assert all(getattr(avalan, name) for name in avalan.__all__)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
