"""Files are written here as Keras 2 wrote them, with the weights of a twin that today's Keras made."""

import json
import re
import subprocess
import sys
from contextlib import suppress

import h5py
import numpy as np
import pytest
from drawn import cases
from hypothesis import example, given
from hypothesis import strategies as st
from keras2_files import (
    NORM_TRAINING,
    bare,
    conv,
    dense,
    layer,
    named,
    of_2018,
    twin,
    twin_of_2018,
    with_build_shape,
    with_input_layer,
    write,
)

from app.errors import ModelRefused
from app.ml.backend import keras, numpy_2_forgiven
from app.subsystems.dt.learning.keras2 import KINDS, input_scaling, read_row_network
from app.subsystems.dt.preprocess import BINS
from config import ROOT

pytestmark = pytest.mark.slow


def rows(n=200):
    return input_scaling(np.random.default_rng(2).poisson(20, (n, BINS)).astype(np.float32))


def scores(network, inputs):
    with numpy_2_forgiven():
        return network(inputs).numpy()


def assert_twins(network, expected, inputs=None):
    given = rows()
    assert scores(network, given) == pytest.approx(scores(expected, given if inputs is None else inputs), abs=1e-6)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "old.h5"


@pytest.fixture(scope="module")
def made():
    return twin(twin_of_2018())


@pytest.fixture(scope="module")
def file_of_2018(made, tmp_path_factory):
    return write(tmp_path_factory.mktemp("old") / "old.h5", bare(of_2018()), made[1])


def refusal(path):
    with pytest.raises(ModelRefused) as caught:
        read_row_network(path)
    said = str(caught.value)
    assert said.startswith(f"{path.name} cannot be used: ")
    assert said.endswith(".")
    assert "\n" not in said
    assert len(said) < 400
    return said


