"""Reading YAML files that people write, and checking them key by key."""

from pathlib import Path

import yaml

from reid.common.errors import InputError
from reid.common.files import read_bytes


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping: the first value would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice",
                                                        node.start_mark)
        return super().construct_mapping(node, deep)


def read(path: Path) -> object:
    """The contents of a YAML file; InputError where it is missing or is not YAML."""
    try:
        return yaml.load(read_bytes(path).decode(), _Loader)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:    # not UTF-8: a ValueError
        raise InputError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None


def mapping(path: Path, where: str, value: object, kinds: dict | None = None) -> dict:
    """`value`, checked: a mapping of strings, with no keys but those of `kinds`, each of its type there."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise InputError(f"{path}: {where} is {value!r}; it must be a mapping of names")
    for key, inner in value.items() if kinds else ():
        if key not in kinds:
            raise InputError(f"{path}: {where}: there is no key {key!r}; there are {', '.join(kinds)}")
        if kinds[key] and not isinstance(inner, kinds[key]):
            needed = {str: "a name", list: "a list"}.get(kinds[key], "a mapping")
            raise InputError(f"{path}: {where}: {key} is {inner!r}; it must be {needed}")
    return value
