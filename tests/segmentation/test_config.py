"""Reading a model's JSON."""

from __future__ import annotations

import copy
import json

import pytest

from livf.lib.errors import ModelError
from livf.lib.segmentation.config import ModelConfig, NetworkConfig, PreprocessConfig, parse


def document():
    """A model's JSON as it is read back from a file."""
    return json.loads(json.dumps(ModelConfig(NetworkConfig(widths=(8, 16))).to_json()))


def test_it_comes_back_as_it_was_written():
    config = ModelConfig(NetworkConfig(widths=(8, 16, 32)), PreprocessConfig(spacing_mm=1.6, box_shape=(64, 90, 90)))
    assert parse(json.loads(json.dumps(config.to_json())), "here") == config


def test_other_keys_at_the_top_are_provenance():
    assert parse({**document(), "metrics": {"dice": 0.9}}, "here").network.widths == (8, 16)


def test_the_default_crop_is_the_papers():
    superior, right, anterior = PreprocessConfig().crop
    assert superior.middle(100) == 50
    assert right.middle(320) == (320 / 4 - 10 + 3 * 320 / 4 + 10) / 2
    assert anterior.middle(320) == (320 / 4 - 20 + 3 * 320 / 4) / 2


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("format",), "livf.model/9", "livf.model/9"),
        (("structures",), ["L4", "L5"], "L5"),
        (("network",), None, "network"),
        (("network", "architecture"), "swin", "swin"),
        (("network", "widths"), [8], "widths"),
        (("network", "widths"), [8, 0], "widths"),
        (("network", "widths"), [8, 1.5], "widths"),
        (("network", "widths"), [8, True], "widths"),
        (("network", "widths"), 8, "widths"),
        (("network", "depth"), 4, "depth"),
        (("preprocess", "spacing_mm"), "0.8", "spacing_mm"),
        (("preprocess", "spacing_mm"), 0, "spacing_mm"),
        (("preprocess", "spacing_mm"), float("nan"), "spacing_mm"),
        (("preprocess", "box_shape"), [128, 180], "box_shape"),
        (("preprocess", "box_shape"), [128, 180, 99999], "box_shape"),
        (("preprocess", "normalisation"), "none", "none"),
        (("preprocess", "crop"), [{}, {}, {}], "crop: missing key"),
        (("preprocess", "disc_offset_mm"), [0, None, 0], "disc_offset_mm"),
    ],
)
def test_what_makes_no_sense_is_named(path, value, words):
    changed = copy.deepcopy(document())
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ModelError, match=words) as caught:
        parse(changed, "model.json")
    assert caught.value.line.startswith("model.json: ")


def test_a_missing_key_is_named():
    changed = document()
    del changed["preprocess"]["spacing_mm"]
    with pytest.raises(ModelError, match="missing key 'spacing_mm'"):
        parse(changed, "model.json")
