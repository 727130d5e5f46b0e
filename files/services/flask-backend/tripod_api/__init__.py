"""Tripod's REST API: sign-in, users, and a window on the data plane."""

__version__ = "1.0.0"
