"""Synthetic lumbar studies: a parametric anatomy, rendered as T2-weighted MRI, with the exact truth of its foramina."""
