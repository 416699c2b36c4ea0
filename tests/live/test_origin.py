"""How a process came to run, from chains of parents as they are found on machines."""

from __future__ import annotations

import pytest

from portside.facts.process import Process
from portside.live.origin import ancestry, origin

INIT = Process(pid=1, name="systemd", argv=("/sbin/init",), unit="init.scope")
SSHD = Process(pid=700, ppid=1, name="sshd", argv=("sshd: /usr/sbin/sshd -D [listener]",), unit="ssh.service")
PRIVATE = Process(pid=800, ppid=700, name="sshd", argv=("sshd: alice [priv]",), unit="session-3.scope")
SESSION = Process(pid=810, ppid=800, name="sshd", argv=("sshd: alice@pts/0",), unit="session-3.scope")
BASH = Process(pid=811, ppid=810, name="bash", argv=("-bash",), terminal="pts/0", unit="session-3.scope")
LOGIN = Process(pid=900, ppid=1, name="login", argv=("login",), unit="session-1.scope")
CONSOLE = Process(pid=901, ppid=900, name="bash", argv=("-bash",), terminal="tty1", unit="session-1.scope")
CRON = Process(pid=600, ppid=1, name="cron", argv=("/usr/sbin/cron", "-f"), unit="cron.service")
JOB = Process(pid=601, ppid=600, name="sh", argv=("/bin/sh", "-c", "serve"), unit="cron.service")
MANAGER = Process(pid=500, ppid=1, name="systemd", argv=("/lib/systemd/systemd", "--user"), unit="user@1000.service")
TMUX = Process(pid=510, ppid=500, name="tmux: server", argv=("tmux",), unit="user@1000.service")
PANE = Process(pid=511, ppid=510, name="zsh", argv=("-zsh",), terminal="pts/3", unit="user@1000.service")
DESKTOP = Process(pid=520, ppid=500, name="xterm", argv=("xterm",), unit="app-xterm.scope")
WINDOW = Process(pid=521, ppid=520, name="fish", argv=("fish",), terminal="pts/4", unit="app-xterm.scope")
SUPERVISOR = Process(pid=400, ppid=1, name="supervisord", argv=("supervisord",), unit="supervisor.service")
KTHREADD = Process(pid=2, name="kthreadd")
OTHERS = (
    INIT, SSHD, PRIVATE, SESSION, BASH, LOGIN, CONSOLE, CRON, JOB, MANAGER, TMUX, PANE, DESKTOP, WINDOW, SUPERVISOR,
    KTHREADD,
)  # fmt: skip
ID = "3f2a9c1b5d7e" + "0" * 52


def server(parent, **values):
    return Process(**{"pid": 5000, "ppid": parent, "name": "server", "argv": ("server",), **values})


@pytest.mark.parametrize(
    ("process", "sentence"),
    [
        (server(1, unit="nginx.service"), "as the systemd unit nginx.service"),
        (server(500, unit="web.service"), "as the systemd unit web.service"),
        (server(811, unit="session-3.scope", terminal="pts/0"), "in the ssh session of alice (pts/0)"),
        (SESSION, "in the ssh session of alice (pts/0)"),
        (SSHD, "as the systemd unit ssh.service"),
        (server(901, unit="session-1.scope"), "in a login on a terminal"),
        (server(901, unit="session-1.scope", terminal="tty1"), "in a login on tty1"),
        (server(601, unit="cron.service"), "by a job of cron (process 600)"),
        (CRON, "as the systemd unit cron.service"),
        (server(511, unit="user@1000.service"), "in tmux (process 510)"),
        (server(521, unit="app-xterm.scope"), "from the shell fish on pts/4 (process 521)"),
        (server(400, unit="supervisor.service"), "kept running by supervisord (process 400)"),
        (server(500, unit="user@1000.service"), "by a process that has ended since"),
        (server(1, unit="session-3.scope"), "by a process that has ended since"),
        (server(4711), "by a process that has ended since"),
        (server(520, unit="app-xterm.scope"), "by xterm (process 520)"),
        (server(1, container=ID, runtime="docker"), "in the docker container 3f2a9c1b5d7e"),
        (server(1, container="web", runtime="lxc"), "in the lxc container web"),
        (server(1, container=ID, runtime="container"), "in the container 3f2a9c1b5d7e"),
        (server(1, container=ID, runtime="cri-o", pod="1234"), "in the cri-o container 3f2a9c1b5d7e of the pod 1234"),
        (INIT, "the first process, which the kernel starts"),
        (KTHREADD, "a thread of the kernel"),
        (Process(pid=9, ppid=2, name="kworker/0:0"), "a thread of the kernel"),
        (server(2), "by kthreadd (process 2)"),  # in a container, process 2 is like any other
    ],
)  # fmt: skip
def test_how_it_came_to_run(process, sentence):
    assert origin(ancestry((*OTHERS, process), process.pid)).sentence == sentence


def test_the_chain_ends_where_no_more_is_known():
    assert ancestry(OTHERS, 811) == (BASH, SESSION, PRIVATE, SSHD, INIT)
    assert ancestry(OTHERS, 12345) == ()


def test_numbers_that_were_used_again_while_reading_do_not_lead_in_circles():
    one, other = Process(pid=10, ppid=11), Process(pid=11, ppid=10)
    assert ancestry((one, other), 10) == (one, other)
