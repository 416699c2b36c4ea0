"""Many hosts, one time: scheduler, clock, chance, links and their faults, and the record of what happened."""
