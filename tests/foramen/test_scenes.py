"""Numbers against arithmetic, on tilted scenes of boxes and cylinders; and careless definitions that must fail."""

import numpy as np
import pytest

from livf.lib.anatomy import L4, L5
from livf.lib.foramen import measure
from livf.lib.foramen.frame import find_frame
from livf.lib.foramen.level import prepare
from livf.lib.foramen.measurements import main_numbers
from livf.lib.foramen.outline import find_contour, project, slab
from livf.lib.foramen.reasons import RefusedError
from livf.lib.foramen.refine import refined

NAMES = [
    "plain",
    "wide and narrow",
    "leaning facet",
    "round facet",
    "bulge",
    "pedicles apart",
    "osteophyte in the canal",
    "transverse process",
    "spur",
    "recess",
]


def tilted(scene, seed):
    rng = np.random.default_rng(seed)
    angles = rng.uniform(4, 15, 3) * rng.choice([-1, 1], 3)
    return scene.voxels(rng.uniform(0.75, 0.9), angles, rng.uniform(0, 1, 3))


@pytest.fixture(scope="module")
def errors(scenes):
    """(scene, side) to the errors of FA, FH, FW and the true FA."""
    found = {}
    for seed, name in enumerate(NAMES):
        measurement = measure(*tilted(scenes[name], seed))
        for side, foramen in measurement.foramina.items():
            assert foramen.measured, (name, side, foramen.reasons)
            truth = scenes[name].truth(side)
            numbers = foramen.numbers
            off = (numbers.area_mm2 - truth[0], numbers.height_mm - truth[1], numbers.width_mm - truth[2])
            found[name, side] = (*off, truth[0])
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", ["left", "right"])
def test_numbers_are_those_of_arithmetic(errors, name, side):
    area, height, width, truth = errors[name, side]
    assert abs(area) <= max(0.05 * truth, 4.0)
    assert abs(height) <= 0.4
    assert abs(width) <= 0.4


def test_area_has_no_bias(errors):
    assert abs(np.mean([e[0] / e[3] for e in errors.values()])) < 0.01


def within(scene, side, area, height, width):
    truth = scene.truth(side)
    return (
        abs(area - truth[0]) <= max(0.05 * truth[0], 4.0)
        and abs(height - truth[1]) <= 0.4
        and abs(width - truth[2]) <= 0.4
    )


def three(level, marks, side, borders, fit=True):
    """Area, height, width and the contour of a variant; None where it finds no outline."""
    try:
        projection = project(level, marks, side, borders)
        contour = find_contour(level, marks, projection)
    except RefusedError:
        return None, None
    if fit:
        contour = refined(level, marks.frame, projection, contour)
    main = main_numbers(contour)
    return (main.area, main.height, main.width or 0.0), contour


def variants(level, marks, side):
    """The definition and what a hurried reader makes of it."""
    medial, lateral = slab(marks, side)
    ours, contour = three(level, marks, side, (medial, lateral))
    yield "ours", ours
    yield "no correction of voxel steps", three(level, marks, side, (medial, lateral), fit=False)[0]
    yield "lateral end of the slab", three(level, marks, side, (lateral - 3.0, lateral))[0]
    yield "slab from the canal", three(level, marks, side, (5.0, lateral))[0]
    corner = main_numbers(contour).width_segment.start
    row = np.abs(contour.points[:, 1] - corner[1]) < 0.2
    yield "horizontal width", (*ours[:2], float(np.ptp(contour.points[row][:, 0])))
    gap = marks.pedicles[L4.value, side].low - marks.pedicles[L5.value, side].high
    yield "pedicles' gap as height", (ours[0], gap, ours[2])


def test_careless_definitions_fail_a_scene(scenes):
    failed, seen = set(), set()
    for seed, name in enumerate(NAMES):
        if name not in ("plain", "leaning facet", "osteophyte in the canal", "spur", "recess"):
            continue
        level = prepare(*tilted(scenes[name], seed))
        marks = find_frame(level)
        for side in ("left", "right"):
            for variant, numbers in variants(level, marks, side):
                seen.add(variant)
                if numbers is None or not within(scenes[name], side, *numbers):
                    failed.add(variant)
    assert failed == seen - {"ours"}


@pytest.mark.parametrize("spacing", [0.5, 1.0])
def test_other_grids(scenes, spacing):
    scene = scenes["round facet"]
    for side, foramen in measure(*scene.voxels(spacing, (5.0, 7.0, -6.0))).foramina.items():
        truth = scene.truth(side)
        assert foramen.numbers.area_mm2 == pytest.approx(truth[0], rel=0.05)
        assert foramen.numbers.height_mm == pytest.approx(truth[1], abs=0.5)
        assert foramen.numbers.width_mm == pytest.approx(truth[2], abs=0.5)


def test_parts_are_named_in_order(plain):
    label, affine, _ = plain
    for foramen in measure(label, affine).foramina.values():
        names = [name for name, _ in foramen.outline.named()]
        order = [
            "L4_posterior_wall",
            "disc_L4_5",
            "L5_posterior_wall",
            "L5_pedicle",
            "L5_superior_articular_process",
            "L4_arch",
            "L4_pedicle",
        ]
        start = names.index(order[0])
        assert names[start:] + names[:start] == order
