"""Who owns which port on one host: the socket tables of TCP, UDP and UDP-Lite.

Pure tables and decisions, as Linux 6.18 takes them (inet_connection_sock.c, inet_hashtables.c, udp.c). Nothing here
sends, waits or looks at a socket's owner. A host has one `SocketTable` for each protocol and calls, in the life of a
socket:

| what happens                              | call                                                             |
|-------------------------------------------|------------------------------------------------------------------|
| `socket(2)`                               | `table.open(family, uid, owner)`                                 |
| SO_REUSEADDR, SO_REUSEPORT, uid, v6only   | set the attribute, then `table.option_changed(entry)`            |
| SO_BINDTODEVICE                           | `table.set_device(entry, index)`                                 |
| `bind(2)`                                 | `bind.bind(table, entry, address, port, environment, random)`    |
| `listen(2)`                               | `bind.listen(table, entry, random)`                              |
| TCP `connect(2)`                          | `connect.connect(table, entry, raddr, rport, source, ...)`       |
| a SYN for a listener                      | `table.child(listener, ...)`: the request, found by `lookup.tcp` |
| its handshake done                        | `table.inherit_port(listener, child)`                            |
| state changes that concern no table       | `entry.state = state`                                            |
| TCP enters CLOSED                         | `connect.closed(table, entry)`                                   |
| refused connect, `connect(AF_UNSPEC)`, `shutdown` of a listener | `connect.disconnect(table, entry)`         |
| TCP enters TIME-WAIT, or an orphan FIN-WAIT-2 | `connect.time_wait(table, entry)`                            |
| UDP send without bind                     | `datagram.autobind(table, entry, random)`                        |
| UDP `connect(2)`, and to AF_UNSPEC        | `datagram.connect(table, entry, ...)`, `datagram.disconnect`     |
| the socket, or its TIME-WAIT, is gone     | `table.remove(entry)`                                            |
| a packet                                  | `lookup.tcp`, `lookup.udp`, `lookup.udp_multicast`               |
"""
