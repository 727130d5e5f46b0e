"""MarchProxy's API as HTTP servers on the loopback: as it is documented, and as it is."""
