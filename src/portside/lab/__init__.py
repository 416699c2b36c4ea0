"""Networks of simulated hosts, as Python objects and as LAB.toml files."""
