"""A model's files in one zip file, as they are sent and downloaded."""

import zlib
from io import BytesIO
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

from app.domain.model_card import CARD_FILE, MODEL_FILE, TREES_FILE
from app.errors import ModelRefused
from app.ports import ModelFiles

MAX_BUNDLE_BYTES = 64 * 1024 * 1024
MAX_FILE_BYTES = {CARD_FILE: 4 * 1024 * 1024, MODEL_FILE: 256 * 1024 * 1024, TREES_FILE: 64 * 1024 * 1024}


def to_bundle(files: ModelFiles) -> bytes:
    """The same files give the same bytes."""
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as bundle:
        for name, content in ((CARD_FILE, files.card), (MODEL_FILE, files.model), (TREES_FILE, files.trees)):
            if content is not None:
                bundle.writestr(ZipInfo(name), content, ZIP_DEFLATED)
    return buffer.getvalue()


def from_bundle(data: bytes) -> ModelFiles:
    """The files of a bundle, none of them larger than it may be whatever the bundle says.

    Raises ModelRefused for what is no bundle of a model.
    """
    try:
        with ZipFile(BytesIO(data)) as bundle:
            names = bundle.namelist()
            if unknown := set(names) - MAX_FILE_BYTES.keys():
                raise ModelRefused(f"the bundle holds files that no model has: {', '.join(map(repr, sorted(unknown)))}")
            if len(names) != len(set(names)) or not {CARD_FILE, MODEL_FILE} <= set(names):
                raise ModelRefused(f"the bundle must hold {CARD_FILE} and {MODEL_FILE}, each once")
            contents = {name: _read(bundle, name) for name in names}
    except (BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, ValueError, zlib.error) as error:
        raise ModelRefused(f"the bundle is no zip file that can be read: {error}") from error
    return ModelFiles(contents[CARD_FILE], contents[MODEL_FILE], contents.get(TREES_FILE))


def _read(bundle: ZipFile, name: str) -> bytes:
    limit = MAX_FILE_BYTES[name]
    with bundle.open(name) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ModelRefused(f"{name} is larger than {limit // 1024**2} MiB")
    return content
