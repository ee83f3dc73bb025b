"""Foreign row networks: a Keras 2 `.h5` file, such as that of 2018, as a network of today's Keras.

Keras 3 refuses such files, or rebuilds them with a wrong input shape. The layers are therefore rebuilt here, from
tables of what is supported; anything else is refused. Nothing in the file is executed, and its training configuration
is not read. Not for networks written by Driftwatch: see `scoring`; for reading the file: see `hdf5`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.errors import ModelRefused
from app.ml.backend import keras, tensorflow
from app.ml.hdf5 import Unfit, Weights, first_line, read, short
from app.subsystems.dt.preprocess import BINS, row_scaled

if TYPE_CHECKING:
    from keras import Layer, Model

input_scaling = row_scaled  # the input of such networks: each row divided by its greatest absolute value

MOST_VALUES = 1_000_000  # largest size of one row between two layers: 4 MB
# What Keras raises for incompatible settings.
MISFIT = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, NotImplementedError)

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class _Setting:
    """The values allowed for a key of a layer's config: `of` returns Keras 3's value, or raises one of `MISFIT`."""

    accepted: str
    of: Callable[[Any], Any]


def _whole(value: Any) -> int:
    if isinstance(value, list) and len(value) == 1:  # Keras wrote both 5 and [5]
        value = value[0]
    if type(value) is not int or not 1 <= value <= MOST_VALUES:
        raise ValueError
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError
    return float(value)


def _axis(value: Any) -> int:
    return -1 if value in (-1, [-1]) else _whole(value)


def _target(value: Any) -> tuple[int, ...]:
    return tuple(-1 if size == -1 else _whole(size) for size in value)


def _one_of(*values: Any, **renamed: str) -> _Setting:
    table = {**dict(zip(values, values, strict=True)), **renamed}
    return _Setting(" or ".join(json.dumps(value) for value in table), table.__getitem__)


def _or_none(setting: _Setting) -> _Setting:
    return _Setting(f"{setting.accepted}, or null", lambda value: None if value is None else setting.of(value))


WHOLE = _Setting(f"a whole number from 1 to {MOST_VALUES:,}", _whole)
NUMBER = _Setting("a number", _number)
SWITCH = _one_of(False, True)
LAST = _one_of("channels_last")
PADDING = _one_of("valid", "same")
# Those with the same meaning today. Not hard_sigmoid, whose slope was 1/5 and is now 1/6.
ACTIVATION = _one_of(
    *("linear", "relu", "sigmoid", "softmax", "tanh", "elu", "selu", "softplus", "softsign"),
    softmax_v2="softmax",  # as written by TensorFlow 1.15 to 2.1
)
UNREAD = None  # known, without effect on the scores

ANY_LAYER = ("name", "trainable", "dtype", "batch_input_shape")  # keys of every layer, read elsewhere or irrelevant
TRAINING_ONLY = ("_initializer", "_regularizer", "_constraint")  # suffixes of keys without effect on the scores


@dataclass(frozen=True)
class _LayerType:
    """A supported type of layer, and the allowed contents of its config.

    Attributes:
        settings: the allowed values by key; `UNREAD` if irrelevant.
        rank: of the input, with the batch; `None` if it takes any.
        weights: the shape of each weight, from the settings and the input's shape.
    """

    settings: Mapping[str, _Setting | None] = field(default_factory=dict)
    rank: int | None = None
    weights: Callable[[dict[str, Any], Shape], dict[str, Shape]] = lambda settings, taken: {}


def _conv_weights(settings: dict[str, Any], taken: Shape) -> dict[str, Shape]:
    kernel = (settings["kernel_size"], taken[-1] // settings.get("groups", 1), settings["filters"])
    return {"kernel": kernel, **({"bias": kernel[-1:]} if settings.get("use_bias", True) else {})}


def _dense_weights(settings: dict[str, Any], taken: Shape) -> dict[str, Shape]:
    kernel = (taken[-1], settings["units"])
    return {"kernel": kernel, **({"bias": kernel[-1:]} if settings.get("use_bias", True) else {})}


def _norm_weights(settings: dict[str, Any], taken: Shape) -> dict[str, Shape]:
    names = {"gamma": settings.get("scale", True), "beta": settings.get("center", True)}
    names |= {"moving_mean": True, "moving_variance": True}
    return {name: (taken[settings.get("axis", -1)],) for name, there in names.items() if there}


_POOLING = _LayerType({"pool_size": WHOLE, "strides": _or_none(WHOLE), "padding": PADDING, "data_format": LAST}, rank=3)
_GLOBAL_POOLING = _LayerType({"data_format": LAST, "keepdims": SWITCH}, rank=3)
KINDS = {
    "InputLayer": _LayerType({"sparse": _one_of(False), "ragged": _one_of(False)}),
    "Reshape": _LayerType({"target_shape": _Setting("a list of whole numbers", _target)}),
    "Conv1D": _LayerType(
        {key: WHOLE for key in ("filters", "kernel_size", "strides", "dilation_rate", "groups")}
        | {"padding": _one_of("valid", "same", "causal"), "data_format": LAST, "use_bias": SWITCH}
        | {"activation": ACTIVATION},
        rank=3,
        weights=_conv_weights,
    ),
    "MaxPooling1D": _POOLING,
    "AveragePooling1D": _POOLING,
    "GlobalMaxPooling1D": _GLOBAL_POOLING,
    "GlobalAveragePooling1D": _GLOBAL_POOLING,
    "Flatten": _LayerType({"data_format": LAST}),
    "Dense": _LayerType({"units": WHOLE, "activation": ACTIVATION, "use_bias": SWITCH}, weights=_dense_weights),
    "Dropout": _LayerType({"rate": NUMBER, "noise_shape": UNREAD, "seed": UNREAD}),
    "Activation": _LayerType({"activation": ACTIVATION}),
    "ReLU": _LayerType({"max_value": _or_none(NUMBER), "negative_slope": NUMBER, "threshold": NUMBER}),
    "BatchNormalization": _LayerType(
        {"axis": _Setting("one axis", _axis), "momentum": NUMBER, "epsilon": NUMBER, "center": SWITCH, "scale": SWITCH},
        weights=_norm_weights,
    ),
}
# Supported outputs of the last layer: P(good) and P(bad), or P(bad) alone.
BOTH, BAD_ALONE = ("softmax", 2), ("sigmoid", 1)


@dataclass(frozen=True)
class _Described:
    """A layer of the file: its name, its type, and its config in terms of Keras 3."""

    name: str
    type: str
    settings: dict[str, Any]


def read_row_network(path: Path) -> Model:
    """Rebuild the row network in a Keras 2 `.h5` file, with its weights.

    Returns:
        A network that takes float32 (n, 47), each row scaled by `input_scaling`, and gives (n, 2): P(good) and P(bad).
        If the original takes (n, 47, 1), a Reshape comes first. If it gives one number by sigmoid, this is taken as
        P(bad), and a final linear layer of four fixed weights converts it to 1 − p and p.

    Raises:
        ModelRefused: the file is damaged, unsupported or inconsistent; says what is wrong.
    """
    try:
        config, weights = read(path)
        chain, taken = _chain(config)
        return _built(chain, taken, weights)
    except (Unfit, RecursionError) as reason:
        raise ModelRefused(f"{path.name} cannot be used: {reason}.") from None


def _chain(config: Any) -> tuple[list[_Described], Shape]:
    """The layers in order, without the input layer, and the shape of the network's input."""
    match config:
        case {"class_name": "Sequential", "config": [*entries]}:  # until Keras 2.2.2
            shape = None
        case {"class_name": "Sequential", "config": {"layers": [*entries], **others}}:
            shape = others.get("build_input_shape")
        case {"class_name": str(other)} if other != "Sequential":
            raise Unfit(f"it is a network of the type {short(other)}, and only Sequential ones are understood")
        case _:
            raise Unfit("its model_config describes no network")
    chain = [_described(entry) for entry in entries]
    names = [one.name for one in chain]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Unfit(f"two layers are called {short(twice[0])}")
    if any(one.type == "InputLayer" for one in chain[1:]) or not chain:
        raise Unfit("it has no layers, or an input layer that is not the first")
    shape = entries[0]["config"].get("batch_input_shape", shape)
    if shape not in ([None, BINS], [None, BINS, 1]):
        raise Unfit(f"it takes inputs of the shape {short(shape)}, and not rows of {BINS} bins")
    return chain[chain[0].type == "InputLayer" :], tuple(shape)


