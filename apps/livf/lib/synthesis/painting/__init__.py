"""Training images painted from people's columns: posed, deformed, given a look, and seen by a scanner."""
