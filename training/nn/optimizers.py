"""Update rules by name. g: gradient; w: weights; lr: learning rate; all operations elementwise.

sgd       w <- w - lr g                                       (Robbins, Monro 1951)
momentum  v <- m v + g;  w <- w - lr v                        (Polyak 1964)
nesterov  v <- m v + g;  w <- w - lr (g + m v)                (Nesterov 1983; Sutskever et al. 2013)
adagrad   s <- s + g^2;  w <- w - lr g / (sqrt s + eps)       (Duchi, Hazan, Singer 2011)
adadelta  s <- r s + (1-r) g^2;  d = g sqrt(u + eps) / sqrt(s + eps);
          u <- r u + (1-r) d^2;  w <- w - lr d                (Zeiler 2012, algorithm 1)
rmsprop   s <- r s + (1-r) g^2;  w <- w - lr g / (sqrt s + eps)   (Tieleman, Hinton 2012)
adam      m <- b1 m + (1-b1) g;  s <- b2 s + (1-b2) g^2;
          w <- w - lr (m / (1-b1^t)) / (sqrt(s / (1-b2^t)) + eps)  (Kingma, Ba 2015, algorithm 1)
adamw     w <- w - lr d w, then adam                          (Loshchilov, Hutter 2019, algorithm 2)

Weight decay d is L2 regularisation, g <- g + d w, the gradient of d/2 ||w||^2 (Krogh, Hertz 1992),
for every rule but adamw, which decouples it from the gradient's scale as written above.
"""

from collections.abc import Iterable
from typing import Any

from torch import nn, optim
from torch.optim import Optimizer

from training.config import OptimizerConfig, RegularisationConfig


def parameter_groups(
    modules: Iterable[nn.Module], config: RegularisationConfig
) -> list[dict[str, Any]]:
    """Trainable parameters in two groups: matrices and kernels, which decay, and vectors.

    Biases and normalisation gains are vectors; they decay only if ``config.decay_biases``.
    """
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    vector_decay = config.weight_decay if config.decay_biases else 0.0
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": vector_decay},
    ]
    return [group for group in groups if group["params"]]


def make_optimizer(groups: list[dict[str, Any]], config: OptimizerConfig) -> Optimizer:
    """The rule called ``config.name`` over ``groups`` of ``parameter_groups``."""
    lr, eps = config.lr, config.eps
    match config.name:
        case "sgd":
            return optim.SGD(groups, lr)
        case "momentum":
            return optim.SGD(groups, lr, momentum=config.momentum)
        case "nesterov":
            return optim.SGD(groups, lr, momentum=config.momentum, nesterov=True)
        case "adagrad":
            return optim.Adagrad(groups, lr, eps=eps)
        case "adadelta":
            return optim.Adadelta(groups, lr, rho=config.rho, eps=eps)
        case "rmsprop":
            return optim.RMSprop(groups, lr, alpha=config.rho, eps=eps)
        case "adam":
            return optim.Adam(groups, lr, betas=(config.beta1, config.beta2), eps=eps)
        case "adamw":
            return optim.AdamW(groups, lr, betas=(config.beta1, config.beta2), eps=eps)
