"""Surfaces: closed, outwards, of the voxels' volume, in the right place; files that another reader understands."""

from __future__ import annotations

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from livf.lib.anatomy import BY_NAME, DISC, L4, L5, TRAINED
from livf.lib.errors import InputError, OutputError
from livf.lib.export.meshes import Mesh, foramen_mesh, level_meshes, structure_mesh, write_glb, write_stl


def ball(spacing, radius=10.0, centre=(3.0, -5.0, 40.0)):
    """A ball's label on a RAS grid with some room."""
    spacing = np.broadcast_to(np.asarray(spacing, dtype=float), 3)
    low = np.asarray(centre) - radius - 2.3 * spacing
    count = np.ceil((2 * radius + 5 * spacing) / spacing).astype(int)
    axes = [b + s * np.arange(n) for b, s, n in zip(low, spacing, count, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = low
    return (np.linalg.norm(points - centre, axis=-1) <= radius).astype(np.uint8) * L4.value, affine


def face_normals(mesh):
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    return np.cross(b - a, c - a)


def test_structures_of_a_phantom_are_closed_and_keep_their_volume(phantom, surfaces):
    for structure, mesh in zip(TRAINED, surfaces, strict=False):
        voxels = np.count_nonzero(phantom.label == structure.value) * abs(np.linalg.det(phantom.affine[:3, :3]))
        assert mesh.watertight
        assert mesh.volume_mm3 == pytest.approx(voxels, rel=0.01)
        assert (mesh.name, mesh.rgb) == (structure.name, structure.rgb)
        # A vertebra is a ring round the canal: Euler's number is 0; a disc is a lump: 2.
        euler = len(mesh.vertices) - len(mesh.faces) // 2
        assert euler == (2 if structure == DISC else 0)


@pytest.mark.parametrize("spacing", [0.4, 0.8, 1.2, (0.8, 0.8, 3.0), (2.0, 0.5, 0.5)])
def test_a_ball_comes_back(spacing):
    label, affine = ball(spacing)
    mesh = structure_mesh(label, affine, L4)
    voxels = np.count_nonzero(label) * np.prod(np.linalg.norm(affine[:3, :3], axis=0))
    distance = np.linalg.norm(mesh.vertices - (3.0, -5.0, 40.0), axis=1)
    assert mesh.watertight
    assert mesh.volume_mm3 == pytest.approx(voxels, rel=0.01)
    assert abs(distance - 10.0).max() < 0.45 * np.max(spacing)
    np.testing.assert_allclose(mesh.vertices.mean(axis=0), (3.0, -5.0, 40.0), atol=0.3)


def test_smoothing_takes_the_steps_of_the_voxels_away():
    mesh = structure_mesh(*ball(0.8), L4)
    normal = face_normals(mesh)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    radial = mesh.vertices[mesh.faces].mean(axis=1) - (3.0, -5.0, 40.0)
    radial /= np.linalg.norm(radial, axis=1, keepdims=True)
    # A voxel surface is up to 55 degrees off.
    assert np.degrees(np.arccos((normal * radial).sum(axis=1).clip(-1, 1))).max() < 20


@pytest.mark.parametrize("code", ["RAS", "LAS", "LPS", "RAI", "SPL", "PIR", "ASL"])
def test_faces_look_outwards_however_the_label_is_stored(code):
    label, affine = ball((0.8, 0.9, 1.1))
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(code))
    turned = nib.orientations.apply_orientation(label, turn)
    mesh = structure_mesh(turned, affine @ nib.orientations.inv_ornt_aff(turn, label.shape), L4)
    outwards = (face_normals(mesh) * (mesh.vertices[mesh.faces].mean(axis=1) - (3.0, -5.0, 40.0))).sum(axis=1)
    assert mesh.watertight
    assert (outwards > 0).all()
    straight = structure_mesh(label, affine, L4)
    np.testing.assert_allclose(np.sort(mesh.vertices, axis=0), np.sort(straight.vertices, axis=0), atol=0.02)


def test_a_structure_cut_by_the_images_edge_is_closed_there():
    label, affine = ball(0.8)
    mesh = structure_mesh(label[: label.shape[0] // 2], affine, L4)
    assert mesh.watertight
    assert mesh.volume_mm3 == pytest.approx(np.count_nonzero(label[: label.shape[0] // 2]) * 0.8**3, rel=0.01)


@pytest.mark.parametrize("seed", range(6))
def test_the_wildest_label_gives_a_closed_surface(seed):
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.random((24, 22, 20)), rng.uniform(0, 2))
    label = (noise > np.quantile(noise, rng.uniform(0.1, 0.98))).astype(np.uint8)
    sizes = rng.uniform(0.3, 3, 3) * rng.choice([-1, 1], 3)
    mesh = structure_mesh(label, np.diag([*sizes, 1.0]), L4)
    assert mesh.watertight
    assert mesh.volume_mm3 == pytest.approx(np.count_nonzero(label) * abs(np.prod(sizes)), rel=0.01)


def test_one_voxel_is_enough():
    label = np.zeros((3, 3, 3), dtype=np.uint8)
    label[1, 1, 1] = L5.value
    mesh = structure_mesh(label, np.eye(4), L5)
    assert mesh.watertight
    np.testing.assert_allclose(mesh.vertices.mean(axis=0), 1.0, atol=0.01)


def test_a_structure_that_is_not_there_is_said_so():
    with pytest.raises(InputError, match="L4-L5 disc is not in the label"):
        structure_mesh(ball(0.8)[0], np.eye(4), DISC)


def test_foramina_are_closed_and_lie_on_their_side(measured):
    for side, sign in (("left", 1), ("right", -1)):
        foramen = measured.foramina[side]
        mesh = foramen_mesh(foramen, measured.frame)
        assert mesh.watertight
        assert mesh.name == f"foramen_{side}"
        lateral = measured.frame.to_frame(mesh.vertices)[:, 0] * sign
        low, high = foramen.numbers.slab_mm
        step = foramen.solid.step[0]
        assert low - step < lateral.min() < low + step
        assert high - step < lateral.max() < high + step
        solid = np.count_nonzero(foramen.solid.values > 0) * np.prod(foramen.solid.step)
        assert mesh.volume_mm3 == pytest.approx(solid, rel=0.05)
        # It holds at least the outline's area all along.
        assert mesh.volume_mm3 > foramen.numbers.area_mm2 * (high - low) * 0.95


def test_a_refused_foramen_has_no_surface(refused):
    with pytest.raises(InputError, match="Left L4-L5 foramen is not measured"):
        foramen_mesh(refused.left, refused.frame)


def test_a_level_has_every_surface_there_is(phantom, measured, refused, surfaces):
    assert [mesh.name for mesh in surfaces] == ["L4", "disc_L4_5", "L5", "foramen_left", "foramen_right"]
    without = np.where(phantom.label == DISC.value, phantom.label, 0)
    assert [mesh.name for mesh in level_meshes(without, phantom.affine, refused)] == ["disc_L4_5"]
    assert [mesh.name for mesh in level_meshes(without, phantom.affine)] == ["disc_L4_5"]


def test_a_hole_and_a_turned_face_are_noticed():
    mesh = structure_mesh(*ball(1.2), L4)
    turned = mesh.faces.copy()
    turned[0] = turned[0, ::-1]
    assert mesh.watertight
    assert not replace(mesh, faces=mesh.faces[1:]).watertight
    assert not replace(mesh, faces=turned).watertight


def read_stl(path):
    content = path.read_bytes()
    count = int(np.frombuffer(content, "<u4", 1, 80)[0])
    assert len(content) == 84 + 50 * count
    rows = np.frombuffer(content, np.uint8, offset=84).reshape(count, 50)
    numbers = rows[:, :48].copy().view("<f4").reshape(count, 4, 3)
    return content[:80].decode(), numbers[:, 0], numbers[:, 1:]


def test_an_stl_file_holds_the_surface_in_ras(tmp_path):
    mesh = structure_mesh(*ball(0.8), L4)
    write_stl(tmp_path / "a.stl", mesh)
    header, normals, corners = read_stl(tmp_path / "a.stl")
    assert header.startswith("L4; SPACE=RAS")  # never "solid": readers take that for the text form
    np.testing.assert_array_equal(corners, mesh.vertices[mesh.faces].astype(np.float32))
    radial = corners.mean(axis=1) - (3.0, -5.0, 40.0)
    assert ((normals * radial).sum(axis=1) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-3)
    write_stl(tmp_path / "b.stl", structure_mesh(*ball(0.8), L4))
    assert (tmp_path / "a.stl").read_bytes() == (tmp_path / "b.stl").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def read_glb(path):
    content = path.read_bytes()
    magic, version, length = np.frombuffer(content, "<u4", 3)
    assert (content[:4], version, length) == (b"glTF", 2, len(content)) and magic
    size, kind = np.frombuffer(content, "<u4", 2, 12)
    assert kind == 0x4E4F534A and size % 4 == 0
    document = json.loads(content[20 : 20 + size])
    binary, kind = np.frombuffer(content, "<u4", 2, 20 + size)
    assert kind == 0x004E4942 and binary % 4 == 0 and binary == document["buffers"][0]["byteLength"]
    blob = content[28 + size :]
    assert len(blob) == binary

    def read(index):
        accessor = document["accessors"][index]
        view = document["bufferViews"][accessor["bufferView"]]
        kind = {5126: "<f4", 5125: "<u4"}[accessor["componentType"]]
        width = {"VEC3": 3, "SCALAR": 1}[accessor["type"]]
        array = np.frombuffer(blob, kind, accessor["count"] * width, view["byteOffset"])
        assert array.nbytes == view["byteLength"]
        if "min" in accessor:
            np.testing.assert_array_equal(array.reshape(-1, width).min(axis=0), np.float32(accessor["min"]))
            np.testing.assert_array_equal(array.reshape(-1, width).max(axis=0), np.float32(accessor["max"]))
        return array.reshape(-1, width)

    return document, read


def test_a_glb_file_holds_every_surface_by_name_and_colour(tmp_path, phantom, measured, surfaces):
    meshes = surfaces
    write_glb(tmp_path / "a.glb", meshes)
    document, read = read_glb(tmp_path / "a.glb")
    nodes = document["nodes"]
    root = nodes[document["scenes"][document["scene"]]["nodes"][0]]
    assert [nodes[child]["name"] for child in root["children"]] == [mesh.name for mesh in meshes]
    for child, mesh in zip(root["children"], meshes, strict=True):
        (primitive,) = document["meshes"][nodes[child]["mesh"]]["primitives"]
        vertices, normals = (read(primitive["attributes"][key]) for key in ("POSITION", "NORMAL"))
        np.testing.assert_array_equal(vertices, mesh.vertices.astype(np.float32))
        np.testing.assert_array_equal(read(primitive["indices"]).ravel(), mesh.faces.ravel())
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
        colour = document["materials"][primitive["material"]]["pbrMetallicRoughness"]["baseColorFactor"]
        srgb = np.where(np.array(colour[:3]) <= 0.0031308, 12.92 * np.array(colour[:3]), 0)
        srgb = np.where(srgb > 0, srgb, 1.055 * np.array(colour[:3]) ** (1 / 2.4) - 0.055)
        np.testing.assert_allclose(srgb * 255, BY_NAME[mesh.name].rgb, atol=0.5)
    write_glb(tmp_path / "b.glb", level_meshes(phantom.label, phantom.affine, measured))
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()


def test_a_viewer_shows_the_patient_upright_and_in_true_size(tmp_path):
    write_glb(tmp_path / "a.glb", [structure_mesh(*ball(0.8), L4)])
    document, _ = read_glb(tmp_path / "a.glb")
    matrix = np.reshape(document["nodes"][-1]["matrix"], (4, 4)).T[:3, :3]  # glTF stores columns
    np.testing.assert_allclose(matrix @ [0, 0, 1000], [0, 1, 0])  # a metre to the head is up
    np.testing.assert_allclose(matrix @ [0, 1000, 0], [0, 0, 1])  # the front looks at the viewer
    assert np.linalg.det(matrix) > 0  # no mirroring


def test_nothing_to_write_and_no_place_to_write_are_said(tmp_path):
    mesh = Mesh(np.eye(3), np.array([[0, 1, 2]], dtype=np.int32), L4.name, L4.rgb)
    with pytest.raises(InputError, match="no surface"):
        write_glb(tmp_path / "a.glb", [])
    for write, content in ((write_glb, [mesh]), (write_stl, mesh)):
        with pytest.raises(OutputError, match="folder does not exist"):
            write(tmp_path / "missing" / "a", content)
    assert not list(tmp_path.iterdir())
