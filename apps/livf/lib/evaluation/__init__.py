"""How well a label agrees with another: overlap of structures."""
