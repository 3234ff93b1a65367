"""Every field of a decoded dict that its struct does not know, at any depth.

msgspec stops at the first unknown field; an importer must report them all. Enters: decoded
dicts, lists and scalars. Leaves: paths such as `price.overrides[0].when.region`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from msgspec import Struct, inspect

_READY: dict[type[Struct], inspect.Type] = {}


def unknown_fields(raw: object, struct: type[Struct]) -> list[str]:
    """The paths of all fields and enumerated keys in `raw` that `struct` has no place for."""
    if struct not in _READY:
        _READY[struct] = inspect.type_info(struct)
    return list(_unknown(raw, _READY[struct], ""))


def _unknown(raw: object, kind: inspect.Type, path: str) -> Iterator[str]:
    match kind:
        case inspect.StructType() if isinstance(raw, dict):
            fields = {field.encode_name: field.type for field in kind.fields}
            yield from _of_keys(cast("dict[object, Any]", raw), fields, path)
        case inspect.DictType(key_type=inspect.EnumType(cls=names)) if isinstance(raw, dict):
            keys = {str(name.value): kind.value_type for name in names}
            yield from _of_keys(cast("dict[object, Any]", raw), keys, path)
        case inspect.DictType() if isinstance(raw, dict):
            for key, value in cast("dict[object, Any]", raw).items():
                yield from _unknown(value, kind.value_type, f"{path}{key}.")
        case inspect.VarTupleType() if isinstance(raw, (list, tuple)):
            for place, value in enumerate(cast("list[Any]", raw)):
                yield from _unknown(value, kind.item_type, f"{path.removesuffix('.')}[{place}].")
        case inspect.UnionType():
            for choice in kind.types:
                yield from _unknown(raw, choice, path)
        case _:
            return


def _of_keys(raw: dict[object, Any], known: dict[str, inspect.Type], path: str) -> Iterator[str]:
    for key, value in raw.items():
        if key not in known:
            yield f"{path}{key}"
        else:
            yield from _unknown(value, known[str(key)], f"{path}{key}.")
