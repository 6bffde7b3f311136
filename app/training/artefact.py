"""The files of a model: `model.skops`, `trees.npz` if it is made of trees, and `card.json`."""

import json
import re
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import skops.io
from sklearn.base import BaseEstimator

from app.domain.model_card import CARD_FILE, MODEL_FILE, TREES_FILE, ModelCard, card_to_json

_OBJECT_ID = re.compile(r'(?<="__id__": )\d+|\d+(?=\.npy")')


def model_bytes(model: BaseEstimator) -> bytes:
    """The model in skops' format; the same model gives the same bytes.

    skops names objects by their address in memory and stamps its files with the time: here they are numbered in the
    order in which they occur, and bear the first date that a zip file can.
    """
    with ZipFile(BytesIO(skops.io.dumps(model))) as dumped:
        numbers: dict[str, str] = {}

        def number(found: re.Match[str]) -> str:
            return numbers.setdefault(found.group(), str(len(numbers) + 1))

        schema = _OBJECT_ID.sub(number, dumped.read("schema.json").decode())
        arrays = {f"{new}.npy": f"{old}.npy" for old, new in numbers.items() if f"{old}.npy" in dumped.namelist()}
        buffer = BytesIO()
        with ZipFile(buffer, "w") as renumbered:
            for new, old in arrays.items():
                renumbered.writestr(ZipInfo(new), dumped.read(old))
            renumbered.writestr(ZipInfo("schema.json"), json.dumps(json.loads(schema)))
    return buffer.getvalue()


def write_artefact(folder: Path, model: bytes, card: ModelCard, trees: bytes | None = None) -> None:
    """All files, each whole or not at all; makes the folder, replaces the files of another model. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {MODEL_FILE: model, TREES_FILE: trees, CARD_FILE: card_to_json(card).encode()}
    for name, content in contents.items():
        if content is None:
            (folder / name).unlink(missing_ok=True)
            continue
        part = folder / f"{name}.part"
        part.write_bytes(content)
        part.replace(folder / name)
