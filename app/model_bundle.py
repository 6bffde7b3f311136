"""A model's files in one zip file, as they are sent and downloaded."""

import struct
import zlib
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from app.domain.model_card import CARD_FILE, MODEL_FILE, TREES_FILE
from app.errors import ModelRefused
from app.ports import ModelFiles

MIB = 1024 * 1024
MAX_BUNDLE_BYTES = 32 * MIB
MAX_FILE_BYTES = {CARD_FILE: MIB, MODEL_FILE: 64 * MIB, TREES_FILE: 32 * MIB}
MAX_DIRECTORY_BYTES = 4096  # of a zip file with three names; one with a million would take minutes to be read
END, END_MARK = struct.Struct("<4s4H2LH"), b"PK\x05\x06"  # the last bytes of a zip file without a comment
LOCATOR_BYTES, LOCATOR_MARK = 20, b"PK\x06\x07"  # before them, in a zip file of more than 4 GiB
UNREADABLE = (
    BadZipFile,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
)


def to_bundle(files: ModelFiles) -> bytes:
    """The same files give the same bytes."""
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as bundle:
        for name, content in by_name(files).items():
            bundle.writestr(ZipInfo(name), content, ZIP_DEFLATED)
    return buffer.getvalue()


def from_bundle(data: bytes) -> ModelFiles:
    """The files of a bundle, none of them larger than it may be whatever the bundle says.

    Raises ModelRefused for what is no bundle of a model.
    """
    _check_directory(data)
    try:
        with ZipFile(BytesIO(data)) as bundle:
            parts = bundle.infolist()
            names = [part.filename for part in parts]
            if unknown := sorted(set(names) - MAX_FILE_BYTES.keys()):
                raise ModelRefused(f"the bundle holds a file that no model has: {unknown[0]!a}")
            if len(names) != len(set(names)) or not {CARD_FILE, MODEL_FILE} <= set(names):
                raise ModelRefused(f"the bundle must hold {CARD_FILE} and {MODEL_FILE}, each once")
            contents = {part.filename: _read(bundle, part) for part in parts}
    except UNREADABLE as error:
        raise ModelRefused(f"the bundle is no zip file that can be read: {error}") from error
    return ModelFiles(contents[CARD_FILE], contents[MODEL_FILE], contents.get(TREES_FILE))


def by_name(files: ModelFiles) -> dict[str, bytes]:
    """The files that there are, by their names in a folder."""
    contents = {CARD_FILE: files.card, MODEL_FILE: files.model, TREES_FILE: files.trees}
    return {name: content for name, content in contents.items() if content is not None}


def check_sizes(files: ModelFiles) -> None:
    """Raises ModelRefused for a file that is larger than it may be."""
    for name, content in by_name(files).items():
        _check_size(name, len(content))


def _read(bundle: ZipFile, part: ZipInfo) -> bytes:
    if part.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ModelRefused(f"{part.filename} is compressed in a way that is not read here: use deflate")
    with bundle.open(part) as file:
        content = file.read(MAX_FILE_BYTES[part.filename] + 1)
    _check_size(part.filename, len(content))
    return content


def _check_size(name: str, size: int) -> None:
    if size > MAX_FILE_BYTES[name]:
        raise ModelRefused(f"{name} is larger than {MAX_FILE_BYTES[name] // MIB} MiB")


def _check_directory(data: bytes) -> None:
    """What it says of the length of its directory, before zipfile reads all of that."""
    end, locator = data[-END.size :], data[-END.size - LOCATOR_BYTES : -END.size]
    if len(end) < END.size or not end.startswith(END_MARK) or locator.startswith(LOCATOR_MARK):
        raise ModelRefused("the bundle is no zip file that can be read: its end is missing, or is not a plain one")
    *_, directory_bytes, _, comment_bytes = END.unpack(end)
    if comment_bytes or directory_bytes > MAX_DIRECTORY_BYTES:
        raise ModelRefused(f"the bundle holds more than {CARD_FILE}, {MODEL_FILE} and {TREES_FILE}")
