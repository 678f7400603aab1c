"""Closed surfaces of the structures and of the foramina, as STL and GLB files.

Vertices are patient RAS millimetres, faces turn counter-clockwise seen from outside. The same input gives the same
bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage, optimize
from skimage import measure

from livf.lib.anatomy import FORAMEN_LEFT, FORAMEN_RIGHT, TRAINED, Structure
from livf.lib.errors import InputError
from livf.lib.foramen import SIDES, ForamenMeasurement, Frame, Measurement
from livf.lib.storage import write_bytes
from livf.lib.values import Affine, spacing, to_world, voxel_volume

Floats = npt.NDArray[np.float64]
Faces = npt.NDArray[np.int32]

#: Width (SD) of the Gaussian that takes the voxels' steps away, mm, and its least width in voxels: less shows the
#: steps of thick slices, more rounds the tips of the articular processes.
SMOOTH_MM: Final = 0.8
SMOOTH_VOXELS: Final = 0.8
#: Finer grids are thinned to about this distance of samples, mm: the surface is smooth well above it.
FINEST_MM: Final = 0.5
#: Samples nearer to the surface's level than this are moved away (mm of a solid, share of a mask: some 0.01 mm): a
#: surface through a sample has faces without area.
_OFF_SURFACE: Final = 0.01
#: Where the level that keeps the volume is looked for first, and how exactly it is found (0.1 % of a disc's volume).
_LEVELS: Final = (0.4, 0.6)
_LEVEL_TOLERANCE: Final = 0.002
#: From RAS mm to what glTF 2.0 demands (section 3.4: metres, +Y up, +Z to the front, -X to the right), column by
#: column. Vertices stay RAS mm; viewers show the patient upright, facing the reader, in true size.
_RAS_MM_TO_GLTF: Final = (-0.001, 0, 0, 0, 0, 0, 0.001, 0, 0, 0.001, 0, 0, 0, 0, 0, 1)


@dataclass(frozen=True, eq=False)
class Mesh:
    """A closed surface of triangles.

    Attributes:
        vertices: ``(N, 3)``, RAS mm.
        faces: ``(M, 3)``, indices of vertices, counter-clockwise seen from outside.
        name: Name of the structure in the anatomy table.
        rgb: Its colour, 0 to 255.
    """

    vertices: Floats
    faces: Faces
    name: str
    rgb: tuple[int, int, int]

    @property
    def volume_mm3(self) -> float:
        """Enclosed volume (divergence theorem), mm³; negative if the faces looked inwards."""
        a, b, c = np.moveaxis(self.vertices[self.faces] - self.vertices.mean(axis=0), 1, 0)
        return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)

    @property
    def watertight(self) -> bool:
        """Whether it has no hole and one orientation: each edge is in two faces that run along it in opposite ways."""
        edges = np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]]).astype(np.int64)
        count = len(self.vertices)
        there, back = edges[:, 0] * count + edges[:, 1], edges[:, 1] * count + edges[:, 0]
        unique = np.unique(there)
        return bool(unique.size == there.size and np.array_equal(unique, np.unique(back)))


def structure_mesh(label: npt.NDArray[np.integer], affine: Affine, structure: Structure) -> Mesh:
    """The smooth surface of one structure of a label.

    The voxels are smoothed by a Gaussian, and the surface is laid at the level that encloses the volume of the
    structure's voxels: smoothing rounds the surface without shrinking it. A structure cut by the image's edge is
    closed there.

    Args:
        label: ``(I, J, K)``, values of the anatomy table; any orientation and spacing.
        affine: 4x4, voxel index to RAS mm.
        structure: Which one.

    Raises:
        InputError: The label does not have it.
    """
    mask = np.asarray(label) == structure.value
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found:
        raise InputError(f"{structure.title} is not in the label")
    sizes = spacing(affine)
    width = np.maximum(SMOOTH_MM / sizes, SMOOTH_VOXELS)
    stride = np.maximum(1, np.floor(FINEST_MM / sizes)).astype(int)
    room = np.ceil(4 * width).astype(int) + 2 * stride
    inside = np.pad(mask[found[0]].astype(np.float32), [(int(n), int(n)) for n in room])
    smooth = ndimage.gaussian_filter(inside, width, mode="constant")[tuple(slice(None, None, int(n)) for n in stride)]
    corner = np.array([s.start for s in found[0]]) - room
    to_ras = affine @ np.vstack([np.column_stack([np.diag(stride), corner]), [0, 0, 0, 1]])
    volume = float(np.count_nonzero(inside)) * voxel_volume(affine)

    def at(level: float) -> Mesh:
        vertices, faces = _surface(smooth, level)
        return _outwards(to_world(to_ras, vertices), faces, structure)

    def excess(level: float) -> float:
        return at(level).volume_mm3 / volume - 1

    low, high = _LEVELS
    most = float(smooth.max())
    if most <= high or excess(low) * excess(high) > 0:
        low, high = 0.001 * most, 0.999 * most
    return at(float(optimize.brentq(excess, low, high, xtol=_LEVEL_TOLERANCE)))


def foramen_mesh(foramen: ForamenMeasurement, frame: Frame) -> Mesh:
    """The surface of the reconstructed foramen of one side, closed at the slab's borders.

    Raises:
        InputError: The side was refused: there is nothing to show.
    """
    structure = FORAMEN_LEFT if foramen.side == "left" else FORAMEN_RIGHT
    solid = foramen.solid
    if solid is None:
        raise InputError(f"{structure.title} is not measured: it has no surface")
    vertices, faces = _surface(solid.values, 0.0)
    return _outwards(frame.side_to_ras(foramen.side, solid.origin + vertices * solid.step), faces, structure)


def level_meshes(label: npt.NDArray[np.integer], affine: Affine, measurement: Measurement | None = None) -> list[Mesh]:
    """Every surface there is, in the anatomy table's order: structures in the label, then the measured foramina."""
    present = np.unique(label)
    meshes = [structure_mesh(label, affine, structure) for structure in TRAINED if structure.value in present]
    if measurement and measurement.frame:
        sides = [measurement.foramina[side] for side in SIDES]
        meshes += [foramen_mesh(foramen, measurement.frame) for foramen in sides if foramen.solid]
    return meshes


