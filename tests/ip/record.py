"""Record what the kernel answers, for where namespaces cannot be had: `PYTHONPATH=. python tests/ip/record.py`.

Root runs it.
"""

from __future__ import annotations

import json
from pathlib import Path

import ip_cases
import ip_filter_cases

HERE = Path(__file__).parent / "recorded"


def routes() -> None:
    """Answers to the generated route questions of other seeds than the live test's."""
    cases = [ip_cases.generate(seed) for seed in range(100000, 100040)]
    write("routes.json", [{"case": case, "linux": ip_cases.linux(case)} for case in cases])


def filters() -> None:
    """What became of packets under generated filter rules."""
    cases = [ip_filter_cases.generate(seed) for seed in range(100000, 100040)]
    write("filters.json", [{"case": case, "linux": ip_filter_cases.linux(case)} for case in cases])


def write(name: str, entries: list[object]) -> None:
    """One entry a line."""
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    (HERE / name).write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    routes()
    filters()
