"""The compose file: every service locked up alike. `make lint` holds it to Compose's own schema."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.dockerfiles import FOLDER, NAMES, read
from ruamel.yaml import YAML

FILE = FOLDER / "compose.yaml"
COMPOSE: dict[str, Any] = YAML(typ="safe").load(FILE)


def test_there_is_a_service_and_a_profile_for_every_image() -> None:
    assert sorted(COMPOSE["services"]) == NAMES
    for name, service in COMPOSE["services"].items():
        assert service["profiles"] == [name]
        assert (FILE.parent / service["build"]["context"] / service["build"]["dockerfile"]).exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_service_writes_only_where_it_must(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [place.partition(":")[0] for place in service["tmpfs"]] == ["/tmp"]
    assert "privileged" not in service
    videos, *engines = service["volumes"]
    assert videos.endswith(":/videos:ro")
    volumes = [value.strip('["]') for value in read(name).final.values("VOLUME")]
    assert [volume.partition(":")[2] for volume in engines] == volumes
    assert all(volume.partition(":")[0] in COMPOSE["volumes"] for volume in engines)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_reachable_from_this_machine_alone_unless_told_otherwise(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["ports"] == [f"${{PFNR_ADDRESS:-127.0.0.1:8080}}:{read(name).final.value('EXPOSE')}"]
    assert service["environment"]["PFNR_TOKEN"].startswith("${PFNR_TOKEN:?"), "no token, no start"