def test_importing_it_imports_neither_tensorflow_nor_h5py():
    script = (
        "import sys, app.subsystems.dt.learning.keras2\nassert not {'tensorflow', 'keras', 'h5py'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


@pytest.mark.parametrize("form", [bare, named, with_input_layer, with_build_shape])
@pytest.mark.parametrize("text", [bytes, str, np.bytes_])  # each was written at some time
def test_the_network_of_2018_gives_the_same_scores_as_its_twin(path, made, form, text):
    network = read_row_network(write(path, form(of_2018()), made[1], text=text))
    assert_twins(network, made[0])
    assert (network.count_params(), network.input_shape, network.output_shape) == (786, (None, 47), (None, 2))
    assert [one.name for one in network.layers] == [one["config"]["name"] for one in of_2018()]


def test_todays_keras_refuses_the_very_file(file_of_2018):
    with pytest.raises(TypeError, match="pop expected at most 1 argument, got 2"):
        keras().saving.load_model(file_of_2018, compile=False)


def test_the_order_and_the_scope_of_the_weights_in_the_file_do_not_matter(path, made):
    network = read_row_network(write(path, bare(of_2018()), made[1], order=lambda names: names[::-1], scope="run_2/"))
    assert_twins(network, made[0])


def test_a_list_of_names_that_is_split_or_missing_does_not_matter(path, made):
    write(path, bare(of_2018()), made[1])
    with h5py.File(path, "r+") as file:
        names = file["model_weights"].attrs.pop("layer_names")
        file["model_weights"].attrs.update({"layer_names0": names[:3], "layer_names1": names[3:]})
        del file["model_weights/dense_1"].attrs["weight_names"]
    assert_twins(read_row_network(path), made[0])


def test_weights_of_double_precision_or_the_other_byte_order_are_read(path, made):
    weights = {name: {key: x.astype(">f8") for key, x in some.items()} for name, some in made[1].items()}
    assert_twins(read_row_network(write(path, bare(of_2018()), weights)), made[0])


def test_the_rebuilt_network_can_be_kept_as_a_file_of_today(path, made, file_of_2018):
    kept = path.with_suffix(".keras")
    with numpy_2_forgiven():
        read_row_network(file_of_2018).save(kept)
        assert_twins(keras().saving.load_model(kept, compile=False, safe_mode=True), made[0])


def every_kind():
    """A network with a layer of each kind that the one of 2018 lacks, as config and as twin, by the last pooling."""
    layers = keras().layers
    first = conv("a", 6, padding="causal", dilation_rate=[2], activation="linear")
    first["config"]["batch_input_shape"] = [None, 47, 1]
    entries = [
        first,
        layer("BatchNormalization", "b", axis=-1, momentum=0.9, epsilon=0.01, center=True, scale=True, **NORM_TRAINING),
        layer("ReLU", "c", max_value=2.0, negative_slope=0.1, threshold=0.0),
        layer("AveragePooling1D", "d", strides=2, pool_size=3, padding="same", data_format="channels_last"),
        layer("Dropout", "e", rate=0.5, noise_shape=None, seed=None),
        conv("f", 4, padding="same", strides=[2], use_bias=False, activation="tanh", groups=2),
        layer("Activation", "g", activation="softsign"),
    ]
    made = [
        layers.Conv1D(6, 3, padding="causal", dilation_rate=2, name="a"),
        layers.BatchNormalization(momentum=0.9, epsilon=0.01, name="b"),
        layers.ReLU(2.0, 0.1, name="c"),
        layers.AveragePooling1D(3, 2, padding="same", name="d"),
        layers.Dropout(0.5, name="e"),
        layers.Conv1D(4, 3, 2, padding="same", use_bias=False, activation="tanh", groups=2, name="f"),
        layers.Activation("softsign", name="g"),
    ]
    return entries, made


@pytest.mark.parametrize("last", ["GlobalMaxPooling1D", "GlobalAveragePooling1D"])
def test_every_kind_of_layer_gives_what_it_gives_today(path, last):
    entries, layers = every_kind()
    entries += [layer(last, "h"), dense("i", 2, "softmax")]
    layers += [getattr(keras().layers, last)(name="h"), keras().layers.Dense(2, activation="softmax", name="i")]
    expected, weights = twin(layers, (47, 1))
    network = read_row_network(write(path, named(entries), weights, version="2.2.4"))
    assert network.input_shape == (None, 47)
    assert_twins(network, expected, rows()[:, :, None])


def test_the_tests_know_every_kind_of_layer():
    used = {one["class_name"] for one in [*of_2018(), *every_kind()[0]]}
    assert used | {"InputLayer", "GlobalMaxPooling1D", "GlobalAveragePooling1D"} == set(KINDS)


def test_one_output_by_sigmoid_is_the_probability_of_bad(path):
    expected, weights = twin([*twin_of_2018()[:-1], keras().layers.Dense(1, activation="sigmoid", name="dense_2")])
    entries = [*of_2018()[:-1], dense("dense_2", 1, "linear"), layer("Activation", "last", activation="sigmoid")]
    network = read_row_network(write(path, bare(entries), weights))
    assert network.output_shape == (None, 2)
    assert scores(network, rows())[:, 1] == pytest.approx(scores(expected, rows())[:, 0], abs=1e-6)
    assert scores(network, rows()).sum(axis=1) == pytest.approx(np.ones(200))


def changed(i, class_name=None, marks=None, **config):
    """The config of 2018 with another layer i (counted from 0)."""
    entries = of_2018()
    entries[i] = {**entries[i], **(marks or {}), "config": {**entries[i]["config"], **config}}
    entries[i]["class_name"] = class_name or entries[i]["class_name"]
    return bare(entries)


FUNCTIONAL = {"class_name": "Model", "config": {"name": "m", "layers": [], "input_layers": [], "output_layers": []}}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (changed(4, "Lambda", function=["4wEAAA==", None, None]), "the layer dense_1 is of the type Lambda, and only"),
        (changed(4, "MyDense"), "the layer dense_1 is of the type MyDense, and only"),
        (changed(4, "Sequential"), "of the type Sequential, and only"),
        (changed(4, "__class__"), "of the type __class__, and only"),
        (changed(4, marks={"registered_name": "mine>Dense"}), "of the type mine>Dense, and only"),
        (changed(4, marks={"module": "mine.layers"}), "the layer dense_1 is of the module mine.layers"),
        (changed(4, activation="mine"), 'the layer dense_1 has activation mine, but must have "linear" or "relu"'),
        (changed(4, activation={"class_name": "function", "config": "f"}), 'dense_1 has activation {"class_name"'),
        (changed(4, activation="hard_sigmoid"), "has activation hard_sigmoid, but must have"),
        (changed(4, output_dim=8), "the layer dense_1, a Dense, has a setting output_dim, which is not understood"),
        (changed(4, units=-8), "the layer dense_1 has units -8, but must have a whole number from 1"),
        (changed(4, units=10**30), "the layer dense_1 has units 10000000000"),
        (changed(4, units=True), "the layer dense_1 has units true"),
        (changed(4, units=9), "the kernel of the layer dense_1 has the shape [90, 8], but must have [90, 9]"),
        (changed(4, units=1_000_000), "must have [90, 1000000]"),
        (changed(4, use_bias=False), "the layer dense_1 has the weights bias, kernel, but a Dense has kernel"),
        (changed(4, dtype="float64"), "the layer dense_1 has the dtype float64, but must have float32"),
        (changed(4, name="dense_2"), "two layers are called dense_2"),
        (changed(4, name="dense_9"), "the layer dense_9 has the weights none, but a Dense has bias, kernel"),
        (changed(4, name=4), "in place of a layer"),
        (changed(3, name="driftwatch/3"), "the layer driftwatch/3, a Flatten, cannot be made: "),
        (changed(3, "Dense", units=8), "the layer flatten_1 has the weights none"),
        (changed(2, "GlobalMaxPooling1D"), "has a setting strides, which is not understood"),
        (changed(2, pool_size=[5, 5]), "the layer pooling_1 has pool_size [5, 5], but must have a whole number"),
        (
            changed(2, pool_size=46),
            "the layer pooling_1, a MaxPooling1D, cannot be made: Computed output size would be zero",
        ),
        (changed(1, data_format="channels_first"), 'data_format channels_first, but must have "channels_last"'),
        (changed(1, filters=1_000_000), "the layer conv1d_1 would give [45, 1000000] numbers of one row"),
        (
            changed(1, kernel_size=[5]),
            "the kernel of the layer conv1d_1 has the shape [3, 1, 10], but must have [5, 1, 10]",
        ),
        (changed(1, strides=[2], dilation_rate=[2]), "the layer conv1d_1, a Conv1D, cannot be made: "),
        (changed(0, target_shape=[48, 1]), "the layer reshape_1, a Reshape, cannot be made: "),
        (changed(0, target_shape=47), "the layer reshape_1 has target_shape 47"),
        (changed(0, target_shape=[47]), "the layer conv1d_1, a Conv1D, cannot take [47] numbers"),
        (changed(0, batch_input_shape=[None, 48]), "it takes inputs of the shape [null, 48], and not rows of 47 bins"),
        (changed(0, batch_input_shape=[32, 47]), "it takes inputs of the shape [32, 47]"),
        (changed(0, batch_input_shape=None), "it takes inputs of the shape null"),
        (changed(5, activation="relu"), "its last layer gives [2] numbers by relu, but must give two by softmax"),
        (changed(5, activation="sigmoid"), "its last layer gives [2] numbers by sigmoid"),
        (bare([*of_2018(), layer("Flatten", "end")]), "its last layer gives [2] numbers by no function"),
        (bare(of_2018()[:-1]), "it has weights of the layer dense_2, which its model_config does not have"),
        (bare([]), "it has no layers"),
        (bare([*of_2018(), layer("InputLayer", "i")]), "an input layer that is not the first"),
        (bare(["Dense"]), "its model_config has Dense in place of a layer"),
        (named({"layers": 3}), "its model_config describes no network"),
        (["Sequential"], "its model_config describes no network"),
        (FUNCTIONAL, "it is a network of the type Model, and only Sequential ones are understood"),
    ],
)
def test_a_config_with_anything_unknown_or_unfit_is_refused(path, made, config, said):
    assert said in refusal(write(path, config, made[1]))


