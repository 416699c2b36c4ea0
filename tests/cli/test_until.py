"""How long a lab runs: what the command says beats what the file says."""

from __future__ import annotations

import pytest

from portside.cli.run import Options, run_lab

TICKING = """
until = "50s"
[host.a]
[[program]]
host = "a"
code = "import time\\nwhile True: print(int(time.monotonic())); time.sleep(20)"
"""


@pytest.mark.parametrize(("until", "last"), [(None, 40), ("90s", 80), ("30s", 20)])
def test_until_of_the_command_beats_that_of_the_file(tmp_path, capsys, until, last):
    file = tmp_path / "lab.toml"
    file.write_text(TICKING)
    run_lab(str(file), [], Options((), (), "root", None, until, None, None))
    ticks = [int(line) for line in capsys.readouterr().out.split()]
    assert [tick - ticks[0] for tick in ticks] == list(range(0, last + 1, 20))
