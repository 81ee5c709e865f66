"""Presets, TOML files and overrides: settings from all of them."""

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

ALIAS = "minilm"  # of an encoder in a package; a folder of that name is ignored


def preset_names() -> list[str]:
    folder = resources.files("conjoin.config") / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_config(source: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Load the settings of a preset or a TOML file, with overrides such as `training.learning_rate=2e-5`.

    Raises:
        SettingError: A name or key is unknown, or a value is out of range.
    """
    values = _read(source, bases=())
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise SettingError(f"override '{override}' has no key=value form, like training.learning_rate=2e-5")
        _override(values, key.strip().split("."), _parse(text.strip()))
    return parse_config(values, str(source))


def parse_config(values: Mapping[str, Any], source: str, *, settings: type[Config] = Config) -> Config:
    """Settings of a type from plain values; `source` names their file or preset in errors."""
    try:
        return settings.model_validate(values)
    except ValidationError as error:
        raise SettingError(f"{source}: {_first_problem(error)}") from error


def with_absolute_paths(config: Config) -> Config:
    """The settings with absolute paths: a saved model opens its file of word vectors from any folder."""
    words = config.words.model_copy(update={"vectors": _absolute(config.words.vectors)})
    elmo = config.elmo.model_copy(update={name: _absolute(getattr(config.elmo, name)) for name in ("options", "weights")})
    encoder = config.encoder
    if encoder.name is not None and encoder.name != ALIAS and Path(encoder.name).expanduser().is_dir():
        encoder = encoder.model_copy(update={"name": _absolute(encoder.name)})
    return config.model_copy(update={"words": words, "elmo": elmo, "encoder": encoder})


def _absolute(path: str | None) -> str | None:
    return path if path is None or _is_address(path) else str(Path(path).expanduser().absolute())


def _is_address(path: str) -> bool:
    return "://" in path


def check_files(config: Config) -> None:
    """Raise `ModelError` if a file that a new model needs is missing; addresses are not checked."""
    sources = {
        "words.vectors": (config.words.vectors, "word vectors in the text format of GloVe or word2vec"),
        "elmo.options": (config.elmo.options, "the options of an ELMo model"),
        "elmo.weights": (config.elmo.weights, "the weights of an ELMo model"),
    }
    for key, (source, content) in sources.items():
        if source is not None and not _is_address(source) and not Path(source).expanduser().exists():
            raise ModelError(f"{source}: no such file; give {content} with {key}=PATH")


def _read(source: str | Path, bases: tuple[str, ...]) -> dict[str, Any]:
    name = str(source)
    if name in bases:
        raise SettingError(f"presets form a circle of bases: {' -> '.join([*bases, name])}")
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
    if str(base).endswith(".toml"):  # relative to the file that names it
        base = (path.parent / str(base)).resolve()
    return _merge(_read(base, (*bases, name)), values) if base else values


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path}: not readable as UTF-8 text: {error}") from error


def _merge(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Merge tables setting by setting; a setting that is itself a table, `paper.reported`, is replaced as a whole."""
    merged = dict(base)
    for key, value in values.items():
        old = merged.get(key)
        merged[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _override(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
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


def _first_problem(error: ValidationError) -> str:
    """The first error as one sentence."""
    first = error.errors()[0]
    if first["type"] == "value_error":  # from our own validators
        return str(first["ctx"]["error"])
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        inner = next(iter(first["input"]), "") if isinstance(first["input"], dict) else ""
        place += f".{inner}" if inner else ""  # of an unknown table, the first key in it
        return unknown_setting(place)
    return f"setting {place} = {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"


def to_toml(config: Config) -> str:
    """All settings as TOML for `load_config`; absent values are "none"."""
    lines, tables = [], []
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
