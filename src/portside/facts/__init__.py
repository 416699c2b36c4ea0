"""What is true of a socket, a process, an interface, a host, at an instant: frozen values without
behaviour."""
