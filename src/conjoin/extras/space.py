"""What a search may try: settings by their dotted keys, each with some values or a range of numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING, get_args

from conjoin.config.presets import all_keys, check_files, load_config, unknown_setting
from conjoin.config.settings import Config, Settings
from conjoin.errors import SettingError

if TYPE_CHECKING:
    from optuna.trial import Trial

# Crone 2020 §4: LSTM or GRU, 1 to 3 shared layers, 0 to 3 of each task.
PAPER_SPACE = ("stack.cell=gru|lstm", "stack.shared=1..3", "stack.entities=0..3", "stack.relations=0..3")
SPACES = {
    "crone2020": PAPER_SPACE,
    # Giorgi et al. 2019, Table A.3
    "giorgi2019": ("training.batch_size=16|32", "training.learning_rate=2e-5|3e-5|5e-5"),
}
RANGE = re.compile(r"([^|:]+?)\.\.([^|:]+)(?::(.*))?")


@dataclass(frozen=True, slots=True)
class Choice:
    """One setting and what it may be: some values, or a range of numbers, whole ones where the setting is one."""

    key: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    log: bool = False

    @classmethod
    def parse(cls, text: str) -> Choice:
        """`stack.cell=gru|lstm`, `stack.shared=1..3`, `stack.dropout=0.1..0.6` or `training.learning_rate=1e-4..1e-2:log`.

        Two dots make a range only between two numbers: `encoder.name=../one|../other` are choices. Raises `SettingError`
        when it is none of these or the key is no setting.
        """
        key, equals, spec = (part.strip() for part in text.partition("="))
        if not equals or not spec:
            raise SettingError(f"space '{text}' has no key=choices form, like stack.shared=1..3 or stack.cell=gru|lstm, "
                               f"and is none of {', '.join(SPACES)}")
        if key not in all_keys():
            raise SettingError(unknown_setting(key))
        found = RANGE.fullmatch(spec)
        ends = _numbers(found[1], found[2]) if found else None
        if found is None or ends is None:
            values = tuple(dict.fromkeys(value.strip() for value in spec.split("|")))
            if "" in values:
                raise SettingError(f"space '{text}': one of the choices is empty; write them as {key}=one|other")
            return cls(key, values)
        low, high, scale = *ends, found[3]
        if not low <= high or not math.isfinite(low) or not math.isfinite(high) or scale not in (None, "log") \
                or (scale and low <= 0):
            raise SettingError(f"space '{text}': a range rises from one number to another, and under :log begins above 0")
        whole = _is_whole(key)
        if whole and (low, high) != (round(low), round(high)):
            raise SettingError(f"space '{text}': {key} takes whole numbers; write a range like {key}=1..3")
        return cls(key, (), low, high, whole, scale == "log")

    def override(self, trial: Trial) -> str:
        """`key=value` for a trial."""
        if self.values:
            return f"{self.key}={trial.suggest_categorical(self.key, self.values)}"
        if self.whole:
            return f"{self.key}={trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log)}"
        return f"{self.key}={trial.suggest_float(self.key, self.low, self.high, log=self.log)!r}"

    def ends(self) -> tuple[str, ...]:
        """`key=value` of every value, or of both ends of the range."""
        numbers = (int(end) if self.whole else end for end in (self.low, self.high))
        return tuple(f"{self.key}={value}" for value in self.values or numbers)

    def every(self) -> list[str | int] | None:
        """Every value as Optuna takes it; None where there is no end to them."""
        if self.values:
            return list(self.values)
        return list(range(int(self.low), int(self.high) + 1)) if self.whole else None


def parse_space(space: Sequence[str]) -> tuple[Choice, ...]:
    """Choices of texts as for `Choice.parse` or names of `SPACES`, that of Crone 2020 when there are none; no key twice."""
    texts = [text for item in (space or ("crone2020",)) for text in SPACES.get(item.strip(), (item,))]
    choices = tuple(Choice.parse(text) for text in texts)
    keys = [choice.key for choice in choices]
    for key in keys:
        if keys.count(key) > 1:
            raise SettingError(f"space names '{key}' twice; join its choices, like {key}=1..3")
    return choices


def grid(choices: Sequence[Choice], most: int) -> list[dict[str, str | int]] | None:
    """All combinations by key, if they are at most so many; else None."""
    values = [found for choice in choices if (found := choice.every()) is not None]
    if len(values) < len(choices) or math.prod(map(len, values)) > most:
        return None
    keys = [choice.key for choice in choices]
    return [dict(zip(keys, found, strict=True)) for found in product(*values)]


def samples(choices: Sequence[Choice]) -> Iterator[list[str]]:
    """Overrides in which each value and end of a range comes with each of every other choice: settings are wrong by
    themselves or in pairs. The first are all the first ones."""
    ends = [choice.ends() for choice in choices]
    for one, other in combinations_with_replacement(range(len(choices)), 2):
        for left, right in product(ends[one], ends[other]):
            values = [texts[0] for texts in ends]
            values[one], values[other] = left, right
            yield values


def check_choices(preset: str, overrides: Sequence[str], choices: Sequence[Choice]) -> None:
    """Raise for settings that some trial would fail with, and for one that is both set and searched over."""
    given = {override.partition("=")[0].strip() for override in overrides}
    for choice in choices:
        if choice.key in given:
            raise SettingError(f"'{choice.key}' is both set and searched over; set it, or name a --space without it")
    for values in samples(choices):
        check_files(load_config(preset, [*overrides, *values]))


def _numbers(*texts: str) -> tuple[float, float] | None:
    try:
        low, high = map(float, texts)
    except ValueError:
        return None
    return low, high


def _is_whole(key: str) -> bool:
    """Whether a setting is a whole number, or absent."""
    table, _, name = key.partition(".")
    field = Config.model_fields[table]
    if isinstance(field.default, Settings):
        field = type(field.default).model_fields[name]
    return int in (field.annotation, *get_args(field.annotation))
