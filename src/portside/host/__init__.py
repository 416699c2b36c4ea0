"""One machine: its stack, processes, file descriptors, users and sysctls (layer 4).

`stack.py` is the only file that joins ip, sockets, tcp, udp and icmp. Programs enter through `syscalls/`.
"""
