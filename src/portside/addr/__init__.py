"""What an endpoint is called: ports, addresses, every notation of an endpoint, the names of services."""
