"""The rooms of livf; imported as ``livf.lib``, never as ``lib``."""
