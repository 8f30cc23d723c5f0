"""What a parent saves: real bytes of each difference and of the same weights without it."""

from __future__ import annotations

from helpers.libraries import small_config
from helpers.own_sessions import coded_values, with_values

from pfnr_train.library.heritage import heritage
from pfnr_train.session.initialise import new_library

CONFIG = small_config("none")
CONV = "block.0.conv.weight"


def test_the_bytes_saved_are_counted_by_tensor_and_in_all() -> None:
    library = with_values(new_library(CONFIG, 0), coded_values(CONFIG, 0))
    library = with_values(library, coded_values(CONFIG, 1, 0, (CONV,)))
    assert heritage(library, 0) is None
    found = heritage(library, 1)
    assert found is not None
    assert (found.parent, found.size) == (0, len(library.sessions[1].values.data))
    ((own, alone),) = found.tensors.values()
    # The sum of two independent tensors takes more bytes than either, so the difference is smaller.
    assert own < alone
    assert found.size < found.alone
    first, second = found.sentences()
    assert first.startswith("the parent saved 0.")
    assert second.startswith(f"  {CONV}: ")
    assert found.to_json()["tensors"][CONV] == {"bytes": own, "bytes_without": alone}
