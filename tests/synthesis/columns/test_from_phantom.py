import numpy as np
import pytest

from livf.lib.synthesis.columns.column import Kind
from livf.lib.synthesis.columns.from_phantom import phantom_column
from livf.lib.synthesis.morphometry import sample_anatomy
from livf.lib.synthesis.painting.subject import prepare_subject
from livf.lib.synthesis.spine import Spine


@pytest.mark.slow
def test_a_phantom_becomes_a_column():
    spine = Spine(sample_anatomy(np.random.default_rng(3), "healthy"), (5.0, -4.0, 30.0))
    column = phantom_column(spine, "phantom")
    assert column.pairs() == (("L3", "L3-L4", "L4"), ("L4", "L4-L5", "L5"))
    for name, theirs in (("L4", "L4"), ("L4-L5", "disc_L4_5"), ("sacrum", "S1")):
        part = column.part(name)
        index = np.argwhere(np.abs(part.distance.astype(np.float32)) < 0.2)[::50] + part.start
        world = index @ column.affine[:3, :3].T + column.affine[:3, 3]
        # The surface is that of the implicit solid, to less than a quarter of a voxel.
        assert np.abs(spine.distance(theirs, world)).mean() < 0.3, name
    assert not column.part("sacrum").whole
    assert any(p.kind is Kind.SAC for p in column.parts)
    subject = prepare_subject(column)
    assert subject.sacrum is not None and subject.remnant is not None
