"""livf's version, alone: a room may write it into what it makes without knowing the public names."""

__version__ = "0.1.0"
