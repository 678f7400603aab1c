"""The MONAI Label server: the only room that knows MONAI Label.

``app`` is what MONAI Label finds; ``tasks`` infer, ``datastore`` keeps images and labels, ``http`` answers requests,
``serve`` starts it all, ``demo`` shows it.
"""
