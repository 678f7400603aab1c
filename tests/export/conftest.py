"""A measured phantom, made once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from livf.lib.export.meshes import level_meshes
from livf.lib.foramen import ForamenMeasurement, measure
from livf.lib.synthesis.phantom import Grid, make_phantom


@pytest.fixture(scope="session")
def phantom():
    return make_phantom(1, grid=Grid((150, 150, 110), 0.8, (0, -8, 0)))


@pytest.fixture(scope="session")
def measured(phantom):
    measurement = measure(phantom.label, phantom.affine)
    assert all(foramen.measured for foramen in measurement.foramina.values())
    return measurement


@pytest.fixture(scope="session")
def quick(phantom):
    """The same measured without standard deviations, and so without the foraminoplasty criteria."""
    return measure(phantom.label, phantom.affine, uncertainty=False)


@pytest.fixture(scope="session")
def surfaces(phantom, measured):
    """Every surface of it: three structures, two foramina."""
    return level_meshes(phantom.label, phantom.affine, measured)


@pytest.fixture(scope="session")
def refused(measured):
    """The left side refused with its projection kept, the right one without."""
    left = ForamenMeasurement("left", "refused", ("outline_open",), view=measured.left.view)
    right = ForamenMeasurement("right", "refused", ("pedicle_not_found",))
    return replace(measured, foramina={"left": left, "right": right})
