"""The bill of materials and the list of licences."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

PROJECT = Path(__file__).parents[1]
SCRIPT = "scripts/_sbom.py"
FILES = (
    SCRIPT,
    "app/__init__.py",
    "app/transport/http/static/swagger-ui-bundle.js",
    "docs/licences.md",
    "pyproject.toml",
    "requirements-embedded.txt",
    "requirements-training.txt",
    "requirements.txt",
    "sbom.cdx.json",
)
PATIENCE_SECONDS = 120


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the script reads and writes."""
    for file in FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / file, tmp_path / file)
    return tmp_path


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(project / SCRIPT), *arguments],
        cwd=project,
        text=True,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def components(project: Path) -> list[dict[str, Any]]:
    told = json.loads((project / "sbom.cdx.json").read_text())["components"]
    assert isinstance(told, list)
    return told


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_bill_and_the_licences_name_what_is_locked() -> None:
    result = run(PROJECT, "--check")

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_bill_is_one_by_its_schema_and_tells_no_time() -> None:
    text = (PROJECT / "sbom.cdx.json").read_text()

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert {"timestamp", "serialNumber"}.isdisjoint(json.loads(text).keys() | json.loads(text)["metadata"].keys())


def test_every_part_has_a_licence() -> None:
    assert [one["name"] for one in components(PROJECT) if not one["licenses"][0]["expression"]] == []


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("requirements.txt", "\nuvicorn==", "\nuvicorn==9", "sbom.cdx.json has uvicorn in version "),
        ("requirements.txt", "\nuvicorn==", "\nhypercorn==", "sbom.cdx.json has hypercorn in version none"),
        ("requirements-embedded.txt", "\namqtt==", "\namqtt==9", "licences.md has amqtt in version "),
        ("requirements-training.txt", "\npandas==", "\npandas==9", "licences.md has pandas in version "),
        (
            "app/transport/http/static/swagger-ui-bundle.js",
            'PACKAGE_VERSION:"',
            'PACKAGE_VERSION:"9',
            "has swagger-ui in",
        ),
        (
            "app/__init__.py",
            '__version__ = "',
            '__version__ = "9',
            "sbom.cdx.json has recommendation-service in version ",
        ),
        ("sbom.cdx.json", '"name": "uvicorn"', '"name": "hypercorn"', "has uvicorn in version none"),
        ("docs/licences.md", "| uvicorn |", "| hypercorn |", "has uvicorn in version none"),
    ],
)
def test_what_is_not_as_it_is_locked_is_said(project: Path, file: str, old: str, new: str, told: str) -> None:
    replace(project / file, old, new)

    result = run(project, "--check")

    assert result.returncode == 1
    assert told in result.stderr
    assert result.stderr.endswith("; run scripts/sbom\n")


def test_the_bill_is_made_of_what_is_installed(project: Path) -> None:
    (project / "sbom.cdx.json").unlink()
    (project / "docs" / "licences.md").unlink()

    result = run(project)

    assert (result.returncode, result.stderr) == (0, "")
    assert components(project) == components(PROJECT)
    assert (project / "docs" / "licences.md").read_text() == (PROJECT / "docs" / "licences.md").read_text()


def test_a_package_that_is_installed_in_another_version_is_not_told_of(project: Path) -> None:
    replace(project / "requirements.txt", "\nuvicorn==", "\nuvicorn==9")
    before = (project / "sbom.cdx.json").read_bytes()

    result = run(project)

    assert result.returncode == 1
    assert "uvicorn is installed in version " in result.stderr
    assert (project / "sbom.cdx.json").read_bytes() == before
