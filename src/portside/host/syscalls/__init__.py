"""The system calls, one file per group, each a function whose first argument is the calling process."""
