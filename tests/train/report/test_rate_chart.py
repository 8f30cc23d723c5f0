"""The picture of rate-quality curves."""

from __future__ import annotations

from pfnr_train.comparison.rate import RatePoint
from pfnr_train.report.rate_chart import rate_curves


def test_every_clip_has_a_panel_and_the_same_curves_make_the_same_bytes() -> None:
    points = [RatePoint(f"{k}", k, 0.05 * k, 25.0 + k, 26.0 + k) for k in (1, 2, 3)]
    one = {"bee": {"pfnr": points, "x264": points[:2]}}
    two = one | {"bunny": {"pfnr": points}}
    assert rate_curves(one) == rate_curves(one)
    assert rate_curves(two).count(b'id="axes_') == 2