def write_stl(path: str | os.PathLike[str], mesh: Mesh) -> None:
    """Write one surface as binary STL, RAS mm; the header says ``SPACE=RAS``, which 3D Slicer obeys.

    Raises:
        OutputError: The file cannot be written.
    """
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("unused", "<u2")])
    triangles = np.zeros(len(mesh.faces), dtype=record)
    triangles["corners"] = mesh.vertices[mesh.faces]
    normal = _face_normals(mesh)
    triangles["normal"] = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
    header = f"{mesh.name}; SPACE=RAS; UNIT=mm".encode("ascii").ljust(80)
    write_bytes(path, header + np.uint32(len(triangles)).astype("<u4").tobytes() + triangles.tobytes())


def write_glb(path: str | os.PathLike[str], meshes: Sequence[Mesh]) -> None:
    """Write several surfaces as one binary glTF 2.0 file with a named, coloured node each.

    Vertices are RAS mm; one root node carries them to glTF's own metres and axes.

    Raises:
        InputError: There is no mesh.
        OutputError: The file cannot be written.
    """
    if not meshes:
        raise InputError("there is no surface to write")
    document: dict[str, list[dict[str, Any]]] = {
        key: [] for key in ("nodes", "meshes", "materials", "accessors", "bufferViews")
    }
    blob = bytearray()

    def accessor(array: npt.NDArray[np.generic], kind: str, component: int, target: int, bounds: bool) -> int:
        entry = {"bufferView": len(document["bufferViews"]), "componentType": component, "type": kind}
        entry["count"] = len(array) if kind == "VEC3" else array.size
        if bounds:
            entry |= {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
        view = {"buffer": 0, "byteOffset": len(blob), "byteLength": array.nbytes, "target": target}
        document["bufferViews"].append(view)
        document["accessors"].append(entry)
        blob.extend(array.tobytes())  # 4-byte items: stays aligned
        return len(document["accessors"]) - 1

    for index, mesh in enumerate(meshes):
        attributes = {
            "POSITION": accessor(mesh.vertices.astype("<f4"), "VEC3", 5126, 34962, bounds=True),
            "NORMAL": accessor(vertex_normals(mesh).astype("<f4"), "VEC3", 5126, 34962, bounds=False),
        }
        corners = accessor(mesh.faces.astype("<u4").ravel(), "SCALAR", 5125, 34963, bounds=False)
        colour = [*(_linear(channel) for channel in mesh.rgb), 1.0]
        surface = {"baseColorFactor": colour, "metallicFactor": 0.0, "roughnessFactor": 0.6}
        primitive = {"attributes": attributes, "indices": corners, "material": index}
        document["materials"].append({"name": mesh.name, "pbrMetallicRoughness": surface})
        document["meshes"].append({"name": mesh.name, "primitives": [primitive]})
        document["nodes"].append({"name": mesh.name, "mesh": index})
    root = {"name": "patient_RAS_mm", "matrix": _RAS_MM_TO_GLTF, "children": list(range(len(meshes)))}
    document["nodes"].append(root)
    asset = {"version": "2.0", "generator": "livf", "extras": {"vertices": "patient RAS, millimetres"}}
    whole = {"asset": asset, "scene": 0, "scenes": [{"nodes": [len(meshes)]}], **document}
    text = json.dumps({**whole, "buffers": [{"byteLength": len(blob)}]}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    # Section 4.4: header (magic, version, length), then the JSON and the binary chunk (length, type, content).
    sizes = np.array([2, 28 + len(text) + len(blob), len(text)], dtype="<u4").tobytes()
    content = b"glTF" + sizes + b"JSON" + text + np.uint32(len(blob)).astype("<u4").tobytes() + b"BIN\0" + bytes(blob)
    write_bytes(path, content)


def _surface(values: npt.NDArray[np.floating], level: float) -> tuple[Floats, Faces]:
    """Vertices in index coordinates, and faces. Faces of no area are kept: removing them would open the surface."""
    above = np.asarray(values, dtype=np.float32) - np.float32(level)
    near = np.abs(above) < _OFF_SURFACE
    above[near] = np.where(above[near] > 0, _OFF_SURFACE, -_OFF_SURFACE)
    vertices, faces, _, _ = measure.marching_cubes(above, 0.0, allow_degenerate=True)
    return vertices.astype(np.float64), faces.astype(np.int32)


def _outwards(vertices: Floats, faces: Faces, structure: Structure) -> Mesh:
    """The mesh with its faces turned outwards: a mirroring affine turns them inwards."""
    mesh = Mesh(vertices, faces, structure.name, structure.rgb)
    if mesh.volume_mm3 >= 0:
        return mesh
    return Mesh(vertices, np.ascontiguousarray(faces[:, ::-1]), structure.name, structure.rgb)


def _face_normals(mesh: Mesh) -> Floats:
    """Normal of each face, as long as twice its area."""
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    return np.cross(b - a, c - a)


def vertex_normals(mesh: Mesh) -> Floats:
    """Unit normal of each vertex: of its faces, weighted by their areas."""
    normals = np.zeros_like(mesh.vertices)
    for axis in range(3):
        share = np.repeat(_face_normals(mesh)[:, axis], 3)
        normals[:, axis] = np.bincount(mesh.faces.ravel(), share, minlength=len(normals))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 1e-12, normals / np.maximum(length, 1e-12), [0.0, 0.0, 1.0])


def _linear(channel: int) -> float:
    """An sRGB channel, 0 to 255, as the linear share that glTF takes (IEC 61966-2-1)."""
    share = channel / 255
    return round(share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4, 6)
