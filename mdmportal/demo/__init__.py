"""The demo: a portal on its own data folder with a simulated fleet, a fake Apple and shrunken intervals."""
