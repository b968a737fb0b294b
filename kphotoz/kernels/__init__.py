"""Kernels that trained networks define, and what can be solved exactly with them."""

from kphotoz.kernels.conjugate_kernel import ConjugateKernel
from kphotoz.kernels.kernel_logistic_regression import KernelLogisticRegression
from kphotoz.kernels.least_squares import LeastSquares
from kphotoz.kernels.neural_tangent_kernel import NeuralTangentKernel

__all__ = [
    "ConjugateKernel",
    "KernelLogisticRegression",
    "LeastSquares",
    "NeuralTangentKernel",
]
