"""Evidence for the foramen engine: each module makes one table of docs/foramen.md."""
