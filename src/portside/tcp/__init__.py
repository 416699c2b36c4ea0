"""TCP: RFC 9293 as Linux 6.18 does it, without a clock, a network or a socket.

Three doors lead in: `calls` and `listen` (what the program asks), `arrives.segment_arrives` (what the network brings)
and `timeouts.expire` (time goes on). Each is handed `now`, in nanoseconds; what follows from it leaves through
`effects`.
"""
