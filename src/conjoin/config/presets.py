"""Presets and overrides: where settings come from."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from conjoin.config.settings import Config, Settings
from conjoin.errors import ModelError, SettingError, unknown_name

ALIAS = "minilm"  # of an encoder that a package carries; a folder of that name is not meant


def preset_names() -> list[str]:
    """The names of the presets that come with conjoin."""
    folder = resources.files("conjoin.config") / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_config(source: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Settings of a preset's name or a TOML file, with overrides like `training.learning_rate=2e-5`.

    Raises `SettingError` for unknown names, unknown keys and values out of range.
    """
    values = _read(source, seen=())
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise SettingError(f"override '{override}' has no key=value form, like training.learning_rate=2e-5")
        _put(values, key.strip().split("."), _parse(text.strip()))
    return parse_config(values, str(source))


def parse_config(values: Mapping[str, Any], source: str) -> Config:
    """Settings from plain values; `source` names them in errors."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise SettingError(f"{source}: {_explain(error)}") from error


def with_absolute_paths(config: Config) -> Config:
    """The settings with paths that do not depend on the working folder: a saved model looks for the word vectors too."""
    words = config.words.model_copy(update={"vectors": _absolute(config.words.vectors)})
    elmo = config.elmo.model_copy(update={name: _absolute(getattr(config.elmo, name)) for name in ("options", "weights")})
    encoder = config.encoder
    if encoder.name is not None and encoder.name != ALIAS and Path(encoder.name).expanduser().is_dir():
        encoder = encoder.model_copy(update={"name": _absolute(encoder.name)})
    return config.model_copy(update={"words": words, "elmo": elmo, "encoder": encoder})


def _absolute(path: str | None) -> str | None:
    """An address and what is absent stay as they are."""
    return path if path is None or "://" in path else str(Path(path).expanduser().absolute())


def check_files(config: Config) -> None:
    """Raise `ModelError` where a file that a new model reads is not there. What is given by address is not looked at."""
    named = {
        "words.vectors": (config.words.vectors, "word vectors in the text format of GloVe or word2vec"),
        "elmo.options": (config.elmo.options, "the options of an ELMo model"),
        "elmo.weights": (config.elmo.weights, "the weights of an ELMo model"),
    }
    for key, (source, what) in named.items():
        if source is not None and "://" not in source and not Path(source).expanduser().exists():
            raise ModelError(f"{source}: no such file; give {what} with {key}=PATH")


def _read(source: str | Path, seen: tuple[str, ...]) -> dict[str, Any]:
    name = str(source)
    if name in seen:
        raise SettingError(f"presets name each other as base: {' -> '.join([*seen, name])}")
    path = Path(name)
    if name.endswith(".toml") or path.is_file():
        if not path.is_file():
            raise SettingError(f"{path}: no such settings file; take a preset: {', '.join(preset_names())}")
        text = _read_text(path)
    elif name in preset_names():
        text = (resources.files("conjoin.config") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    else:
        raise SettingError(f"{unknown_name('preset', name, preset_names())}, or give a TOML file of settings")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{name}: not valid TOML: {error}") from error
    base = values.pop("base", None)
    if str(base).endswith(".toml"):  # named from where the file that names it lies
        base = (path.parent / str(base)).resolve()
    return _merge(_read(base, (*seen, name)), values) if base else values


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path}: not readable as UTF-8 text: {error}") from error


def _merge(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are joined setting by setting; a setting that is itself a table, `paper.reported`, is replaced whole."""
    merged = dict(base)
    for key, value in values.items():
        old = merged.get(key)
        merged[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _put(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for key in path[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise SettingError(f"override '{'.'.join(path)}': '{key}' is a value, not a table of settings")
    values[path[-1]] = value


def _parse(text: str) -> Any:
    if text.lower() == "none":
        return "none"
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(error: ValidationError) -> str:
    """The first thing wrong, in one sentence."""
    first = error.errors()[0]
    if first["type"] == "value_error":  # settings that do not go together
        return str(first["ctx"]["error"])
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        inner = next(iter(first["input"]), "") if isinstance(first["input"], dict) else ""
        place += f".{inner}" if inner else ""  # of an unknown table, the first key in it
        return unknown_setting(place)
    return f"setting {place} = {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"


def to_toml(config: Config) -> str:
    """All settings as TOML that `load_config` reads back; absent ones are "none"."""
    lines = []
    tables = []
    for name, value in config.model_dump(mode="json").items():
        if isinstance(value, dict):
            tables += ["", f"[{name}]", *_toml_lines(value)]
        else:
            lines += _toml_lines({name: value})
    return "\n".join([*lines, *tables]).lstrip("\n") + "\n"


def _toml_lines(values: Mapping[str, Any]) -> list[str]:
    """`key = value` lines; JSON strings, numbers, booleans and lists are valid TOML too."""
    lines = []
    for key, value in values.items():
        if value is None:
            lines.append(f'{key} = "none"')
        elif isinstance(value, dict):
            inner = ", ".join(f"{_toml_value(name)} = {_toml_value(entry)}" for name, entry in value.items())
            lines.append(f"{key} = {{ {inner} }}")
        else:
            lines.append(f"{key} = {_toml_value(value)}")
    return lines


def _toml_value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # the one character JSON alone allows raw


def unknown_setting(key: str) -> str:
    """One sentence for a key that no setting has."""
    return unknown_name("setting", key, all_keys(), listed_by="conjoin presets conjoin-base")


def all_keys() -> list[str]:
    """Every dotted key of the settings."""
    keys = []
    for name, field in Config.model_fields.items():
        if isinstance(field.default, Settings):
            keys += [f"{name}.{inner}" for inner in type(field.default).model_fields]
        else:
            keys.append(name)
    return keys