@pytest.mark.parametrize("units", [1, 3])
def test_another_number_of_outputs_is_refused(path, units):
    _, weights = twin([*twin_of_2018()[:-1], keras().layers.Dense(units, activation="softmax", name="dense_2")])
    config = changed(5, units=units)
    assert f"its last layer gives [{units}] numbers by softmax" in refusal(write(path, config, weights))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.full(8, np.nan, "f4"), "/model_weights/dense_1/dense_1/bias:0 holds a number that is not finite"),
        (np.full(8, 1e300), "holds a number that is not finite"),  # as float32
        (np.full(8, 3e38, "f4"), "it gives nan for a score"),
        (np.zeros(8, int), "holds int64, not floating-point numbers"),
        (np.full(8, b"x"), "holds |S1, not floating-point numbers"),
        (np.zeros((8, 1), "f4"), "the bias of the layer dense_1 has the shape [8, 1], but must have [8]"),
        (h5py.Empty("f4"), "it is damaged"),
        (h5py.SoftLink("/optimizer_weights/Adam/iterations:0"), "dense_1/bias:0 is a soft link"),
        (h5py.ExternalLink("other.h5", "/bias"), "dense_1/bias:0 is a link into another file"),
        (np.dtype("f4"), "dense_1/bias:0 is neither a group nor a data set"),
    ],
)
def test_a_weight_that_is_not_what_it_should_be_is_refused(path, made, value, said):
    weights = {**made[1], "dense_1": {**made[1]["dense_1"], "bias": value}}
    if said.startswith("it gives"):
        weights["dense_2"] = {"kernel": np.full((8, 2), 1e38, "f4"), "bias": np.zeros(2, "f4")}
    assert said in refusal(write(path, bare(of_2018()), weights))


