"""torch.optim in NumPy: the same names, arguments and steps."""

from numpy_impl.optim import lr_scheduler, swa_utils
from numpy_impl.optim.adagrad import Adagrad
from numpy_impl.optim.adam import Adam
from numpy_impl.optim.momentgd import MomentGD
from numpy_impl.optim.optimizer import Optimizer
from numpy_impl.optim.sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "MomentGD", "Optimizer", "lr_scheduler", "swa_utils"]
