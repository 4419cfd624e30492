"""What this machine is: processor, memory, graphics; and what size of model fits.

Read from the operating system's own files and small tools; no network and no library.
"""

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

BYTES_PER_WEIGHT = {"Q4_K_M": 0.6, "int8": 1.0, "bf16": 2.0}
"""Including the scales; from the sizes of published files."""

WEIGHT_SHARE = 0.75
"""Of the free memory; the rest is for the key-value cache, activations and other programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One NVIDIA device, as `nvidia-smi` reports it."""

    name: str
    memory_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What models have to live with."""

    cpu: str
    num_cores: int
    """Logical processors that this process may use."""
    memory_bytes: int | None
    """Of the machine or of the container, whichever is less; None where it is not told."""
    free_bytes: int | None
    gpus: tuple[Gpu, ...]


def survey() -> Machine:
    """This machine; takes at most about half a second."""
    nvidia = _start_nvidia_smi()
    memory, free = _memory()
    return Machine(
        cpu=_cpu_name(),
        num_cores=num_cores(),
        memory_bytes=memory,
        free_bytes=free,
        gpus=_gpus(nvidia),
    )


def parameters_that_fit(free_bytes: int) -> dict[str, float]:
    """The largest model, in parameters, whose weights take `WEIGHT_SHARE` of `free_bytes`."""
    room = WEIGHT_SHARE * free_bytes
    return {kind: room / size for kind, size in BYTES_PER_WEIGHT.items()}


def num_cores() -> int:
    """Logical processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_name() -> str:
    match platform.system():
        case "Linux":
            name = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
            found = name[1] if name else ""
        case "Darwin":
            found = _output_of(["sysctl", "-n", "machdep.cpu.brand_string"])
        case _:
            found = platform.processor()
    return " ".join(found.split()) or platform.machine() or "unknown"


def _memory() -> tuple[int | None, int | None]:
    if platform.system() == "Linux":
        return linux_memory(_read("/proc/meminfo"), Path("/sys/fs/cgroup"))
    if platform.system() == "Darwin":
        return mac_memory(_output_of(["sysctl", "-n", "hw.memsize"]), _output_of(["vm_stat"]))
    return None, None


def linux_memory(meminfo: str, cgroup: Path) -> tuple[int | None, int | None]:
    """Total and available bytes; a container's limit counts where it is lower."""
    sizes = {key: int(kib) * 1024 for key, kib in re.findall(r"^(\w+):\s+(\d+) kB", meminfo, re.M)}
    total, free = sizes.get("MemTotal"), sizes.get("MemAvailable")
    limit = _read(cgroup / "memory.max").strip()
    used = _read(cgroup / "memory.current").strip()
    if total is None or free is None or not limit.isdigit() or not used.isdigit():
        return total, free
    reclaimable = re.search(r"^inactive_file (\d+)", _read(cgroup / "memory.stat"), re.M)
    room = int(limit) - int(used) + (int(reclaimable[1]) if reclaimable else 0)
    return min(total, int(limit)), min(free, max(room, 0))


def mac_memory(memsize: str, vm_stat: str) -> tuple[int | None, int | None]:
    """Total and available bytes from what `sysctl` and `vm_stat` print."""
    page = re.search(r"page size of (\d+) bytes", vm_stat)
    pages = re.findall(r"^Pages (?:free|inactive|speculative):\s+(\d+)", vm_stat, re.M)
    total = int(memsize) if memsize.strip().isdigit() else None
    return total, int(page[1]) * sum(map(int, pages)) if page else None


def _start_nvidia_smi() -> subprocess.Popen[str] | None:
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    query = ["--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        return subprocess.Popen(
            [command, *query], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
    except OSError:
        return None


def _gpus(process: subprocess.Popen[str] | None) -> tuple[Gpu, ...]:
    if process is None:
        return ()
    try:
        output, _ = process.communicate(timeout=0.6)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return ()
    return tuple(_gpu(line) for line in output.splitlines() if line.count(",") == 2)


def _gpu(line: str) -> Gpu:
    name, total, free = (part.strip() for part in line.split(","))
    return Gpu(name=name, memory_bytes=_mebibytes(total), free_bytes=_mebibytes(free))


def _mebibytes(text: str) -> int:
    return int(text) * 2**20 if text.isdigit() else 0


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _output_of(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=0.5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