def stored(**layout):
    def change(file):
        group = file["model_weights/dense_1/dense_1"]
        del group["bias:0"]
        group.create_dataset("bias:0", **{"dtype": "f4", **layout})

    return change


def virtual(file):
    group = file["model_weights/dense_1/dense_1"]
    del group["bias:0"]
    layout = h5py.VirtualLayout((8,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "bias", (8,))
    group.create_virtual_dataset("bias:0", layout)


def cycle(file):
    file["optimizer_weights/again"] = file["optimizer_weights"]


def crowd(file):
    for i in range(2_000):
        file["optimizer_weights"].create_group(f"{i}")


def twice(file):
    file["model_weights/dense_1/other/bias:0"] = np.zeros(8, "f4")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (stored(shape=(8,), external=[("other.bin", 0, 32)]), "dense_1/bias:0 is stored in another file"),
        (virtual, "dense_1/bias:0 is stored in another file"),
        (stored(shape=(10**9,), chunks=(10**6,), compression="gzip"), "is compressed or in chunks"),
        (stored(shape=(8,), chunks=(8,)), "is compressed or in chunks"),
        (stored(shape=(10**6,)), "bias:0 with 1,000,000 numbers is too large for the file"),
        (cycle, "it holds more than 2,000 objects, or more than 20 within another"),
        (crowd, "it holds more than 2,000 objects"),
        (twice, "the layer dense_1 has two weights that are called bias"),
        (lambda file: file.move("model_weights/dense_1", "away"), "the layer dense_1 has the weights none"),
        (lambda file: file.attrs.pop("model_config"), "it has no model_config: only the weights were saved"),
        (lambda file: file.attrs.pop("keras_version"), "its keras_version is null"),
        (
            lambda file: file.attrs.update(keras_version=b"1.2.2"),
            "its keras_version is 1.2.2, and only files of Keras 2",
        ),
        (lambda file: file.attrs.update(keras_version="3.3.3"), "its keras_version is 3.3.3"),
        (lambda file: file.attrs.update(backend="theano"), "backend is theano, whose weights have a different layout"),
        (lambda file: file.attrs.update(model_config=3), "its attribute model_config is not a text"),
        (lambda file: file.attrs.update(model_config="x" * 1_000_001), "is not a text of at most 1,000,000 bytes"),
        (lambda file: file.attrs.update(model_config="{"), "its model_config is not JSON: Expecting property name"),
        (lambda file: file.attrs.update(model_config="[" * 30_000), "its model_config is not JSON: maximum recursion"),
        (lambda file: file.attrs.update(model_config=np.bytes_(b"\xff{}")), "it is damaged: 'utf-8' codec"),
    ],
)
def test_a_file_with_anything_that_keras_does_not_write_is_refused(path, made, change, said):
    write(path, bare(of_2018()), made[1])
    with h5py.File(path, "r+") as file:
        change(file)
    assert said in refusal(path)


