"""Running the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from livf.lib.errors import ModelError, UsageError
from livf.lib.segmentation import runtime
from livf.lib.segmentation.network import UNet3D


@pytest.fixture
def network():
    """A network whose batch normalisation is no identity."""
    torch.manual_seed(0)
    network = UNet3D((3, 5, 7))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            for tensor in (module.running_mean, module.bias.data):
                tensor.normal_(0, 0.5)
            for tensor in (module.running_var, module.weight.data):
                tensor.uniform_(0.5, 2)
    return network.eval()


def test_folding_changes_nothing_but_the_layers(network):
    image = torch.randn(1, 1, 17, 12, 9)
    with torch.inference_mode():
        expected = network(image)
        runtime.fold(network)
        found = network(image)
    assert not any(isinstance(module, torch.nn.BatchNorm3d) for module in network.modules())
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_probabilities_are_those_of_the_network(network):
    array = np.random.default_rng(0).normal(size=(17, 12, 9)).astype(np.float32)
    with torch.inference_mode():
        expected = torch.softmax(network(torch.from_numpy(array)[None, None])[0], dim=0).numpy()
    found = runtime.Runtime(network, torch.device("cpu"))(array)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


def test_the_same_input_gives_the_same_output(network):
    run = runtime.Runtime(network, torch.device("cpu"))
    run.warm((16, 16, 16))
    array = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    np.testing.assert_array_equal(run(array), run(array))


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "meta", "cuda:99"])
def test_what_is_no_device_here_is_refused(name):
    with pytest.raises(UsageError):
        runtime.choose_device(name)


def test_without_a_name_it_is_a_gpu_if_there_is_one():
    assert runtime.choose_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert runtime.choose_device("cpu").type == "cpu"


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_too_little_memory_is_one_line(network):
    run = runtime.Runtime(network, torch.device("cpu"))
    huge = np.broadcast_to(np.float32(0), (2**14, 2**14, 2**14))
    with pytest.raises(ModelError, match="too little memory"):
        run(huge)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_gives_what_the_cpu_gives(network):
    array = np.random.default_rng(0).normal(size=(32, 32, 32)).astype(np.float32)
    import copy

    on_cpu = runtime.Runtime(copy.deepcopy(network), torch.device("cpu"))(array)
    on_gpu = runtime.Runtime(network, torch.device("cuda"))(array)
    assert np.abs(on_cpu - on_gpu).max() < 0.05
