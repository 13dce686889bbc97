"""Programs as PyTorch users write them, which run on either library.

Each module has three functions: ``build(torch, nn, F)`` makes the model from the namespaces it is
given (``torch`` or ``numpy_impl``, its ``nn``, and ``nn.functional``), ``batch(rng)`` draws NumPy
arrays, and ``loss(model, batch, torch, F)`` is one step's loss of them as Tensors.
"""

from types import ModuleType

from experiments.programs import (
    actor_critic,
    dcgan,
    gcn,
    gpt,
    lstm_cell_loop,
    mnist_cnn,
    mobilenet_v2,
    resnet,
    row_lstm,
    siamese,
    unet,
    vae,
    word_language_model,
)

PROGRAMS: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        actor_critic,
        dcgan,
        gcn,
        gpt,
        lstm_cell_loop,
        mnist_cnn,
        mobilenet_v2,
        resnet,
        row_lstm,
        siamese,
        unet,
        vae,
        word_language_model,
    )
}

__all__ = ["PROGRAMS"]
