"""torch.autograd: gradients without touching any ``grad``; operations of one's own."""

from numpy_impl.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from numpy_impl.tensor.tensor import grad

__all__ = ["enable_grad", "grad", "inference_mode", "no_grad", "set_grad_enabled"]
