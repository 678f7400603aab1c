"""Real people's spines as signed distances: the shapes that training images are painted from."""
