"""A shaded view of the level in three dimensions (as figure 3 of the paper), drawn without a graphics card."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from livf.lib.anatomy import BY_NAME
from livf.lib.errors import InputError
from livf.lib.export.meshes import Mesh, vertex_normals
from livf.lib.export.style import FORAMINA
from livf.lib.foramen import Frame, Side
from livf.lib.foramen.result import side_sign
from livf.lib.storage import writing

Rgb = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

#: Where the eye is, seen from the disc, in side coordinates (lateral, anterior, superior): from the side, behind and a
#: little above, so that the foramen is seen as the surgeon's instrument enters it.
_EYE: Final = (0.84, -0.5, 0.2)
#: Where the light comes from: over the eye's shoulder (right, up, towards the eye).
_LIGHT: Final = (-0.35, 0.55, 0.8)
_AMBIENT: Final = 0.28
_SIZE: Final = 640
_TITLE: Final = 72
#: Rendered this much larger and then reduced: smooth edges.
_FINE: Final = 2
_MARGIN: Final = 0.04
#: Slack at the edges of faces, share: rounding leaves no pinhole between neighbours.
_EDGE: Final = 1e-4
_GROUND: Final = (16, 17, 20)
_INK: Final = (238, 238, 238)
_FAINT: Final = (165, 168, 175)


def solid_picture(meshes: Sequence[Mesh], frame: Frame, side: Side) -> Rgb:
    """Draw surfaces from the side, behind and above, in parallel projection.

    Args:
        meshes: What to draw, in its own colours.
        frame: The level's axes.
        side: The patient's side to look from.

    Returns:
        uint8, ``(712, 640, 3)``: a title over a square view.

    Raises:
        InputError: There is no mesh.
    """
    if not meshes:
        raise InputError("there is no surface to draw")
    eye = np.asarray(_EYE) * [side_sign(side), 1.0, 1.0] @ frame.axes
    eye = eye / np.linalg.norm(eye)
    right = np.cross(frame.superior, eye)
    right = right / np.linalg.norm(right)
    camera = np.stack([right, np.cross(eye, right), eye])
    corners = [mesh.vertices @ camera.T for mesh in meshes]
    low, high = (f([f(c, axis=0) for c in corners], axis=0) for f in (np.min, np.max))
    pixels = _SIZE * _FINE
    scale = pixels * (1 - 2 * _MARGIN) / float((high - low)[:2].max())
    middle = (low + high) / 2
    canvas = np.broadcast_to(np.asarray(_GROUND, dtype=np.float64), (pixels, pixels, 3)).copy()
    nearest = np.full(pixels * pixels, -np.inf)
    light = np.asarray(_LIGHT) / np.linalg.norm(_LIGHT)
    for mesh, points in zip(meshes, corners, strict=True):
        shade = _AMBIENT + (1 - _AMBIENT) * np.clip(vertex_normals(mesh) @ camera.T @ light, 0, 1)
        flat = (points - middle) * [scale, -scale, 1.0] + [pixels / 2, pixels / 2, 0]
        place, depth, value = _covered(flat, mesh.faces, shade, pixels)
        np.maximum.at(nearest, place, depth)
        seen = depth == nearest[place]
        place, depth, value = place[seen], depth[seen], value[seen]
        # What lies deeper is a little darker: it sets the foramen off the arches in front of it.
        fog = 0.7 + 0.3 * (depth - low[2]) / (high[2] - low[2])
        canvas.reshape(-1, 3)[place] = (value * fog)[:, None] * mesh.rgb
    picture = Image.new("RGB", (_SIZE, _TITLE + _SIZE), _GROUND)
    picture.paste(Image.fromarray(np.rint(canvas).clip(0, 255).astype(np.uint8)).reduce(_FINE), (0, _TITLE))
    _write_names(picture, meshes, side)
    return np.asarray(picture)


def write_solid(path: str | os.PathLike[str], meshes: Sequence[Mesh], frame: Frame, side: Side) -> None:
    """Draw :func:`solid_picture` into a PNG file, whole or not at all.

    Raises:
        InputError: There is no mesh.
        OutputError: The file cannot be written.
    """
    picture = Image.fromarray(solid_picture(meshes, frame, side))
    with writing(path) as temporary:
        picture.save(temporary, format="PNG")


def _covered(
    points: Floats, faces: npt.NDArray[np.int32], shade: Floats, pixels: int
) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """Every pixel of every face towards the eye, with its depth and shade there.

    Args:
        points: ``(N, 3)``: column, row, depth (larger is nearer).
        faces: ``(M, 3)``.
        shade: ``(N,)``, interpolated over the faces.
        pixels: Width and height.
    """
    corner = points[faces]
    a, b, c = np.moveaxis(corner, 1, 0)
    double = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    start = np.ceil(corner[..., :2].min(axis=1)).astype(np.int64)
    extent = np.floor(corner[..., :2].max(axis=1)).astype(np.int64) - start + 1
    # Rows grow downwards, so faces towards the eye turn clockwise; many lie between the pixels.
    seen = np.flatnonzero((double < -1e-9) & (extent > 0).all(axis=1))
    a, b, c, double, start, extent = a[seen], b[seen], c[seen], double[seen], start[seen], extent[seen]
    # Barycentric weights of b and c at the first pixel, and how they grow along columns and rows.
    (x, y), ab, ac = (start - a[:, :2]).T, (b - a)[:, :2], (c - a)[:, :2]
    v = (np.stack([x * ac[:, 1] - y * ac[:, 0], ac[:, 1], -ac[:, 0]]) / double).astype(np.float32)
    w = (np.stack([ab[:, 0] * y - ab[:, 1] * x, -ab[:, 1], ab[:, 0]]) / double).astype(np.float32)
    first = start[:, 1] * pixels + start[:, 0]
    attributes = np.stack([points[faces[seen], 2], shade[faces[seen]]])
    found: list[tuple[npt.NDArray[np.int64], Floats, Floats]] = []
    for column in range(int(extent[:, 0].max(initial=0))):
        k = np.flatnonzero(extent[:, 0] > column)
        v_top, w_top = v[0, k] + column * v[1, k], w[0, k] + column * w[1, k]
        for row in range(int(extent[k, 1].max(initial=0))):
            v_here, w_here = v_top + row * v[2, k], w_top + row * w[2, k]
            hit = (v_here >= -_EDGE) & (w_here >= -_EDGE) & (v_here + w_here <= 1 + _EDGE) & (extent[k, 1] > row)
            own, v_hit, w_hit = k[hit], v_here[hit], w_here[hit]
            at = attributes[:, own]
            depth, value = at[..., 0] + v_hit * (at[..., 1] - at[..., 0]) + w_hit * (at[..., 2] - at[..., 0])
            found.append((first[own] + row * pixels + column, depth, value))
    if not found:
        return np.empty(0, dtype=np.int64), np.empty(0), np.empty(0)
    place, depth, value = (np.concatenate(part) for part in zip(*found, strict=True))
    return place, depth, value


def _write_names(picture: Image.Image, meshes: Sequence[Mesh], side: Side) -> None:
    """Which side is seen, and what the colours are."""
    draw = ImageDraw.Draw(picture)
    draw.text((14, 9), FORAMINA[side].title, fill=_INK, font=ImageFont.load_default(size=26))
    seen = f"seen from the patient's {side}, from behind and above"
    draw.text((14, 44), seen, fill=_FAINT, font=ImageFont.load_default(size=15))
    y = picture.height - 26 * len(meshes) - 10
    for mesh in meshes:
        draw.rectangle((14, y + 4, 28, y + 18), fill=mesh.rgb, outline=_GROUND)
        name, font = BY_NAME[mesh.name].title, ImageFont.load_default(size=16)
        draw.text((36, y), name, fill=_INK, font=font, stroke_width=2, stroke_fill=_GROUND)
        y += 26
