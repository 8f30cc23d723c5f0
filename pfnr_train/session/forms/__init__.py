"""The forms of a session in training, by the kind of values they end in. A new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Callable

import torch

from pfnr_train.library.values import CodedValues, PlacedValues, SharedValues
from pfnr_train.session.forms.base import Form, Start, Trained
from pfnr_train.session.forms.coded import CodedForm
from pfnr_train.session.forms.places import PlacedForm
from pfnr_train.session.forms.shared import SharedForm
from pfnr_train.session.recipe import Recipe

FORMS: dict[str, Callable[[Recipe, Start, torch.Generator], Form]] = {
    SharedValues.kind: SharedForm,
    PlacedValues.kind: PlacedForm,
    CodedValues.kind: CodedForm,
}

__all__ = ["FORMS", "Form", "Start", "Trained"]
