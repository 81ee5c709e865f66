"""ELMo in its published format: a character CNN and bidirectional projected LSTMs (Peters et al. 2018)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from conjoin.errors import ModelError, require_extra
from conjoin.features.arrays import Texts, word_counts
from conjoin.modeling.nn.containers import module_list

SAVED = "elmo.json"
SYMBOLS = 261  # bytes 0 to 255, then <S>, </S>, begin of word, end of word, padding
N_CHARACTERS = 262  # in the options: the symbols, and 0 for no word
SENTENCE_START, SENTENCE_END, WORD_START, WORD_END, PADDING = range(256, 261)
BOUNDARIES = {"<S>": SENTENCE_START, "</S>": SENTENCE_END}
BATCH_TEXTS = 32


@dataclass(frozen=True, slots=True)
class ElmoShape:
    """The sizes of a model, from `options.json`.

    Attributes:
        filters: (width, number) of each convolution.
        cell, projection: Sizes of the LSTM.
        clip_cell, clip_projection: Bounds of its states.
        skip: Whether a layer adds its input to its output.
    """

    characters: int
    character_size: int
    filters: tuple[tuple[int, int], ...]
    activation: str
    highways: int
    layers: int
    cell: int
    projection: int
    clip_cell: float
    clip_projection: float
    skip: bool

    @classmethod
    def from_options(cls, options: Mapping[str, Any], source: str) -> ElmoShape:
        """Read the options. Raises `ModelError`, which names `source`, if one is missing or invalid."""
        try:
            cnn, lstm = options["char_cnn"], options["lstm"]
            shape = cls(
                characters=int(cnn["max_characters_per_token"]),
                character_size=int(cnn["embedding"]["dim"]),
                filters=tuple((int(width), int(number)) for width, number in cnn["filters"]),
                activation=str(cnn["activation"]),
                highways=int(cnn["n_highway"]),
                layers=int(lstm["n_layers"]),
                cell=int(lstm["dim"]),
                projection=int(lstm["projection_dim"]),
                clip_cell=float(lstm["cell_clip"]),
                clip_projection=float(lstm["proj_clip"]),
                skip={True: True, False: False}[lstm["use_skip_connections"]],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{source}: not the options of an ELMo model ({error}); give the options.json of the "
                             "weights") from error
        if shape.activation not in ("relu", "tanh"):
            raise ModelError(f"{source}: unknown activation '{shape.activation}' of the character CNN; it is relu or tanh")
        symbols = cnn.get("n_characters", N_CHARACTERS)
        if symbols != N_CHARACTERS:
            raise ModelError(f"{source}: n_characters is {symbols}, where {N_CHARACTERS} is expected; give the "
                             f"options.json of the weights (training has 261: set it to {N_CHARACTERS})")
        for name, minimum, size in shape._sizes():
            if not size >= minimum:
                raise ModelError(f"{source}: {name} is {size}, and {minimum} is the minimum; give the options.json of the "
                                 "weights")
        return shape

    def _sizes(self) -> Iterator[tuple[str, float, float]]:
        """(name in the options, minimum, value) of each size."""
        yield from (("filters", 1, len(self.filters)), ("n_highway", 0, self.highways), ("n_layers", 1, self.layers))
        yield from (("embedding.dim", 1, self.character_size), ("dim", 1, self.cell), ("cell_clip", 0, self.clip_cell))
        yield from (("projection_dim", 1, self.projection), ("proj_clip", 0, self.clip_projection))
        for width, number in self.filters:
            yield from (("the width of a filter", 1, width), ("the number of a filter", 1, number))
        widest = max((width for width, _ in self.filters), default=0)
        yield "max_characters_per_token", max(3, widest), self.characters  # one character between the two ends of a word


class Elmo(nn.Module):
    """The pre-trained bidirectional language model, with one vector per word and layer.

    Layer 0 is the vector of the character CNN twice, layer k the forward and backward states of LSTM layer k. States
    start from zero in each text; `run` can also continue from earlier ones, as the first implementation did.
    """

    def __init__(self, shape: ElmoShape, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.shape = shape
        self.options = dict(options)
        self.width = 2 * shape.projection
        self.layer_count = shape.layers + 1
        self.tokens = CharacterCNN(shape)
        self.layers = module_list(
            ProjectedLSTM(shape.projection, shape.cell, shape.clip_cell, shape.clip_projection) for _ in range(shape.layers)
        )

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    sizes = staticmethod(word_counts)
    transformer = None

    def vectors(self, texts: Texts) -> list[Tensor]:
        """[word, layer, width] of each text, on the CPU."""
        result: list[Tensor] = []
        for start in range(0, len(texts), BATCH_TEXTS):
            batch = texts[start : start + BATCH_TEXTS]
            layers, _ = self.run(batch)
            result += [rows[: len(words)].cpu() for rows, words in zip(layers, batch, strict=True)]
        return result

    def run(self, texts: Texts, states: Sequence[State] | None = None) -> tuple[Tensor, list[State]]:
        """Vectors [batch, word, layer, width], and the states of each LSTM layer after the last word of each text; initial
        states are zero when absent."""
        lengths = torch.tensor([len(words) + 2 for words in texts], device=self.device)
        inputs = self._tokens(texts, lengths)  # [batch, word with boundaries, projection]
        positions = torch.arange(inputs.shape[1], device=self.device)
        mirror = torch.where(positions < lengths.unsqueeze(1), lengths.unsqueeze(1) - 1 - positions, positions)
        index = mirror.unsqueeze(2).expand_as(inputs)
        alive = positions < lengths.unsqueeze(1)  # [batch, word]
        ways = torch.stack([inputs, inputs.gather(1, index)])  # [way, batch, word, projection]
        layers = [torch.cat([inputs, inputs], dim=-1)]
        after: list[State] = []
        for number, layer in enumerate(self.layers):
            output, state = layer(ways, alive, states[number] if states is not None else None)
            ways = output + ways if self.shape.skip and number else output
            after.append(state)
            layers.append(torch.cat([ways[0], ways[1].gather(1, index)], dim=-1))
        return torch.stack(layers, dim=2)[:, 1:-1], after

    def _tokens(self, texts: Texts, lengths: Tensor) -> Tensor:
        """Vectors of words and sentence boundaries [batch, word, projection], zeros for padding. Each distinct word is
        computed once."""
        distinct = {word: number for number, word in enumerate(dict.fromkeys(w for words in texts for w in words), start=2)}
        spellings = [spell(word, self.shape.characters) for word in (*BOUNDARIES, *distinct)]
        table: Tensor = self.tokens(torch.tensor(spellings, device=self.device))  # [distinct word, projection]
        rows = [[0, *(distinct[word] for word in words), 1] for words in texts]
        longest = max(map(len, rows), default=0)
        numbers = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=self.device)
        alive = torch.arange(longest, device=self.device) < lengths.unsqueeze(1)
        vectors: Tensor = table[numbers.reshape(len(rows), longest)] * alive.unsqueeze(2)
        return vectors

    def settings(self) -> str:
        return "elmo" + json.dumps(self.options, sort_keys=True)

    def save(self, folder: Path) -> None:
        (folder / SAVED).write_text(json.dumps(self.options) + "\n", encoding="utf-8")


State = tuple[Tensor, Tensor]  # h [way, batch, projection], c [way, batch, cell]


def spell(word: str, length: int) -> list[int]:
    """The character ids of a word: its UTF-8 bytes between begin and end of word, padded to `length`.

    As in the first implementation, `<S>` and `</S>` are sentence boundaries.
    """
    symbols = [BOUNDARIES[word]] if word in BOUNDARIES else list(word.encode("utf-8", "replace")[: length - 2])
    ids = [WORD_START, *symbols, WORD_END]
    return ids + [PADDING] * (length - len(ids))


class CharacterCNN(nn.Module):
    """Word vectors from characters: convolutions, maximum over positions, highway layers, projection."""

    def __init__(self, shape: ElmoShape) -> None:
        super().__init__()
        features = sum(number for _, number in shape.filters)
        self.characters = nn.Embedding(SYMBOLS, shape.character_size)
        self.convolutions = module_list(
            nn.Conv1d(shape.character_size, number, width) for width, number in shape.filters
        )
        self.activation = nn.ReLU() if shape.activation == "relu" else nn.Tanh()
        self.gates = module_list(nn.Linear(features, features) for _ in range(shape.highways))
        self.transforms = module_list(nn.Linear(features, features) for _ in range(shape.highways))
        self.projection = nn.Linear(features, shape.projection)

    def forward(self, characters: Tensor) -> Tensor:
        """characters: [word, character] ids → [word, projection]."""
        vectors = self.characters(characters).transpose(1, 2)  # [word, character size, character]
        states = torch.cat([self.activation(layer(vectors).amax(2)) for layer in self.convolutions], dim=-1)
        for gate, transform in zip(self.gates, self.transforms, strict=True):
            carry = gate(states).sigmoid()
            states = carry * transform(states).relu() + (1 - carry) * states
        projected: Tensor = self.projection(states)
        return projected


class ProjectedLSTM(nn.Module):
    """One LSTM layer with a projected, clipped state (Sak et al. 2014), for both directions.

    The weights of the two directions are stacked; rows of the backward direction are reversed.
    """

    def __init__(self, width: int, cell: int, clip_cell: float, clip_projection: float) -> None:
        super().__init__()
        self.cell = cell
        self.clip_cell = clip_cell
        self.clip_projection = clip_projection
        self.inputs = nn.Parameter(torch.zeros(2, width, 4 * cell))  # gates: input, candidate, forget, output
        self.recurrent = nn.Parameter(torch.zeros(2, width, 4 * cell))
        self.bias = nn.Parameter(torch.zeros(2, 4 * cell))  # that of the forget gate includes its 1
        self.projection = nn.Parameter(torch.zeros(2, cell, width))

    def forward(self, ways: Tensor, alive: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """ways: [way, batch, word, width]; alive: [batch, word] → [way, batch, word, width], and the state after the last
        word of each row."""
        directions, batch, words, width = ways.shape
        gates = torch.einsum("dbwi,dig->wdbg", ways, self.inputs) + self.bias.unsqueeze(1)
        hidden, cell = state or (
            ways.new_zeros(directions, batch, width), ways.new_zeros(directions, batch, self.cell)
        )
        outputs = []
        for word in range(words):
            entry, candidate, forget, output = torch.baddbmm(gates[word], hidden, self.recurrent).chunk(4, dim=-1)
            new = forget.sigmoid() * cell + entry.sigmoid() * candidate.tanh()
            new = new.clamp(-self.clip_cell, self.clip_cell)
            projected = torch.bmm(output.sigmoid() * new.tanh(), self.projection)
            projected = projected.clamp(-self.clip_projection, self.clip_projection)
            on = alive[:, word].unsqueeze(1)  # [batch, 1]
            hidden, cell = torch.where(on, projected, hidden), torch.where(on, new, cell)
            outputs.append(projected * on)
        return torch.stack(outputs, dim=2), (hidden, cell)


def load_elmo(options: Path, weights: Path) -> Elmo:
    """Load published files. Raises `ModelError` if one is missing or truncated, or they do not match."""
    elmo = _build(options)
    _fill(elmo, weights)
    return elmo


def saved_elmo(folder: Path) -> Elmo:
    """The ELMo of a saved conjoin model, without its weights."""
    return _build(folder / SAVED)


def _build(path: Path) -> Elmo:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file; give the options of an ELMo model with elmo.options=PATH, and its weights "
                         "with elmo.weights=PATH") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not readable as JSON ({error}); download it again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: not the options of an ELMo model; give the options.json of the weights")
    return Elmo(ElmoShape.from_options(value, str(path)), value).eval()


def _fill(elmo: Elmo, path: Path) -> None:
    try:
        import h5py
    except ImportError as error:
        raise require_extra("elmo", "h5py") from error
    if not path.is_file():
        raise ModelError(f"{path}: no such file; give the weights of an ELMo model with elmo.weights=PATH")
    try:
        with h5py.File(path, "r") as file:  # type: ignore[attr-defined, no-untyped-call]
            weights = _Weights(file, path)
            _copy_all(elmo, weights)
            weights.check_all_read()
    except OSError as error:
        raise ModelError(f"{path}: not an HDF5 file, or cut off ({error}); download it again") from error


class _Weights:
    """Reads datasets by name and checks their shapes."""

    def __init__(self, file: Any, path: Path) -> None:
        self.file, self.path = file, path
        self.read: set[str] = set()

    def copy(self, name: str, target: Tensor, *, transposed: bool = False) -> None:
        """Fill `target` with a dataset; matrices of linear layers are transposed in the file."""
        if name not in self.file:
            raise ModelError(f"{self.path}: has no dataset '{name}'; options and weights are not of the same model")
        self.read.add(name)
        dataset = self.file[name]
        if getattr(dataset, "dtype", None) is None or dataset.dtype.kind != "f":
            raise ModelError(f"{self.path}: '{name}' is not a dataset of numbers; download the weights again")
        value = torch.from_numpy(dataset[...]).to(target.dtype)
        if transposed:
            value = value.T
        if value.shape != target.shape:
            raise ModelError(f"{self.path}: dataset '{name}' has shape {tuple(dataset.shape)}, the options ask for "
                             f"{tuple(target.T.shape if transposed else target.shape)}; options and weights are not of the "
                             "same model")
        target.copy_(value)

    def check_all_read(self) -> None:
        """Raise `ModelError` if a dataset has not been read: the file is of another model, such as one with more layers."""
        names: list[str] = []
        self.file.visititems(lambda name, value: names.append(name) if hasattr(value, "dtype") else None)
        unread = sorted(set(names) - self.read)
        if unread:
            raise ModelError(f"{self.path}: the options do not ask for the dataset '{unread[0]}' ({len(unread)} of "
                             f"{len(names)} are unused); options and weights are not of the same model")


@torch.no_grad()
def _copy_all(elmo: Elmo, weights: _Weights) -> None:
    tokens = elmo.tokens
    weights.copy("char_embed", tokens.characters.weight)
    for number, layer in enumerate(tokens.convolutions):
        weights.copy(f"CNN/W_cnn_{number}", layer.weight.permute(2, 1, 0).unsqueeze(0))  # a view of the weight
        weights.copy(f"CNN/b_cnn_{number}", layer.get_parameter("bias"))
    for number, (gate, transform) in enumerate(zip(tokens.gates, tokens.transforms, strict=True)):
        for linear, kind in ((gate, "carry"), (transform, "transform")):
            weights.copy(f"CNN_high_{number}/W_{kind}", linear.weight, transposed=True)
            weights.copy(f"CNN_high_{number}/b_{kind}", linear.bias)
    weights.copy("CNN_proj/W_proj", tokens.projection.weight, transposed=True)
    weights.copy("CNN_proj/b_proj", tokens.projection.bias)
    for way in range(2):
        for number, lstm in enumerate(elmo.layers):
            _copy_lstm(lstm, way, f"RNN_{way}/RNN/MultiRNNCell/Cell{number}/LSTMCell", weights)


def _copy_lstm(layer: ProjectedLSTM, way: int, place: str, weights: _Weights) -> None:
    width = layer.inputs.shape[1]
    both = torch.empty(2 * width, 4 * layer.cell)
    weights.copy(f"{place}/W_0", both)
    layer.inputs[way].copy_(both[:width])
    layer.recurrent[way].copy_(both[width:])
    weights.copy(f"{place}/B", layer.bias[way])
    layer.bias[way, 2 * layer.cell : 3 * layer.cell] += 1  # of the forget gate
    weights.copy(f"{place}/W_P_0", layer.projection[way])
