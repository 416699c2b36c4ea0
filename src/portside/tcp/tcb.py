"""The transmission control block: all that is remembered of one connection (RFC 9293 section 3.3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from portside.addr.abi import MILLISECOND, SECOND
from portside.facts.state import CLOSED
from portside.wire.packet import Payload

if TYPE_CHECKING:
    from portside.facts.settings import Settings
    from portside.tcp.effects import Effects
    from portside.tcp.listen import Listener

TIMEOUT_INIT: Final = SECOND  # TCP_TIMEOUT_INIT, RFC 6298 section 2.1
RTO_MIN: Final = 200 * MILLISECOND  # TCP_RTO_MIN
INITIAL_CWND: Final = 10  # TCP_INIT_CWND, RFC 6928
INFINITE_SSTHRESH: Final = 0x7FFFFFFF
LONG_AGO: Final = -SECOND * 3600  # before the world began: no answer is one to data that never came
MSS_DEFAULT: Final = 536  # TCP_MSS_DEFAULT, RFC 9293 section 3.7.1
OVERHEAD: Final = 832  # bytes that an sk_buff takes besides its data, as measured on Linux 6.18 (truesize)
MAX_FRAGMENTS: Final = 17  # MAX_SKB_FRAGS: places where the data of one sk_buff may lie
SEND_PAGE: Final = 32768  # SKB_FRAG_PAGE_ORDER: what a sender fills before it takes another
ATO_MIN: Final = 40 * MILLISECOND  # TCP_ATO_MIN: how long an acknowledgment is delayed at first

# Tcb.ack_pending: what is owed to the peer (enum inet_csk_ack_state_t).
SCHEDULED: Final = 1
TIMER: Final = 2
PUSHED: Final = 4
PUSHED2: Final = 8
NOW: Final = 16
NO_MEMORY: Final = 32

Sent = tuple[int, int, Payload, int, int, int, int]
"""A segment in flight: seq, end (past SYN, data and FIN), data, flags, sent_at in ns, times retransmitted, memory
charged.

