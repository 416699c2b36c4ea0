"""Between a wire and a protocol: interfaces, routes, neighbours, fragments and the packet filter of one host.

`layer.IpLayer` joins the parts: `send` takes a packet down, `receive` takes one up, `forward` takes one through.
Nothing here knows of TCP, UDP, ICMP or sockets; what they must do is asked of `layer.IpEffects`, which the host
implements.
"""
