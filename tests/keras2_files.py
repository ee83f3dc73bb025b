"""Writes row networks as Keras 2 did, with the weights of a twin that today's Keras made."""

import json

import h5py
import numpy as np

from app.ml.backend import keras

INITIALIZER = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None},
}
TRAINING = {
    **{"kernel_initializer": INITIALIZER, "bias_initializer": {"class_name": "Zeros", "config": {}}},
    **dict.fromkeys(("kernel_regularizer", "bias_regularizer", "activity_regularizer")),
    **dict.fromkeys(("kernel_constraint", "bias_constraint")),
}
NORM_TRAINING = {
    **{f"{name}_initializer": INITIALIZER for name in ("beta", "gamma", "moving_mean", "moving_variance")},
    **dict.fromkeys(("beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint")),
}


def layer(class_name, name, **config):
    return {"class_name": class_name, "config": {"name": name, "trainable": True, **config}}


def reshape(**config):
    start = {"batch_input_shape": [None, 47], "dtype": "float32"}
    return layer("Reshape", "reshape_1", **start, **{"target_shape": [47, 1], **config})


def conv(name="conv1d_1", filters=10, **config):
    usual = {"kernel_size": [3], "strides": [1], "padding": "valid", "data_format": "channels_last"}
    usual |= {"dilation_rate": [1], "activation": "relu", "use_bias": True}
    return layer("Conv1D", name, filters=filters, **{**usual, **config}, **TRAINING)


def pool(class_name="MaxPooling1D", **config):
    return layer(class_name, "pooling_1", **{"strides": [5], "pool_size": [5], "padding": "valid", **config})


def dense(name, units, activation, **config):
    return layer("Dense", name, units=units, activation=activation, **{"use_bias": True, **config}, **TRAINING)


def of_2018():
    flat = layer("Flatten", "flatten_1")
    return [reshape(), conv(), pool(), flat, dense("dense_1", 8, "relu"), dense("dense_2", 2, "softmax")]


def twin_of_2018():
    layers = keras().layers
    return [
        layers.Reshape((47, 1), name="reshape_1"),
        layers.Conv1D(10, 3, activation="relu", name="conv1d_1"),
        layers.MaxPooling1D(5, name="pooling_1"),
        layers.Flatten(name="flatten_1"),
        layers.Dense(8, activation="relu", name="dense_1"),
        layers.Dense(2, activation="softmax", name="dense_2"),
    ]


def twin(layers, shape=(47,), seed=1):
    """A network of these layers with random weights, and the weights by layer and name."""
    network = keras().Sequential([keras().Input(shape), *layers])
    rng, weights = np.random.default_rng(seed), {}
    for one in network.layers:
        given = [rng.uniform(0.1, 1, w.shape) if "var" in w.name else rng.normal(0, 0.5, w.shape) for w in one.weights]
        one.set_weights(given)
        weights[one.name] = {w.name: np.float32(x) for w, x in zip(one.weights, given, strict=True)}
    return network, weights


def bare(entries):
    """As `Sequential.get_config` was until Keras 2.2.2."""
    return {"class_name": "Sequential", "config": entries}


def named(entries):
    """As it was from Keras 2.2.3 on."""
    return {"class_name": "Sequential", "config": {"name": "sequential_1", "layers": entries}}


def with_input_layer(entries):
    """As tf.keras 2.15 wrote it, with the marks of a newer format."""
    start = {"batch_input_shape": [None, 47], "dtype": "float32", "sparse": False, "ragged": False, "name": "input_1"}
    policy = {"module": "keras", "class_name": "Policy", "config": {"name": "float32"}, "registered_name": None}
    marked = [
        {"module": "keras.layers", "registered_name": None, "build_config": {"input_shape": [None, 47]}, **entry}
        | {"config": {**entry["config"], "dtype": policy}}
        for entry in entries
    ]
    return named([{"class_name": "InputLayer", "config": start}, *marked])


def with_build_shape(entries):
    """As tf.keras wrote a network that was given no shape before it saw data."""
    entries[0]["config"].pop("batch_input_shape", None)
    config = named(entries)
    config["config"]["build_input_shape"] = {"class_name": "TensorShape", "items": [None, 47]}
    return config


def write(
    path, config, weights, version="2.1.6", backend="tensorflow", order=lambda names: names, scope="", text=bytes
):
    """Write a whole network as Keras 2 did, with the state of an optimizer, which is of no matter here."""

    def said(some):
        return some if text is str else text(some.encode())

    with h5py.File(path, "w") as file:
        file.attrs.update({"keras_version": said(version), "backend": said(backend)})
        file.attrs["model_config"] = said(json.dumps(config))
        file.attrs["training_config"] = said(json.dumps({"loss": "categorical_crossentropy", "metrics": ["accuracy"]}))
        top = file.create_group("model_weights")
        top.attrs["layer_names"] = [name.encode() for name in weights]
        top.attrs.update({"keras_version": said(version), "backend": said(backend)})
        for name in order(list(weights)):
            group = top.create_group(name)
            inside = [f"{scope}{name}/{weight}:0" for weight in order(list(weights[name]))]
            group.attrs["weight_names"] = [one.encode() for one in inside]
            for one in inside:
                group[one] = weights[name][one.split("/")[-1].removesuffix(":0")]
        state = file.create_group("optimizer_weights")
        state.attrs["weight_names"] = [b"Adam/iterations:0"]
        state["Adam/iterations:0"] = np.int64(7)
    return path
