import numpy as np
import pytest

from livf.lib.synthesis.painting.looks import TISSUE_NAMES, draw_look, draw_sequence, physical_signals


@pytest.mark.parametrize("seed", range(20))
def test_t2_contrast_has_the_order_of_nature(seed):
    rng = np.random.default_rng(seed)
    signal = dict(zip(TISSUE_NAMES, physical_signals(draw_sequence(rng), rng, spread=0.0), strict=True))
    assert signal["csf"] > signal["nucleus"] > signal["marrow"] > signal["cortex"]
    assert signal["nucleus"] > signal["worn nucleus"] > signal["ligament"]
    assert signal["fat"] == 1.0 and signal["fat"] > signal["muscle"]


def test_half_of_the_looks_are_physical_and_the_rest_varied():
    rng = np.random.default_rng(0)
    looks = [draw_look(rng) for _ in range(400)]
    assert 0.43 < np.mean([look.physical for look in looks]) < 0.57
    chance = [look for look in looks if not look.physical]
    darker = np.mean([look.signal("csf") < look.signal("marrow") for look in chance])
    assert 0.15 < darker < 0.6
    assert all(abs(look.signal("marrow") - look.signal("cortex")) > 0.1 for look in chance)
    assert all(np.isfinite(look.signals).all() and min(look.signals) >= 0 for look in looks)
