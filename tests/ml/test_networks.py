import numpy as np
import pytest

from app.errors import InvalidInput
from app.subsystems.dt.learning.networks import ARCHITECTURES, architecture
from app.subsystems.dt.preprocess import BINS, layer_bins
from app.subsystems.dt.simulate import simulate_chambers

pytestmark = pytest.mark.slow


def test_the_network_of_2018_has_786_parameters_in_its_layers():
    network = architecture("row-cnn").build()
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["Reshape", "Conv1D", "MaxPooling1D", "Flatten", "Dense", "Dense"]
    assert network.count_params() == 786


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_an_architecture_makes_of_bins_is_what_its_network_takes(name):
    occupancies = [simulated.occupancy for simulated in simulate_chambers(3, seed=1)]
    bins = layer_bins(occupancies)
    inputs = architecture(name).inputs(occupancies, bins)
    network = architecture(name).build()
    assert inputs.dtype == np.float32
    assert inputs.shape[2:] == architecture(name).shape
    assert inputs.shape[:2] == bins.shape[:2]
    assert network.input_shape == (None, *inputs.shape[2:])
    assert network.output_shape == (None, 2)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_its_two_outputs_are_complements(name):
    network = architecture(name).build()
    inputs = np.random.default_rng(1).random((5, *network.input_shape[1:]), np.float32)
    assert network(inputs).numpy().sum(axis=1) == pytest.approx(np.ones(5))


def test_the_row_network_cannot_tell_a_layer_from_one_with_half_its_hits():
    kind = architecture("row-cnn")
    row = np.random.default_rng(1).poisson(40, (1, 1, BINS)).astype(np.float32)
    assert not kind.sees_rate
    assert np.array_equal(kind.inputs([], row), kind.inputs([], row / 2))


def test_an_unknown_architecture_is_refused_with_those_that_exist():
    with pytest.raises(InvalidInput, match="'resnet', but must be one of chamber-scan, chamber-cnn, row-cnn"):
        architecture("resnet")
