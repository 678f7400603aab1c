"""Synthetic lumbar studies: a parametric anatomy, its rendering as T2-weighted MRI, and the exact truth of its foramina."""
