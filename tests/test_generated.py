"""The files that are generated from the code."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from app.generated import CONFIGURATION, SECTIONS, TABLE_END, TABLE_START, stale_files
from app.settings import documented_variables, is_secret, variable_names

PROJECT = Path(__file__).parents[1]
SHELL = ".environment.variables.sh"
ESSENTIAL_LIMIT = 16
README_LIMIT = 200
SCHEMAS = ("customer_entry", "customer_focus", "prediction", "prediction_result")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the generated files."""
    shutil.copytree(PROJECT / "schema", tmp_path / "schema")
    shutil.copy(PROJECT / SHELL, tmp_path)
    (tmp_path / "docs").mkdir()
    shutil.copy(PROJECT / CONFIGURATION, tmp_path / CONFIGURATION)
    return tmp_path


def test_the_files_of_this_repository_are_what_the_code_says() -> None:
    assert list(stale_files(PROJECT)) == []


@pytest.mark.parametrize("name", [SHELL, CONFIGURATION, "schema/customer_focus.schema.json", "schema/asyncapi.yaml"])
def test_a_file_that_was_changed_is_stale(project: Path, name: str) -> None:
    path = project / name
    original = path.read_text()
    path.write_text(original + "\n")

    assert stale_files(project) == {path: original}


def test_a_file_that_is_missing_is_stale(project: Path) -> None:
    path = project / "schema" / "prediction.schema.json"
    original = path.read_text()
    path.unlink()

    assert stale_files(project) == {path: original}


def test_the_table_in_the_readme_is_kept_up_to_date(project: Path) -> None:
    readme = project / "README.md"
    readme.write_text(f"# Shop\n\n{TABLE_START}| old |\n{TABLE_END}\nThe end.\n")

    (text,) = stale_files(project).values()

    assert text.startswith(f"# Shop\n\n{TABLE_START}| variable | default | meaning |\n|---|---|---|\n| `MQTT_HOST` |")
    assert text.endswith(f"|\n{TABLE_END}\nThe end.\n")
    assert "`MQTT_KEEPALIVE_SECONDS`" not in text
    readme.write_text(text)
    assert stale_files(project) == {}


@pytest.mark.parametrize("text", ["# Shop\n", f"# Shop\n{TABLE_START}no end", f"{TABLE_END}no start"])
def test_a_readme_without_the_marks_is_left_as_it_is(project: Path, text: str) -> None:
    (project / "README.md").write_text(text)

    assert stale_files(project) == {}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_a_schema(name: str) -> None:
    schema = json.loads((PROJECT / "schema" / f"{name}.schema.json").read_text())

    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_asyncapi_file_is_yaml_and_json_at_once() -> None:
    text = (PROJECT / "schema" / "asyncapi.yaml").read_text()

    assert yaml.safe_load(text) == json.loads(text)


def test_the_readme_is_short() -> None:
    readme = (PROJECT / "README.md").read_text()
    table = readme.partition(TABLE_START)[2].partition(TABLE_END)[0]

    assert len(readme.splitlines()) < README_LIMIT
    assert len(table.splitlines()) - 2 <= ESSENTIAL_LIMIT


def test_every_variable_has_one_row_in_the_documentation_under_its_heading() -> None:
    text = (PROJECT / CONFIGURATION).read_text()

    rows = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert rows == [name for name, _, _ in documented_variables()]
    assert headings == list(SECTIONS.values())


def test_the_documentation_says_which_variables_may_come_from_files() -> None:
    introduction = (PROJECT / CONFIGURATION).read_text().partition("\n## ")[0]

    for name, _, field in documented_variables():
        assert (f"`{name}`" in introduction) == is_secret(field)


def test_the_shell_file_names_every_variable_and_its_aliases() -> None:
    text = (PROJECT / SHELL).read_text()

    for name, _, field in documented_variables():
        assert f"export {name}='" in text
        assert [alias for alias in variable_names(field)[1:] if alias not in text] == []
