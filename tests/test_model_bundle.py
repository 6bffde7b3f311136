"""A model's files in one zip file, and the zip files that are none."""

import random
import struct
from dataclasses import replace
from io import BytesIO
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile, ZipInfo

import pytest

from app.errors import ModelRefused
from app.model_bundle import MAX_FILE_BYTES, check_sizes, from_bundle, to_bundle
from app.ports import ModelFiles

FILES = ModelFiles(b'{"name": "a"}', b"\x00model\xff" * 50, b"trees")
BOTH = ("card.json", "model.skops")


def bundle_of(*names: str, content: bytes = b"x", compression: int = ZIP_DEFLATED) -> bytes:
    buffer = BytesIO()
    with ZipFile(buffer, "w", compression) as bundle:
        for name in names:
            bundle.writestr(ZipInfo(name), content, compression)
    return buffer.getvalue()


def refusal_of(data: bytes) -> str:
    with pytest.raises(ModelRefused) as refusal:
        from_bundle(data)
    return str(refusal.value)


@pytest.mark.parametrize("files", [FILES, replace(FILES, trees=None)])
def test_what_was_packed_is_unpacked_and_the_same_files_give_the_same_bytes(files: ModelFiles) -> None:
    assert from_bundle(to_bundle(files)) == files
    assert to_bundle(files) == to_bundle(files)


def test_a_bundle_that_is_not_compressed_will_do() -> None:
    assert from_bundle(bundle_of(*BOTH, compression=ZIP_STORED)) == ModelFiles(b"x", b"x")


@pytest.mark.parametrize(
    "name",
    [
        "../card.json",
        "/etc/passwd",
        "..\\card.json",
        "folder/card.json",
        "card.json/",
        "CARD.JSON",
        "model.pkl",
        "\u202e",
    ],
)
def test_a_file_of_another_name_is_refused_wherever_it_would_lie(name: str) -> None:
    why = refusal_of(bundle_of(*BOTH, name))

    assert "the bundle holds a file that no model has" in why
    assert why.isascii()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("card.json",), ("model.skops",), (), (*BOTH, "card.json")])
def test_a_bundle_without_its_files_or_with_one_twice_is_refused(names: tuple[str, ...]) -> None:
    assert refusal_of(bundle_of(*names)) == "the bundle must hold card.json and model.skops, each once"


def test_a_bomb_is_refused_at_the_size_that_a_file_may_have() -> None:
    bomb = bundle_of(*BOTH, content=bytes(MAX_FILE_BYTES["card.json"] + 1))

    assert len(bomb) < 10_000
    assert refusal_of(bomb) == "card.json is larger than 1 MiB"


def test_a_bomb_that_lies_about_its_size_is_refused_too() -> None:
    size = MAX_FILE_BYTES["card.json"] + 1
    bomb = bundle_of(*BOTH, content=bytes(size)).replace(struct.pack("<L", size), struct.pack("<L", 5))

    assert refusal_of(bomb)


def test_a_directory_of_very_many_files_is_not_read() -> None:
    assert "holds more than" in refusal_of(bundle_of(*(f"f{number}" for number in range(1000))))


@pytest.mark.parametrize("compression", [ZIP_BZIP2, ZIP_LZMA])
def test_other_compressions_are_refused(compression: int) -> None:
    assert "use deflate" in refusal_of(bundle_of(*BOTH, compression=compression))


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"PK\x05\x06", b"no zip" * 100, to_bundle(FILES)[:-1], to_bundle(FILES) + b"\x00"]
)
def test_what_is_no_zip_file_is_refused(data: bytes) -> None:
    assert "no zip file that can be read" in refusal_of(data)


def test_an_encrypted_bundle_is_refused() -> None:
    encrypted = bytearray(to_bundle(FILES))
    place = encrypted.index(b"PK\x01\x02")
    encrypted[6] |= 1
    encrypted[place + 8] |= 1

    assert "encrypted" in refusal_of(bytes(encrypted))


def test_whatever_is_damaged_ends_in_a_refusal_or_in_the_same_bytes() -> None:
    whole, rng = to_bundle(FILES), random.Random(7)
    for _ in range(2000):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            files = from_bundle(bytes(damaged))
        except ModelRefused:
            continue
        assert (files.card, files.model) == (FILES.card, FILES.model)
        assert files.trees in (FILES.trees, None)


def test_files_of_a_folder_have_the_same_limits() -> None:
    check_sizes(FILES)
    with pytest.raises(ModelRefused, match=r"trees\.npz is larger than 32 MiB"):
        check_sizes(replace(FILES, trees=bytes(MAX_FILE_BYTES["trees.npz"] + 1)))
