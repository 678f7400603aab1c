"""What MONAI has no class for: the list of images, the box round L4-L5 and the tidying of the label.

These modules are copied into every bundle, with the network and the resampling of livf. They import nothing else of it.
"""
