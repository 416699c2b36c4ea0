"""The socket tables, by themselves and against the kernel."""
