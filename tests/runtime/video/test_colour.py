"""What a record says of colour: the usual is left out, the rest is kept by name."""

from __future__ import annotations

import json

import pytest
from helpers.tiny_artifacts import contract, video

from pfnr_runtime.artifact.contract import ArtifactContract
from pfnr_runtime.video.record import MATRICES, Colour, VideoRecord


@pytest.mark.parametrize("matrix", MATRICES)
def test_the_usual_transfer_and_primaries_are_left_out(matrix: str) -> None:
    usual = Colour(matrix)
    assert (
        Colour.from_tags(matrix, "limited", transfer=usual.tags.transfer, primaries=usual.tags.primaries) == usual
    )
    assert Colour.from_tags(matrix, "limited", transfer=2, primaries=2) == usual
    assert Colour.from_tags(matrix, "limited", transfer=0, primaries=255) == usual
    assert video(colour=usual).to_json()["colour"] == {"matrix": matrix, "range": "limited"}


def test_others_are_kept_by_name_through_record_and_artifact() -> None:
    colour = Colour.from_tags("bt2020", "full", transfer=16, primaries=12)
    assert (colour.transfer, colour.primaries) == ("smpte2084", "smpte432")
    assert colour.tags == (12, 16, 9)
    record = video(colour=colour)
    assert VideoRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    assert ArtifactContract.from_json(contract(record).to_json()).video == record


def test_an_unknown_name_is_refused() -> None:
    for field in ("transfer", "primaries", "matrix", "range"):
        value = video().to_json()
        value["colour"][field] = "sepia"
        with pytest.raises(ValueError, match=f"colour {field} 'sepia' is none of"):
            VideoRecord.from_json(value)
