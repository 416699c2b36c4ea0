"""The machine you sit at, read into facts: sockets over sock_diag(7), their owners and processes from /proc,
and every network namespace. Only this package and the runtime reach a real kernel."""