def _described(entry: Any) -> _Described:
    match entry:
        case {"class_name": str(type_), "config": {"name": str(name), **rest}}:
            config = {str(key): value for key, value in rest.items()}
        case _:
            raise Unfit(f"its model_config has {short(entry)} in place of a layer")
    who = f"the layer {short(name)}"
    if type_ not in KINDS or entry.get("registered_name") not in (None, type_):
        type_ = entry.get("registered_name") or type_
        raise Unfit(f"{who} is of the type {short(type_)}, and only {', '.join(KINDS)} are understood")
    if entry.get("module") not in (None, "keras.layers"):
        raise Unfit(f"{who} is of the module {short(entry['module'])}, and not Keras's own")
    dtype = config.get("dtype")
    if dtype not in (None, "float32") and not (isinstance(dtype, dict) and dtype.get("config") == {"name": "float32"}):
        raise Unfit(f"{who} has the dtype {short(dtype)}, but must have float32")
    settings = {}
    kind = KINDS[type_].settings
    for key, value in config.items():
        if key in ANY_LAYER or key.endswith(TRAINING_ONLY):
            continue
        if key not in kind:
            raise Unfit(f"{who}, a {type_}, has a setting {short(key)}, which is not understood")
        if kind[key] is not UNREAD:
            try:
                settings[key] = kind[key].of(value)
            except MISFIT:
                raise Unfit(f"{who} has {key} {short(value)}, but must have {kind[key].accepted}") from None
    return _Described(name, type_, settings)