def test_more_parameters_than_a_row_network_has_are_refused(path, made):
    weights = {**made[1], "dense_1": {"kernel": np.zeros((10_000, 1_000), "f2"), "bias": np.zeros(1, "f2")}}
    assert "is too large for the file or for a row network" in refusal(write(path, bare(of_2018()), weights))


@pytest.mark.parametrize("depth", [100, 400, 700, 950, 2000])
def test_a_config_nested_deeply_is_refused_at_any_depth(path, made, depth):
    write(path, bare(of_2018()), made[1])
    text = json.dumps(changed(4, units="NEST")).replace('"NEST"', "[" * depth + "]" * depth)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = text
    assert re.search("has units|recursion", refusal(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is not an HDF5 file: it begins with b''"),
        (b"PK\x03\x04 a .keras file", r"it is not an HDF5 file: it begins with b'PK\x03\x04 a .'"),
        (b"\x89HDF\r\n\x1a\n", "it is damaged: "),
    ],
)
def test_what_is_no_hdf5_file_is_refused(path, content, said):
    path.write_bytes(content)
    assert said in refusal(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "it cannot be read: No such file" in refusal(tmp_path / "none.h5")
    assert "it cannot be read: Is a directory" in refusal(tmp_path)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_file_that_is_being_written_is_not_called_damaged(path, libver):
    with h5py.File(path, "w", libver=libver) as file:
        file["a"] = 1
        file.flush()
        assert "another program has locked it, perhaps to write it: try again" in refusal(path)


def test_a_file_that_its_writer_never_closed_is_not_called_damaged(path, tmp_path):
    with h5py.File(tmp_path / "open.h5", "w", libver="latest") as file:
        file["a"] = 1
        file.flush()
        path.write_bytes((tmp_path / "open.h5").read_bytes())
    assert "another program is writing it, or ended before closing it" in refusal(path)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged") / "old.h5"


@cases(5, many=50)
@given(kept=st.floats(0, 1, exclude_max=True))
@example(kept=0.999)
def test_a_file_that_is_cut_off_anywhere_is_refused(file_of_2018, scratch, kept):
    whole = file_of_2018.read_bytes()
    scratch.write_bytes(whole[: int(kept * len(whole))])
    refusal(scratch)


@pytest.mark.soak  # it may take 5 s of processor time, and does
def test_one_flipped_bit_that_makes_the_hdf5_library_loop_is_refused(path, made):
    write(path, with_input_layer(of_2018()), made[1], text=str)
    flipped = bytearray(path.read_bytes())
    flipped[flipped.index(b"kernel:0\x13" + bytes(7) + b"\x11") + 16] ^= 0x40
    path.write_bytes(flipped)
    assert "it is damaged: the HDF5 library failed or did not finish" in refusal(path)


@cases(10, many=200)
@given(data=st.data())
def test_a_file_with_flipped_bits_is_refused_or_still_a_row_network(file_of_2018, scratch, data):
    flipped = bytearray(file_of_2018.read_bytes())
    written = [i for i, byte in enumerate(flipped) if byte]
    at = st.sampled_from(written) | st.integers(0, len(flipped) - 1)
    for i, bit in data.draw(st.lists(st.tuples(at, st.integers(0, 7)), min_size=1, max_size=10)):
        flipped[i] ^= 1 << bit
    scratch.write_bytes(flipped)
    with suppress(ModelRefused):
        network = read_row_network(scratch)
        assert (network.input_shape, network.output_shape) == ((None, 47), (None, 2))
