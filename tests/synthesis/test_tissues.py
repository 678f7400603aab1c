"""T2 contrast: which tissue is brighter, and what the sequence changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from livf.lib.synthesis.tissues import TISSUES, Sequence


def test_tissues_have_the_order_of_a_t2_image() -> None:
    signal = {name: Sequence().signal(tissue) for name, tissue in TISSUES.items()}
    assert signal["csf"] > signal["nucleus"] > signal["marrow"] > signal["muscle"] > signal["cortex"] > 0
    assert signal["nucleus"] > 2 * signal["worn nucleus"]
    assert signal["fat"] > signal["marrow"]


def test_a_longer_echo_darkens_short_t2_most() -> None:
    short, long = Sequence(echo_ms=70), Sequence(echo_ms=115)
    loss = {name: long.signal(tissue) / short.signal(tissue) for name, tissue in TISSUES.items()}
    assert loss["csf"] > loss["fat"] > loss["marrow"] > loss["muscle"] > loss["cortex"]


def test_the_restore_pulse_brightens_fluid_and_hardly_muscle() -> None:
    without, full = replace(Sequence(), restore=0.0), replace(Sequence(), restore=1.0)
    gain = {name: full.signal(TISSUES[name]) / without.signal(TISSUES[name]) for name in ("csf", "muscle")}
    assert gain["csf"] > 1.5
    assert gain["muscle"] < 1.1


def test_protocols_are_drawn_within_their_ranges() -> None:
    drawn = [Sequence.sample(np.random.default_rng(seed)) for seed in range(50)]
    assert all(1200 <= s.repetition_ms <= 2200 and 70 <= s.echo_ms <= 115 and 0 < s.noise < 0.06 for s in drawn)
    assert len({s.echo_ms for s in drawn}) == 50
