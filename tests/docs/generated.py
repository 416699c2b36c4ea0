"""The parts of the documentation that are made from the source: `python tests/docs/generated.py` writes them anew.

A part stands between `<!-- begin NAME -->` and `<!-- end NAME -->`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from portside.addr.abi import IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPPROTO_UDP
from portside.facts import option, saved
from portside.facts.option import SOL_SOCKET, Option, Treatment
from portside.facts.settings import Settings
from portside.facts.state import NAMES
from portside.host import sysctl
from portside.host.sysctl_codec import Stored
from portside.tcp.states import EDGES

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "src" / "portside"
LEVELS = {
    SOL_SOCKET: "SOL_SOCKET", IPPROTO_IP: "IPPROTO_IP", IPPROTO_IPV6: "IPPROTO_IPV6", IPPROTO_TCP: "IPPROTO_TCP",
    IPPROTO_UDP: "IPPROTO_UDP",
}  # fmt: skip


def states() -> str:
    """The edges of TCP's states as a Mermaid diagram."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> CLOSED"]
    names = {number: name.replace("-", "_") for number, name in NAMES.items()}
    lines += [f"    {alias} : {NAMES[number]}" for number, alias in names.items() if alias != NAMES[number]]
    lines += [f"    {names[old]} --> {names[new]} : {why}" for (old, new), why in EDGES.items()]
    return "\n".join([*lines, "```"])


def _described(entries: list[Option]) -> str:
    words = [f"`{entry.name}`" + (f" ({entry.note})" if entry.note else "") for entry in entries]
    return ", ".join(words) if words else "none"


def options() -> str:
    """The options that are not modelled: stored or refused, by level."""
    lines = ["| level | stored | refused |", "|---|---|---|"]
    for level, name in LEVELS.items():
        here = [entry for entry in option.table().values() if entry.level == level]
        stored, refused = (
            _described([entry for entry in here if entry.treatment is treatment])
            for treatment in (Treatment.STORED, Treatment.REFUSED)
        )
        lines.append(f"| {name} | {stored} | {refused} |")
    return "\n".join(lines)


def _attributes_read() -> set[str]:
    """Every attribute that the source reads, but where sysctls are defined and put into text."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        if path.name not in ("settings.py", "sysctl.py", "sysctl_codec.py"):
            found |= {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    return found


def sysctls() -> str:
    """The sysctls that are kept and read back, and that nothing looks at."""
    idle = {field.name for field in fields(Settings)} - _attributes_read()
    names = [
        path
        for path, codec in sysctl.CODECS.items()
        if isinstance(codec, Stored) or getattr(codec, "name", "") in idle
    ]
    names += [f"net/{family}/conf/*/{name}" for family, name, *_ in sysctl._PER_INTERFACE]
    return "\n".join(f"- `{name.replace('/', '.')}`" for name in sorted(names))


FACTS = {
    "snapshot": ["Snapshot", "Namespace", "Missing"], "socket": ["Socket", "UnixSocket", "Owner", "Memory"],
    "tcp_info": ["TcpInfo"], "process": ["Process"], "interface": ["Interface", "Address", "Neighbor"],
    "route": ["Route", "NextHop", "PolicyRule"], "rule": ["Chain", "FirewallRule", "Match"], "settings": ["Settings"],
}  # fmt: skip


def snapshot_fields() -> str:
    """The fields of every fact as a snapshot's file has them, with what their source says of them."""
    lines = []
    for module, names in FACTS.items():
        facts = importlib.import_module(f"portside.facts.{module}")
        for name in names:
            kind = getattr(facts, name)
            first = " ".join(inspect.cleandoc(kind.__doc__).split("\n\n")[0].split())
            lines += ["", f"### {name}", "", first, ""]
            own = dict(re.findall(r"^    (\w+): [^#\n]*  # (.*)$", inspect.getsource(kind), re.MULTILINE))
            for field, written in saved.schema(kind).items():
                lines.append(f"- `{field}`: {written}" + (f"; {own[field]}" if field in own else ""))
    return "\n".join(lines[1:])


PARTS: dict[tuple[str, str], Callable[[], str]] = {
    ("docs/architecture.md", "states"): states,
    ("docs/differences.md", "options"): options,
    ("docs/differences.md", "sysctls"): sysctls,
    ("docs/snapshot.md", "fields"): snapshot_fields,
}


def between(text: str, name: str) -> re.Match[str]:
    """Where a part stands in its page."""
    found = re.search(rf"(<!-- begin {name} -->\n)(.*?)(\n<!-- end {name} -->)", text, re.DOTALL)
    assert found is not None, name
    return found


def main() -> None:
    """Write every part anew."""
    for (page, name), make in PARTS.items():
        path = ROOT / page
        text = path.read_text()
        found = between(text, name)
        path.write_text(text[: found.start(2)] + make() + text[found.end(2) :])


if __name__ == "__main__":
    sys.exit(main())
