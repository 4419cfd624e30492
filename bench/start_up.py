"""What it costs to start: processor and wall time of the light commands, best and median.

python bench/start_up.py [RUNS]
"""

import resource
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import avalan": ["-c", "import avalan"],
    "avalan --version": ["-m", "avalan", "--version"],
    "avalan --help": ["-m", "avalan", "--help"],
    "avalan model run --help": ["-m", "avalan", "model", "run", "--help"],
    "avalan": ["-m", "avalan"],
}


def measure(words: list[str]) -> tuple[float, float]:
    """Processor and wall time of one run, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main(num_runs: int = 15) -> None:
    """Print one line per command; the first run of each, which fills the file cache, is dropped."""
    print(f"{'command':<26}{'CPU best':>10}{'median':>10}{'wall best':>12}{'median':>10}")
    for name, words in COMMANDS.items():
        runs = [measure(words) for _ in range(num_runs + 1)][1:]
        cpu, wall = zip(*runs, strict=True)
        numbers = (min(cpu), statistics.median(cpu), min(wall), statistics.median(wall))
        best_cpu, cpu_s, best_wall, wall_s = (f"{number * 1000:.0f} ms" for number in numbers)
        print(f"{name:<26}{best_cpu:>10}{cpu_s:>10}{best_wall:>12}{wall_s:>10}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
