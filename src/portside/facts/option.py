"""The socket options of Linux and how portside treats each: modelled, stored or refused.

Numbers are those of <asm-generic/socket.h>, <linux/in.h>, <linux/in6.h>, <linux/tcp.h> and <linux/udp.h>.
This table says what a simulated host claims to do; nothing claims what it does not do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from portside.addr.abi import IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE

SOL_SOCKET: Final = 1


class Treatment(Enum):
    """What becomes of an option that a program sets."""

    MODELLED = "modelled"
    """It has its effect."""
    STORED = "stored"
    """It is checked, kept and read back as on Linux, and has no effect."""
    REFUSED = "refused"
    """Setting it fails with ENOPROTOOPT, as on a kernel that was built without it. Reading fails too, or gives what one
    reads that never was set."""


class Kind(Enum):
    """The C type of an option's value."""

    INT = "int"
    BOOL = "bool"  # an int that is 0 or 1 when read back
    BYTE = "byte"  # an int or a single unsigned char
    TIMEVAL = "timeval"
    LINGER = "linger"
    STRING = "string"
    BYTES = "bytes"
    IN_ADDR = "in_addr"  # in_addr, ip_mreq or ip_mreqn
    MREQ = "mreq"  # ip_mreq or ip_mreqn
    SOURCE_MREQ = "source_mreq"  # ip_mreq_source
    IPV6_MREQ = "ipv6_mreq"
    GROUP_REQ = "group_req"
    UCRED = "ucred"
    TCP_INFO = "tcp_info"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Option:
    """One socket option: level and number as setsockopt(2) takes them, name, type of the value, treatment and
    a note."""

    level: int
    number: int
    name: str
    kind: Kind
    treatment: Treatment
    note: str = ""
    readable: bool = True
    writable: bool = True


