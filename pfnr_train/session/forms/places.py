"""Own float32 values at the places that matter most, found by thinning out a fresh network while it trains."""

from __future__ import annotations

import numpy as np

from pfnr_train.library.values import Materialised, PlacedValues
from pfnr_train.session.forms.base import Trained
from pfnr_train.session.forms.shared import SharedForm


class PlacedForm(SharedForm):
    """As a library's first session with shared values, whose weights nobody has frozen; but nobody shares them."""

    def finish(self) -> Trained:
        """See `Form`."""
        done = super().finish()
        weights = {name: np.where(done.masks[name], w, np.float32(0)) for name, w in done.weights.items()}
        values = PlacedValues.of(weights, done.masks, done.head)
        return Trained(values, Materialised(weights, done.head))
