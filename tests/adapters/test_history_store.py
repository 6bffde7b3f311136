"""An imported history comes back as it was, or is refused with a sentence."""

from pathlib import Path
from random import Random

import numpy as np
import pytest

from app.adapters.history_store import HISTORY_FILE, load_history, save_history
from app.errors import DatasetRefused
from tests.adapters.history_folder import header_of_all, listed, read_text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A stored history."""
    save_history(read_text(tmp_path / "files").history, tmp_path / HISTORY_FILE)
    return tmp_path / HISTORY_FILE


def refusal(path: Path) -> str:
    with pytest.raises(DatasetRefused) as caught:
        load_history(path)
    return str(caught.value)


def restored(path: Path) -> list[object] | None:
    try:
        return listed(load_history(path))
    except DatasetRefused:
        return None


def test_a_history_comes_back_as_it_was_but_for_the_products_of_its_coupons(tmp_path: Path) -> None:
    history = read_text(tmp_path / "files", coupon_product="coupon_id,product_id\n").history
    with_products = read_text(tmp_path / "files").history
    save_history(with_products, tmp_path / HISTORY_FILE)

    assert listed(load_history(tmp_path / HISTORY_FILE)) == listed(history)


def test_a_history_of_nothing_comes_back(tmp_path: Path) -> None:
    history = read_text(tmp_path / "files", **header_of_all()).history
    save_history(history, tmp_path / HISTORY_FILE)

    assert listed(load_history(tmp_path / HISTORY_FILE)) == listed(history)


def test_the_same_history_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    save_history(load_history(path), tmp_path / "again.npz")

    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_a_file_that_is_not_there_is_refused_with_what_writes_it(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone.npz") == (
        f"{tmp_path / 'gone.npz'} is not there: `python -m app history import DIR --out OUT` writes it"
    )


def test_a_file_of_another_version_is_refused(path: Path) -> None:
    with np.load(path) as arrays:
        np.savez(path, **{**arrays, "format": np.array(99)})

    assert refusal(path) == f"{path} was written by another version: import the history again"


@pytest.mark.parametrize(
    "content", [b"", b"customer_id\n7\n", b"PK\x03\x04", b"\x93NUMPY", b"\x80\x04K\x01."], ids=repr
)
def test_what_is_no_history_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    assert refusal(path).startswith(f"{path} is no history that `python -m app history import` has written, or is")


def test_an_array_alone_or_with_objects_is_refused(path: Path) -> None:
    for values in (np.arange(3), np.array([{"a": 1}], dtype=object)):
        with path.open("wb") as file:
            np.save(file, values)

        assert "is no history" in refusal(path)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert "is no history" in refusal(tmp_path)


def test_a_damaged_file_is_refused_where_it_is_not_the_same_history(path: Path) -> None:
    content, usual, random = path.read_bytes(), listed(load_history(path)), Random(1)
    for _ in range(80):
        damaged = bytearray(content[: random.choice((len(content), random.randrange(len(content))))])
        for _ in range(random.choice((0, 1, 5)) if damaged else 0):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        path.write_bytes(damaged)
        assert restored(path) in (usual, None)
