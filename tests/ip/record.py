"""Record what the kernel answers, for where namespaces cannot be had: `python tests/ip/record.py`, as root."""

from __future__ import annotations

import json
from pathlib import Path

import ip_cases

HERE = Path(__file__).parent / "recorded"


def routes() -> None:
    """Answers to the generated route questions of other seeds than the live test's."""
    cases = [ip_cases.generate(seed) for seed in range(100000, 100040)]
    entries = [{"case": case, "linux": ip_cases.linux(case)} for case in cases]
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    (HERE / "routes.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    routes()