A tuple, for one is made per segment.
"""


class Unsent:
    """Data that waits to be sent in segments of its own: what one sk_buff of the write queue is to Linux.

    `parts` are what the program gave, by reference. `push` is TCPHDR_PSH.
    """

    __slots__ = ("length", "parts", "push")

    def __init__(self) -> None:
        self.parts: list[Payload] = []
        self.length = 0
        self.push = False


class Merged:
    """Data of several segments in one sk_buff of the receive queue (`memory.append`).

    `memory` is what it takes; `room` how much fits behind it without taking more (skb_tailroom()); `fragments` how many
    places its data lies in.
    """

    __slots__ = ("fragments", "length", "memory", "parts", "room")

    def __init__(self, part: Payload, length: int, memory: int, fragments: int) -> None:
        self.parts = [part]
        self.length = length
        self.memory = memory
        self.fragments = fragments
        self.room = 0

    def add(self, part: Payload, length: int) -> None:
        """Put data behind."""
        self.parts.append(part)
        self.length += length

    def joined(self) -> Payload:
        """The data in one piece."""
        if len(self.parts) > 1:
            self.parts = [b"".join(self.parts)]
        return self.parts[0]


class Urgent:
    """The urgent byte that was announced: its sequence number, and its value (see urgent.py for what is none)."""

    __slots__ = ("byte", "seq")

    def __init__(self, seq: int, byte: int) -> None:
        self.seq = seq
        self.byte = byte


class Tcb:
    """One connection, or a socket that may become one.

    Sequence numbers are modulo 2^32; times are ns; 0 is "not set" for a deadline. Counts of the congestion window are
    in segments, as Linux keeps them. What the program sets by setsockopt(2) are plain attributes; 0 or None means the
    sysctl's value where the comment says so.
    """

    __slots__ = (  # noqa: RUF023  in the order in which one thinks of them
        # who
        "laddr", "lport", "raddr", "rport", "owner", "effects", "settings", "listener", "orphan",
        # state
        "state", "predicted", "error", "soft_error", "shutdown", "done",
        # options
        "congestion", "cork", "defer_accept", "keepalive", "keepcnt", "keepidle", "keepintvl", "linger", "linger2",
        "maxseg", "nodelay", "notsent_lowat", "oobinline", "rcvbuf", "rcvbuf_locked", "rcvlowat", "sndbuf",
        "sndbuf_locked", "syncnt", "user_timeout", "window_clamp",
        # send sequence variables
        "iss", "snd_una", "snd_nxt", "snd_wnd", "snd_wl1", "snd_up", "write_seq", "pushed_seq", "snd_sml", "max_window",
        "fin_unsent", "urging",
        # receive sequence variables
        "irs", "rcv_nxt", "rcv_wnd", "rcv_wup", "copied_seq", "rcv_ssthresh", "scaling_ratio",
        "open_window", "open_field", "urgent",
        # what was agreed upon
        "path_mtu", "mss", "mss_clamp", "advertised_mss", "snd_wscale", "rcv_wscale", "timestamps_ok", "ts_offset",
        "ts_recent", "ts_recent_at",
        # buffers
        "sent", "unsent", "received", "out_of_order", "fin_queued", "snd_memory", "rcv_memory",
        "no_space", "received_offset",
        # timers
        "armed", "retransmit_at", "probe_at", "delack_at", "keepalive_at",
        # retransmission timeout
        "srtt", "mdev", "mdev_max", "rttvar", "rtt_seq", "rto", "backoff", "retransmits", "retransmit_began",
        "probes_out", "probe_began",
        # congestion
        "cwnd", "cwnd_count", "ssthresh", "prior_ssthresh", "prior_cwnd", "ca_state", "dupacks", "recover",
        "undo_marker", "undo_retransmits", "retransmitted_out", "lost_out", "cwnd_limited",
        "max_packets_out", "cwnd_usage_seq",
        "prr_delivered", "prr_out",
        # delayed ACK
        "ack_pending", "ato", "quick", "pingpong", "rcv_mss", "last_segment_size",
        "last_data_received", "last_ack_received",
        "last_data_sent",
        # receive buffer tuning
        "rcvq_space", "rcvq_seq", "rcvq_time", "rcv_rtt", "rcv_rtt_seq", "rcv_rtt_time",
        # limits
        "challenge_at",
        # statistics (RFC 4898)
        "bytes_acked", "bytes_received", "bytes_resent", "bytes_sent", "data_segs_in", "data_segs_out", "min_rtt",
        "segs_in", "segs_out", "total_retransmits",
    )  # fmt: skip

    def __init__(
        self, effects: Effects, settings: Settings, *, owner: object = None, laddr: int = 0, lport: int = 0,
        raddr: int = 0, rport: int = 0,
    ) -> None:  # fmt: skip
        self.laddr = laddr
        self.lport = lport
        self.raddr = raddr
        self.rport = rport
        self.owner = owner
        self.effects = effects
        self.settings = settings
        self.listener: Listener | None = None  # the one it is to be accepted from, or its own in LISTEN
        self.orphan = False  # SOCK_DEAD: no program holds it any more
        self.state: int = CLOSED
        self.error = 0  # sk_err: reported once, by the next call
        self.soft_error = 0  # sk_err_soft: reported when the connection fails by itself
        self.shutdown = 0  # RCV_SHUTDOWN, SEND_SHUTDOWN
        self.done = False  # SOCK_DONE: there was a connection and its end has been told
        self._options()
        self.reset()

    def _options(self) -> None:
        """What a program may set, at its defaults (tcp(7), socket(7))."""
        settings = self.settings
        self.congestion = settings.tcp_congestion_control
        self.cork = False
        self.defer_accept = 0  # SYN-ACKs sent before a bare ACK is taken: see `listen`
        self.keepalive = False
        self.keepcnt = 0  # 0: tcp_keepalive_probes
        self.keepidle = 0  # seconds; 0: tcp_keepalive_time
        self.keepintvl = 0  # seconds; 0: tcp_keepalive_intvl
        self.linger: int | None = None  # SO_LINGER in seconds; None: off
        self.linger2 = 0  # TCP_LINGER2 in seconds; 0: tcp_fin_timeout; negative: no FIN-WAIT-2 at all
        self.maxseg = 0  # TCP_MAXSEG; 0: not set
        self.nodelay = False
        self.notsent_lowat = 0  # TCP_NOTSENT_LOWAT; 0: not set
        self.oobinline = False
        self.rcvbuf = settings.tcp_rmem[1]  # as SO_RCVBUF shows it: doubled already where the program set it
        self.rcvbuf_locked = False  # SOCK_RCVBUF_LOCK: set by the program, not tuned any more
        self.rcvlowat = 1
        self.sndbuf = settings.tcp_wmem[1]
        self.sndbuf_locked = False
        self.syncnt = 0  # TCP_SYNCNT; 0: tcp_syn_retries (tcp_synack_retries on a listener)
        self.user_timeout = 0  # TCP_USER_TIMEOUT in ms; 0: not set
        self.window_clamp = 0  # TCP_WINDOW_CLAMP; 0: not set

    def reset(self) -> None:  # noqa: PLR0915  a list of assignments
        """Forget the connection and keep the options: a socket as new (tcp_disconnect(), tcp_init_sock())."""
        self.predicted = 0  # flags that header prediction expects, PSH included; 0: no prediction
        self.iss = self.snd_una = self.snd_nxt = self.write_seq = self.pushed_seq = self.snd_sml = self.snd_up = 0
        self.urging = False  # not all that is urgent, up to snd.up, was acknowledged when we looked last
        self.urgent: Urgent | None = None
        self.snd_wnd = self.snd_wl1 = self.max_window = 0
        self.irs = self.rcv_nxt = self.rcv_wnd = self.rcv_wup = self.copied_seq = 0
        self.rcv_ssthresh = 0
        self.scaling_ratio = 128  # of 256: how much of the memory is data (TCP_DEFAULT_SCALING_RATIO)
        self.open_window = self.open_field = -1  # the window while nothing is queued, and as it stands in a segment
        self.path_mtu = 65535
        self.mss = MSS_DEFAULT  # bytes of data in a full segment, options taken off
        self.mss_clamp = 65535  # what the peer's MSS option allows
        self.advertised_mss = MSS_DEFAULT
        self.snd_wscale = self.rcv_wscale = 0
        self.timestamps_ok = False
        self.ts_offset = 0
        self.ts_recent = 0
        self.ts_recent_at = 0
        # Buffers are lists that exist while there is something in them: most connections are idle.
        self.sent: list[Sent] | None = None  # in flight, oldest first
        self.unsent: list[Unsent] | None = None
        self.fin_unsent = False  # the last of the unsent carries our FIN
        self.received: list[Payload | Merged] | None = None  # in order, oldest first
        self.received_offset = 0  # bytes of the first that the program has read
        self.out_of_order: list[tuple[int, Payload, int]] | None = None  # seq, data, FIN; ordered, no overlaps
        self.fin_queued = False  # the peer's FIN is in the receive queue, not yet seen by the program
        self.snd_memory = 0  # sk_wmem_queued
        self.rcv_memory = 0  # sk_rmem_alloc
        self.no_space = False  # SOCK_NOSPACE: somebody found the send buffer full
        self.armed = 0
        self.retransmit_at = self.probe_at = self.delack_at = self.keepalive_at = 0
        self.srtt = 0  # us * 8, as Linux keeps it
        self.mdev = TIMEOUT_INIT // 1000  # us * 4
        self.mdev_max = self.rttvar = 0
        self.rtt_seq = 0
        self.rto = TIMEOUT_INIT
        self.backoff = self.retransmits = self.retransmit_began = 0
        self.probes_out = self.probe_began = 0
        self.cwnd = INITIAL_CWND
        self.cwnd_count = 0
        self.ssthresh = INFINITE_SSTHRESH
        self.prior_ssthresh = self.prior_cwnd = 0
        self.ca_state = 0  # loss.OPEN
        self.dupacks = self.recover = 0
        self.undo_marker = 0
        self.undo_retransmits = 0
        self.retransmitted_out = self.lost_out = 0
        self.cwnd_limited = False
        self.max_packets_out = self.cwnd_usage_seq = 0
        self.prr_delivered = self.prr_out = 0
        self.ack_pending = 0
        self.ato = 0
        self.quick = 0
        self.pingpong = 0
        self.rcv_mss = MSS_DEFAULT
        self.last_segment_size = 0
        self.last_data_received = LONG_AGO
        self.last_ack_received = self.last_data_sent = 0
        self.rcvq_space = self.rcvq_seq = self.rcvq_time = 0
        self.rcv_rtt = self.rcv_rtt_seq = self.rcv_rtt_time = 0
        self.challenge_at = -1  # when the last ACK to a segment out of window was sent; -1: never
        # What TCP_INFO tells, and nothing acts upon. A segment that stands for several counts as so many.
        self.bytes_acked = self.bytes_received = self.bytes_sent = self.bytes_resent = 0
        self.segs_in = self.segs_out = self.data_segs_in = self.data_segs_out = 0
        self.total_retransmits = 0
        self.min_rtt = -1  # us; -1: none was measured

    def inherit(self, parent: Tcb) -> None:
        """Take over the options of the listening socket (tcp_create_openreq_child(), inet_csk_clone_lock())."""
        # One by one: a loop over the names takes three times as long, 1.2 us.
        self.congestion = parent.congestion
        self.cork = parent.cork
        self.keepalive = parent.keepalive
        self.keepcnt = parent.keepcnt
        self.keepidle = parent.keepidle
        self.keepintvl = parent.keepintvl
        self.linger = parent.linger
        self.linger2 = parent.linger2
        self.maxseg = parent.maxseg
        self.nodelay = parent.nodelay
        self.notsent_lowat = parent.notsent_lowat
        self.oobinline = parent.oobinline
        self.pingpong = parent.pingpong  # TCP_QUICKACK 0
        self.rcvbuf = parent.rcvbuf
        self.rcvbuf_locked = parent.rcvbuf_locked
        self.rcvlowat = parent.rcvlowat
        self.sndbuf = parent.sndbuf
        self.sndbuf_locked = parent.sndbuf_locked
        self.syncnt = parent.syncnt
        self.user_timeout = parent.user_timeout
        self.window_clamp = parent.window_clamp
