"""Bare-metal hosts in software: two NUMA nodes, real NIC drivers, a boot loader, and a power switch.

``python3 -m tools.vm create NAME`` makes one from nothing but Debian packages.
"""
