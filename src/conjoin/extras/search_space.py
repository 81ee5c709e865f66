"""The search space of `conjoin tune`: settings, each with some values or a range of numbers."""

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
CRONE2020 = ("stack.cell=gru|lstm", "stack.shared=1..3", "stack.entities=0..3", "stack.relations=0..3")
GIORGI2019 = ("training.batch_size=16|32", "training.learning_rate=2e-5|3e-5|5e-5")  # Giorgi et al. 2019, Table A.3
SPACES = {"crone2020": CRONE2020, "giorgi2019": GIORGI2019}
RANGE = re.compile(r"([^|:]+?)\.\.([^|:]+)(?::(.*))?")


@dataclass(frozen=True, slots=True)
class Choice:
    """One setting and its `values`, or the range of its numbers from `low` to `high`, both inclusive.

    A `whole` range has whole numbers only; `log` searches it on a logarithmic scale.
    """

    key: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    log: bool = False

    @classmethod
    def parse(cls, text: str) -> Choice:
        """Parse a choice such as `stack.cell=gru|lstm`, `stack.shared=1..3` or `training.learning_rate=1e-4..1e-2:log`.

        Two dots make a range between two numbers only: `encoder.name=../one|../other` has two values. Raises `SettingError`
        if the text has another form or the key is not a setting.
        """
        key, equals, spec = (part.strip() for part in text.partition("="))
        if not equals or not spec:
            raise SettingError(f"space '{text}' is neither KEY=CHOICES, like stack.shared=1..3 or stack.cell=gru|lstm, nor "
                               f"one of {', '.join(SPACES)}")
        if key not in all_keys():
            raise SettingError(unknown_setting(key))
        match = RANGE.fullmatch(spec)
        ends = _numbers(match[1], match[2]) if match else None
        if match is None or ends is None:
            values = tuple(dict.fromkeys(value.strip() for value in spec.split("|")))
            if "" in values:
                raise SettingError(f"space '{text}' has an empty value; write {key}=one|other")
            return cls(key, values)
        low, high, scale = *ends, match[3]
        if not (math.isfinite(low) and low <= high < math.inf) or scale not in (None, "log") or (scale and low <= 0):
            raise SettingError(f"space '{text}' is not a range; write {key}=LOW..HIGH, or with LOW above 0 "
                               f"{key}=LOW..HIGH:log")
        whole = _is_whole(key)
        if whole and (low, high) != (round(low), round(high)):
            raise SettingError(f"space '{text}': {key} takes whole numbers; write {key}=1..3")
        return cls(key, (), low, high, whole, scale == "log")

    def suggest(self, trial: Trial) -> str:
        """The override `key=value` that a trial tries."""
        if self.values:
            return f"{self.key}={trial.suggest_categorical(self.key, self.values)}"
        if self.whole:
            return f"{self.key}={trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log)}"
        return f"{self.key}={trial.suggest_float(self.key, self.low, self.high, log=self.log)!r}"

    def extremes(self) -> tuple[str, ...]:
        """The override `key=value` of every value, or of both ends of the range."""
        ends = (int(end) if self.whole else end for end in (self.low, self.high))
        return tuple(f"{self.key}={value}" for value in self.values or ends)

    def all_values(self) -> list[str | int] | None:
        """Every value as Optuna takes it; None for a range of real numbers."""
        if self.values:
            return list(self.values)
        return list(range(int(self.low), int(self.high) + 1)) if self.whole else None


def parse_space(space: Sequence[str]) -> tuple[Choice, ...]:
    """Parse a search space: texts as for `Choice.parse` or names of `SPACES`; `crone2020` if empty.

    Raises `SettingError` if a text cannot be parsed or a key occurs twice.
    """
    texts = [text for item in (space or ("crone2020",)) for text in SPACES.get(item.strip(), (item,))]
    choices = tuple(Choice.parse(text) for text in texts)
    keys = [choice.key for choice in choices]
    for key in keys:
        if keys.count(key) > 1:
            raise SettingError(f"space has '{key}' twice; merge its choices, like {key}=1..3")
    return choices


def grid(choices: Sequence[Choice], max_size: int) -> list[dict[str, str | int]] | None:
    """All combinations of values by key; None if there are more than `max_size`."""
    columns = [values for choice in choices if (values := choice.all_values()) is not None]
    if len(columns) < len(choices) or math.prod(map(len, columns)) > max_size:
        return None
    keys = [choice.key for choice in choices]
    return [dict(zip(keys, values, strict=True)) for values in product(*columns)]


def pairwise_overrides(choices: Sequence[Choice]) -> Iterator[list[str]]:
    """Overrides in which each value or end of a range occurs with each of every other choice; first the first of each.

    Settings are wrong by themselves or in pairs, so these suffice to check a space.
    """
    extremes = [choice.extremes() for choice in choices]
    for one, other in combinations_with_replacement(range(len(choices)), 2):
        for left, right in product(extremes[one], extremes[other]):
            overrides = [texts[0] for texts in extremes]
            overrides[one], overrides[other] = left, right
            yield overrides


def check_choices(preset: str, overrides: Sequence[str], choices: Sequence[Choice]) -> None:
    """Raise `SettingError` if some trial's settings are invalid, or a setting is both set and searched."""
    keys = {override.partition("=")[0].strip() for override in overrides}
    for choice in choices:
        if choice.key in keys:
            raise SettingError(f"'{choice.key}' is both set and searched; leave out --set, or give a --space without it")
    for values in pairwise_overrides(choices):
        check_files(load_config(preset, [*overrides, *values]))


def _numbers(*texts: str) -> tuple[float, float] | None:
    try:
        low, high = map(float, texts)
    except ValueError:
        return None
    return low, high


def _is_whole(key: str) -> bool:
    """True if the setting takes whole numbers, perhaps None too."""
    table, _, name = key.partition(".")
    field = Config.model_fields[table]
    if isinstance(field.default, Settings):
        field = type(field.default).model_fields[name]
    return int in (field.annotation, *get_args(field.annotation))
