"""portside: the ports-and-sockets layer of an operating system, as a library and a command."""