# number  name  kind  treatment (M, S, R)  access (rw, r, w)  note
_SOCKET: Final = """
1   SO_DEBUG                    bool     S rw needs CAP_NET_ADMIN to switch on
2   SO_REUSEADDR                bool     M rw
3   SO_TYPE                     int      M r
4   SO_ERROR                    int      M r  reading clears it
5   SO_DONTROUTE                bool     S rw
6   SO_BROADCAST                bool     M rw
7   SO_SNDBUF                   int      M rw doubled, at most net.core.wmem_max before that
8   SO_RCVBUF                   int      M rw doubled, at most net.core.rmem_max before that
9   SO_KEEPALIVE                bool     M rw
10  SO_OOBINLINE                bool     M rw streams
11  SO_NO_CHECK                 bool     S rw
12  SO_PRIORITY                 int      S rw more than 6 needs CAP_NET_ADMIN
13  SO_LINGER                   linger   M rw
14  SO_BSDCOMPAT                int      R rw reads as 0; without effect on Linux too
15  SO_REUSEPORT                bool     M rw
16  SO_PASSCRED                 bool     M rw AF_UNIX only
17  SO_PEERCRED                 ucred    M r
18  SO_RCVLOWAT                 int      M rw
19  SO_SNDLOWAT                 int      M r  always 1; setting it is ENOPROTOOPT on Linux too
20  SO_RCVTIMEO                 timeval  M rw
21  SO_SNDTIMEO                 timeval  M rw
25  SO_BINDTODEVICE             string   M rw
26  SO_ATTACH_FILTER            bytes    R rw classic BPF is not run
27  SO_DETACH_FILTER            nothing  R w
28  SO_PEERNAME                 bytes    R r
29  SO_TIMESTAMP                bool     S rw
30  SO_ACCEPTCONN               bool     M r
31  SO_PEERSEC                  bytes    R r  no security module is modelled
32  SO_SNDBUFFORCE              int      M w  needs CAP_NET_ADMIN
33  SO_RCVBUFFORCE              int      M w  needs CAP_NET_ADMIN
34  SO_PASSSEC                  bool     R rw AF_UNIX only; no security module is modelled
35  SO_TIMESTAMPNS              bool     S rw
36  SO_MARK                     int      S rw needs CAP_NET_ADMIN or CAP_NET_RAW
37  SO_TIMESTAMPING             int      S rw
38  SO_PROTOCOL                 int      M r
39  SO_DOMAIN                   int      M r
40  SO_RXQ_OVFL                 bool     S rw
41  SO_WIFI_STATUS              bool     S rw
42  SO_PEEK_OFF                 int      R rw
43  SO_NOFCS                    bool     R rw
44  SO_LOCK_FILTER              bool     S rw
45  SO_SELECT_ERR_QUEUE         bool     R rw
46  SO_BUSY_POLL                int      S rw
47  SO_MAX_PACING_RATE          int      S rw
48  SO_BPF_EXTENSIONS           int      R r
49  SO_INCOMING_CPU             int      S rw
50  SO_ATTACH_BPF               int      R w
51  SO_ATTACH_REUSEPORT_CBPF    bytes    R w
52  SO_ATTACH_REUSEPORT_EBPF    int      R w
53  SO_CNX_ADVICE               int      R w
55  SO_MEMINFO                  bytes    R r
56  SO_INCOMING_NAPI_ID         int      R r
57  SO_COOKIE                   bytes    R r
59  SO_PEERGROUPS               bytes    R r
60  SO_ZEROCOPY                 bool     S rw
61  SO_TXTIME                   bytes    R rw
62  SO_BINDTOIFINDEX            int      M rw
63  SO_TIMESTAMP_NEW            bool     S rw
64  SO_TIMESTAMPNS_NEW          bool     R rw
65  SO_TIMESTAMPING_NEW         int      R rw
66  SO_RCVTIMEO_NEW             timeval  R rw
67  SO_SNDTIMEO_NEW             timeval  R rw
68  SO_DETACH_REUSEPORT_BPF     nothing  R w
69  SO_PREFER_BUSY_POLL         bool     R rw
70  SO_BUSY_POLL_BUDGET         int      R rw
71  SO_NETNS_COOKIE             bytes    R r
72  SO_BUF_LOCK                 int      S rw
73  SO_RESERVE_MEM              int      R rw
74  SO_TXREHASH                 int      R rw
75  SO_RCVMARK                  bool     R rw
76  SO_PASSPIDFD                bool     R rw
77  SO_PEERPIDFD                int      R r
"""
_IP: Final = """
1   IP_TOS                      byte     M rw
2   IP_TTL                      byte     M rw
3   IP_HDRINCL                  bool     R rw raw sockets are not modelled
4   IP_OPTIONS                  bytes    R rw
5   IP_ROUTER_ALERT             bool     R rw
6   IP_RECVOPTS                 bool     S rw
7   IP_RETOPTS                  bool     S rw also known as IP_RECVRETOPTS
8   IP_PKTINFO                  bool     M rw datagrams
9   IP_PKTOPTIONS               bytes    R r
10  IP_MTU_DISCOVER             int      M rw datagrams; a TCP segment always fits its path
11  IP_RECVERR                  bool     M rw datagrams: their errors reach unconnected sockets too, and the error queue
12  IP_RECVTTL                  bool     M rw datagrams
13  IP_RECVTOS                  bool     M rw datagrams
14  IP_MTU                      int      M r
15  IP_FREEBIND                 bool     M rw
16  IP_IPSEC_POLICY             bytes    R rw
17  IP_XFRM_POLICY              bytes    R rw
18  IP_PASSSEC                  bool     R rw
19  IP_TRANSPARENT              bool     M rw needs CAP_NET_ADMIN or CAP_NET_RAW
20  IP_ORIGDSTADDR              bool     M rw datagrams
21  IP_MINTTL                   int      S rw
22  IP_NODEFRAG                 bool     R rw raw sockets only; reads as 0
23  IP_CHECKSUM                 bool     S rw
24  IP_BIND_ADDRESS_NO_PORT     bool     M rw
25  IP_RECVFRAGSIZE             bool     S rw
26  IP_RECVERR_RFC4884          bool     S rw
32  IP_MULTICAST_IF             in_addr  R rw reads as 0.0.0.0
33  IP_MULTICAST_TTL            byte     M rw
34  IP_MULTICAST_LOOP           byte     S rw
35  IP_ADD_MEMBERSHIP           mreq     R w
36  IP_DROP_MEMBERSHIP          mreq     R w
37  IP_UNBLOCK_SOURCE           source_mreq R w
38  IP_BLOCK_SOURCE             source_mreq R w
39  IP_ADD_SOURCE_MEMBERSHIP    source_mreq R w
40  IP_DROP_SOURCE_MEMBERSHIP   source_mreq R w
41  IP_MSFILTER                 bytes    R rw
42  MCAST_JOIN_GROUP            group_req R w
43  MCAST_BLOCK_SOURCE          bytes    R w
44  MCAST_UNBLOCK_SOURCE        bytes    R w
45  MCAST_LEAVE_GROUP           group_req R w
46  MCAST_JOIN_SOURCE_GROUP     bytes    R w
47  MCAST_LEAVE_SOURCE_GROUP    bytes    R w
48  MCAST_MSFILTER              bytes    R rw
49  IP_MULTICAST_ALL            bool     S rw
50  IP_UNICAST_IF               int      S rw
51  IP_LOCAL_PORT_RANGE         int      M rw low port, high port << 16
52  IP_PROTOCOL                 int      R r  raw sockets only
"""
_IPV6: Final = """
1   IPV6_ADDRFORM               int      R w
2   IPV6_2292PKTINFO            bool     R rw
3   IPV6_2292HOPOPTS            bool     R rw
4   IPV6_2292DSTOPTS            bool     R rw
5   IPV6_2292RTHDR              bool     R rw
6   IPV6_2292PKTOPTIONS         bytes    R rw
7   IPV6_CHECKSUM               int      R rw raw sockets only
8   IPV6_2292HOPLIMIT           bool     R rw
9   IPV6_NEXTHOP                bytes    R rw
11  IPV6_FLOWINFO               bool     R rw
16  IPV6_UNICAST_HOPS           int      M rw
17  IPV6_MULTICAST_IF           int      R rw reads as 0
18  IPV6_MULTICAST_HOPS         int      M rw
19  IPV6_MULTICAST_LOOP         bool     S rw
20  IPV6_JOIN_GROUP             ipv6_mreq R w also known as IPV6_ADD_MEMBERSHIP
21  IPV6_LEAVE_GROUP            ipv6_mreq R w also known as IPV6_DROP_MEMBERSHIP
22  IPV6_ROUTER_ALERT           int      R rw
23  IPV6_MTU_DISCOVER           int      M rw datagrams
24  IPV6_MTU                    int      R rw reading gives the path's MTU
25  IPV6_RECVERR                bool     M rw as IP_RECVERR
26  IPV6_V6ONLY                 bool     M rw not after bind
27  IPV6_JOIN_ANYCAST           ipv6_mreq R w
28  IPV6_LEAVE_ANYCAST          ipv6_mreq R w
29  IPV6_MULTICAST_ALL          bool     S rw
30  IPV6_ROUTER_ALERT_ISOLATE   bool     R rw
31  IPV6_RECVERR_RFC4884        bool     R rw
32  IPV6_FLOWLABEL_MGR          bytes    R rw
33  IPV6_FLOWINFO_SEND          bool     S rw
34  IPV6_IPSEC_POLICY           bytes    R rw
35  IPV6_XFRM_POLICY            bytes    R rw
36  IPV6_HDRINCL                bool     R rw raw sockets only
42  MCAST_JOIN_GROUP            group_req R w
43  MCAST_BLOCK_SOURCE          bytes    R w
44  MCAST_UNBLOCK_SOURCE        bytes    R w
45  MCAST_LEAVE_GROUP           group_req R w
46  MCAST_JOIN_SOURCE_GROUP     bytes    R w
47  MCAST_LEAVE_SOURCE_GROUP    bytes    R w
48  MCAST_MSFILTER              bytes    R rw
49  IPV6_RECVPKTINFO            bool     M rw datagrams
50  IPV6_PKTINFO                bytes    R rw
51  IPV6_RECVHOPLIMIT           bool     M rw datagrams
52  IPV6_HOPLIMIT               int      R w  as ancillary data only
53  IPV6_RECVHOPOPTS            bool     S rw
54  IPV6_HOPOPTS                bytes    R rw
55  IPV6_RTHDRDSTOPTS           bytes    R rw
56  IPV6_RECVRTHDR              bool     S rw
57  IPV6_RTHDR                  bytes    R rw
58  IPV6_RECVDSTOPTS            bool     S rw
59  IPV6_DSTOPTS                bytes    R rw
60  IPV6_RECVPATHMTU            bool     S rw
61  IPV6_PATHMTU                bytes    R r
62  IPV6_DONTFRAG               bool     S rw
63  IPV6_USE_MIN_MTU            int      R rw Linux has none either
66  IPV6_RECVTCLASS             bool     M rw datagrams
67  IPV6_TCLASS                 int      M rw
70  IPV6_AUTOFLOWLABEL          bool     S rw
72  IPV6_ADDR_PREFERENCES       int      S rw
73  IPV6_MINHOPCOUNT            int      S rw
74  IPV6_ORIGDSTADDR            bool     R rw
75  IPV6_TRANSPARENT            bool     M rw
76  IPV6_UNICAST_IF             int      S rw
77  IPV6_RECVFRAGSIZE           bool     R rw
78  IPV6_FREEBIND               bool     M rw
"""
_TCP: Final = """
1   TCP_NODELAY                 bool     M rw
2   TCP_MAXSEG                  int      M rw
3   TCP_CORK                    bool     M rw
4   TCP_KEEPIDLE                int      M rw seconds
5   TCP_KEEPINTVL               int      M rw seconds
6   TCP_KEEPCNT                 int      M rw
7   TCP_SYNCNT                  int      M rw
8   TCP_LINGER2                 int      M rw seconds
9   TCP_DEFER_ACCEPT            int      M rw seconds, rounded to a number of SYN-ACKs
10  TCP_WINDOW_CLAMP            int      M rw
11  TCP_INFO                    tcp_info M r
12  TCP_QUICKACK                bool     M rw
13  TCP_CONGESTION              string   M rw reno alone
14  TCP_MD5SIG                  bytes    R rw
16  TCP_THIN_LINEAR_TIMEOUTS    bool     R rw
17  TCP_THIN_DUPACK             bool     R rw without effect on Linux too
18  TCP_USER_TIMEOUT            int      M rw milliseconds
19  TCP_REPAIR                  int      R rw
20  TCP_REPAIR_QUEUE            int      R rw
21  TCP_QUEUE_SEQ               int      R rw
22  TCP_REPAIR_OPTIONS          bytes    R w
23  TCP_FASTOPEN                int      S rw no connection opens so
24  TCP_TIMESTAMP               int      R rw reading gives the clock of the timestamps; setting it takes TCP_REPAIR
25  TCP_NOTSENT_LOWAT           int      M rw
26  TCP_CC_INFO                 bytes    R r
27  TCP_SAVE_SYN                int      R rw
28  TCP_SAVED_SYN               bytes    R r
29  TCP_REPAIR_WINDOW           bytes    R rw
30  TCP_FASTOPEN_CONNECT        bool     R rw the connection opens in the usual way
31  TCP_ULP                     string   R rw kernel TLS is not modelled
32  TCP_MD5SIG_EXT              bytes    R rw
33  TCP_FASTOPEN_KEY            bytes    R rw
34  TCP_FASTOPEN_NO_COOKIE      bool     R rw
35  TCP_ZEROCOPY_RECEIVE        bytes    R r
36  TCP_INQ                     bool     R rw
37  TCP_TX_DELAY                int      R rw microseconds
38  TCP_AO_ADD_KEY              bytes    R w
39  TCP_AO_DEL_KEY              bytes    R w
40  TCP_AO_INFO                 bytes    R rw
41  TCP_AO_GET_KEYS             bytes    R r
42  TCP_AO_REPAIR               bytes    R rw
43  TCP_IS_MPTCP                int      R r
44  TCP_RTO_MAX_MS              int      R rw
45  TCP_RTO_MIN_US              int      R rw
46  TCP_DELACK_MAX_US           int      R rw
"""
_UDP: Final = """
1   UDP_CORK                    bool     M rw
100 UDP_ENCAP                   int      R rw
101 UDP_NO_CHECK6_TX            bool     S rw
102 UDP_NO_CHECK6_RX            bool     S rw
103 UDP_SEGMENT                 int      M rw
104 UDP_GRO                     bool     S rw
"""
_UDPLITE: Final = (
    _UDP
    + """10  UDPLITE_SEND_CSCOV          int      R rw
11  UDPLITE_RECV_CSCOV          int      R rw
"""
)

_LEVELS: Final = (
    (SOL_SOCKET, _SOCKET),
    (IPPROTO_IP, _IP),
    (IPPROTO_IPV6, _IPV6),
    (IPPROTO_TCP, _TCP),
    (IPPROTO_UDP, _UDP),
    (IPPROTO_UDPLITE, _UDPLITE),
)
_TREATMENTS: Final = {"M": Treatment.MODELLED, "S": Treatment.STORED, "R": Treatment.REFUSED}


def _option(level: int, line: str) -> Option:
    number, name, kind, treatment, access, *note = line.split(maxsplit=5)
    how = _TREATMENTS[treatment]
    return Option(level, int(number), name, Kind(kind), how, "".join(note), "r" in access, "w" in access)


@lru_cache(maxsize=1)
def table() -> dict[tuple[int, int], Option]:
    """Every option by level and number, in the order of the levels and of their numbers."""
    options = (_option(level, line) for level, text in _LEVELS for line in text.split("\n") if line)
    return {(option.level, option.number): option for option in options}


def lookup(level: int, number: int) -> Option | None:
    """The option of that level and number; None for one that Linux does not have."""
    return table().get((level, number))