def _built(chain: list[_Described], taken: Shape, weights: Weights) -> Model:
    """The network, after checking every weight: until then nothing of a size claimed by the config is allocated."""
    layers = keras().layers
    made = [keras().Input((BINS,))]
    if len(taken) == 3:
        made.append(layers.Reshape(taken[1:], name="driftwatch_rows"))
    for one in chain:
        layer, taken = _made(one, taken, weights.get(one.name, {}))
        made.append(layer)
    if unused := sorted(name for name in weights.keys() - {one.name for one in chain}):
        raise Unfit(f"it has weights of the layer {short(unused[0])}, which its model_config does not have")
    given = (next((one.settings.get("activation") for one in chain[::-1] if one.type != "Dropout"), None), *taken[1:])
    if given not in (BOTH, BAD_ALONE):
        raise Unfit(
            f"its last layer gives {list(taken[1:])} numbers by {given[0] or 'no function'}, "
            "but must give two by softmax or one by sigmoid"
        )
    if given == BAD_ALONE:
        made.append(layers.Dense(2, name="driftwatch_both"))
    try:
        network = keras().Sequential(made, name="row_network")
        for one in chain:
            layer = network.get_layer(one.name)
            layer.set_weights([weights[one.name][variable.name] for variable in layer.weights])
        if given == BAD_ALONE:
            network.layers[-1].set_weights([np.array([[-1.0, 1.0]]), np.array([1.0, 0.0])])
        scores = network(np.eye(BINS + 1, BINS, dtype=np.float32)).numpy()
    except (*MISFIT, tensorflow().errors.OpError) as error:
        raise Unfit(f"its layers do not go together: {first_line(error)}") from None
    if not np.isfinite(scores).all():
        raise Unfit(f"it gives {scores[~np.isfinite(scores)][0]} for a score")
    return network


def _made(one: _Described, taken: Shape, weights: dict[str, np.ndarray]) -> tuple[Layer, Shape]:
    """The layer, not yet built, and the shape of its output, after checking its weights."""
    who, kind = f"the layer {short(one.name)}", KINDS[one.type]
    if kind.rank not in (None, len(taken)):
        raise Unfit(f"{who}, a {one.type}, cannot take {list(taken[1:])} numbers")
    try:
        layer = getattr(keras().layers, one.type)(**one.settings, name=one.name)
        given = tuple(layer.compute_output_shape(taken))
        expected = kind.weights(one.settings, taken)
    except MISFIT as error:
        raise Unfit(f"{who}, a {one.type}, cannot be made: {first_line(error)}") from None
    if not all(type(size) is int and size > 0 for size in given[1:]) or math.prod(given[1:]) > MOST_VALUES:
        raise Unfit(f"{who} would give {list(given[1:])} numbers of one row")
    if weights.keys() != expected.keys():
        raise Unfit(
            f"{who} has the weights {short(', '.join(sorted(weights)) or 'none')}, "
            f"but a {one.type} has {', '.join(sorted(expected)) or 'none'}"
        )
    for name, shape in expected.items():
        if weights[name].shape != shape:
            raise Unfit(f"the {name} of {who} has the shape {list(weights[name].shape)}, but must have {list(shape)}")
    return layer, given
