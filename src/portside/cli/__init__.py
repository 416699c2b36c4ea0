"""The `portside` command: arguments are parsed here, and what is asked for is called."""
