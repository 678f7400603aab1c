"""The view in three dimensions: full surfaces, what is nearer in front, each side from its own side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from livf.lib.anatomy import DISC, FORAMEN_LEFT, FORAMEN_RIGHT, L4
from livf.lib.errors import InputError
from livf.lib.export.meshes import Mesh
from livf.lib.export.render import solid_picture, write_solid
from livf.lib.foramen import Frame

UPRIGHT = Frame(np.zeros(3), np.array([-1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0]))


def ball(centre, radius, structure):
    """A ball of triangles."""
    u, v = np.meshgrid(np.linspace(0, np.pi, 81), np.linspace(0, 2 * np.pi, 161), indexing="ij")
    points = np.stack([np.sin(u) * np.cos(v), np.sin(u) * np.sin(v), np.cos(u)], axis=-1).reshape(-1, 3)
    corner = (np.arange(80)[:, None] * 161 + np.arange(160)).ravel()
    faces = np.concatenate(
        [np.stack([corner, corner + 161, corner + 162], 1), np.stack([corner, corner + 162, corner + 1], 1)]
    )
    return Mesh(points * radius + np.asarray(centre), faces.astype(np.int32), structure.name, structure.rgb)


def coloured(picture, structure):
    """Where a structure is seen in the view below the title: its hue, however shaded."""
    view = picture[72:].astype(float)
    level = np.linalg.norm(view, axis=2)
    hue = view / np.maximum(level, 1)[..., None]
    wanted = np.asarray(structure.rgb) / np.linalg.norm(structure.rgb)
    found = (np.abs(hue - wanted).max(axis=2) < 0.03) & (level > 40)
    found[480:, :200] = False  # the legend
    return found


def test_a_ball_is_a_full_disc():
    picture = solid_picture([ball((5, 5, 5), 12.0, L4)], UPRIGHT, "left")
    radius = 640 * 0.92 / 2
    y, x = np.mgrid[:640, :640] - 319.5
    inside = np.hypot(x, y) < radius - 2
    inside[480:, :200] = False
    assert coloured(picture, L4)[inside].mean() > 0.999
    assert not coloured(picture, L4)[np.hypot(x, y) > radius + 2].any()


@pytest.mark.parametrize("side", ["left", "right"])
def test_what_is_nearer_is_in_front(side):
    sign = -1.0 if side == "left" else 1.0  # R of the patient's left is negative
    eye = np.array([sign * 0.84, -0.5, 0.2])
    near, far = ball(eye * 20, 5.0, DISC), ball(-eye * 20, 8.0, L4)
    for order in ([near, far], [far, near]):
        picture = solid_picture(order, UPRIGHT, side)
        assert coloured(picture, DISC)[320, 320]
        assert coloured(picture, L4).sum() > coloured(picture, DISC).sum() * 0.5  # its rim shows round the small one


def test_up_is_up_and_each_side_is_seen_with_its_front_outwards():
    high, front = ball((0, 0, 15), 4.0, L4), ball((0, 15, 0), 4.0, DISC)
    for side, turned in (("left", -1), ("right", 1)):
        picture = solid_picture([high, front], UPRIGHT, side)
        rows, columns = np.nonzero(coloured(picture, L4))
        other_rows, other_columns = np.nonzero(coloured(picture, DISC))
        assert rows.mean() < other_rows.mean()
        assert (other_columns.mean() - columns.mean()) * turned > 0


def test_each_foramen_is_seen_from_its_own_side(surfaces, measured):
    left, right = (solid_picture(surfaces, measured.frame, side) for side in ("left", "right"))
    assert coloured(left, FORAMEN_LEFT).sum() > 3 * coloured(right, FORAMEN_LEFT).sum()
    assert coloured(right, FORAMEN_RIGHT).sum() > 3 * coloured(left, FORAMEN_RIGHT).sum()


def test_a_png_is_written_whole(tmp_path: Path):
    meshes = [ball((0, 0, 0), 5.0, L4)]
    write_solid(tmp_path / "a.png", meshes, UPRIGHT, "left")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), solid_picture(meshes, UPRIGHT, "left"))
    assert len(list(tmp_path.iterdir())) == 1


def test_nothing_to_draw_is_said():
    with pytest.raises(InputError, match="no surface"):
        solid_picture([], UPRIGHT, "left")
