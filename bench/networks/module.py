"""Networks that are torch modules, whose gradient autograd computes.

The parameters of K runs are one tensor of shape (K, P). Each run has its own module. The parameters
of the module are views into a row of the tensor, and their gradients are views into the same row of
the gradient. Each run also has its own buffers (the statistics of BatchNorm) and random numbers
(those of Dropout), so its results do not depend on the other runs of the stack.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import SpecError, kind_and_line
from bench.networks.layout import FlatLayout, aligned
from bench.spec.generator_state import GeneratorState


@dataclass(frozen=True)
class Runs:
    """Computations of K runs of one network, which hold the state of the runs.

    `gradient` is called with images (K, B, D), classes (K, B, 1) and a tensor (K, B, 1). It
    overwrites the gradient (K, P) that it was created with, which is that of the mean over the
    images, and the tensor with the log-likelihood of each class. `logits` computes logits
    (K, B, classes) of images (K, B, D) in evaluation mode, without side effects.
    """

    gradient: Callable[[Tensor, Tensor, Tensor], None]
    logits: Callable[[Tensor], Tensor]


def trainable(module: nn.Module) -> tuple[nn.Parameter, ...]:
    """Return the trained parameters; one that several layers share is included once."""
    return tuple(p for p in module.parameters() if p.requires_grad)


def flatten(module: nn.Module) -> Tensor:
    """Return the trained parameters of `module`, in its order, as a detached vector (P,)."""
    return torch.cat([p.detach().reshape(-1) for p in trainable(module)])


@dataclass(frozen=True)
class ModuleNetwork:
    """A network that a factory creates as a torch module.

    Attributes
    ----------
    name
        Name for messages.
    factory
        Creates a module with weights drawn from torch's global generator on the CPU. It gets float
        images (B, channels, height, width) from 0 to 1 and returns logits (B, n_classes).
    image_shape
        (channels, height, width).
    shapes
        Shapes of the trained parameters, in the order of ``module().parameters()``.
    """

    name: str
    factory: Callable[[], object]
    image_shape: tuple[int, int, int]
    n_classes: int
    shapes: tuple[torch.Size, ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        factory: Callable[[], object],
        image_shape: tuple[int, int, int],
        n_classes: int,
    ) -> ModuleNetwork:
        """Create a network, with shapes from a module that is created once.

        The global random generators do not change.
        """
        network = cls(name, factory, image_shape, n_classes)
        with GeneratorState(0).active():
            return replace(network, shapes=_shapes(network._new_module()))

    @property
    def layout(self) -> FlatLayout:
        """Layout of the trained parameters, in the order of ``module().parameters()``."""
        return FlatLayout(self.shapes)

    def module(self) -> nn.Module:
        """Return a new module, initialised with the global random generators.

        Raise SpecError if the factory fails, or its module cannot be trained.
        """
        module = self._new_module()
        if _shapes(module) != self.shapes:
            raise self.error("the shapes of its parameters differ each time that it is created")
        return module

    def runs(
        self,
        modules: Sequence[nn.Module],
        seeds: Sequence[int],
        parameters: Tensor,
        gradient: Tensor,
        _batch_size: int,
    ) -> Runs:
        """Bind the parameters of `modules` to the rows of `parameters` and `gradient` (K, P).

        `seeds` are the seeds of the random numbers of each module.
        """
        bound = [
            _Run(self, module, GeneratorState(seed, parameters.device), row, slope)
            for module, seed, row, slope in zip(modules, seeds, parameters, gradient, strict=True)
        ]

        def compute(inputs: Tensor, labels: Tensor, log_likelihood: Tensor) -> None:
            gradient.zero_()
            for run, *batch in zip(bound, inputs, labels, log_likelihood, strict=True):
                run.backward(*batch)

        def logits(inputs: Tensor) -> Tensor:
            outputs = [run.logits(images) for run, images in zip(bound, inputs, strict=True)]
            return torch.stack(outputs).to(parameters.dtype)

        return Runs(compute, logits)

    def try_out(self, batch_size: int, device: torch.device) -> None:
        """Create the network with several seeds and train it for one update, to find errors early.

        Raise SpecError if the network fails, or does not depend on the seed as it must.
        """
        once, again, other = (self._created_from(seed) for seed in (0, 0, 1))
        if {*map(id, once.module.modules())} & {*map(id, again.module.modules())}:
            raise self.error("it must return a new module each time, got the same module twice")
        if _bytes(once.module) != _bytes(again.module):
            raise self.error(
                "the seed does not determine its weights: draw them from the global generator of "
                "torch (on the CPU), numpy or Python"
            )
        self._check_not_reseeded(once.state, other.state, "when it is created")
        with self._named_errors("a trial update"):
            runs = [
                self._updated(created.module, created.seed, batch_size, device)
                for created in (once, other)
            ]
        self._check_not_reseeded(runs[0].state, runs[1].state, "while it trains")
        with self._named_errors("a trial evaluation"), torch.no_grad():
            runs[0].logits(self._random_images(batch_size, device))

    def _check_not_reseeded(self, one: GeneratorState, other: GeneratorState, when: str) -> None:
        """Raise SpecError if states that had different seeds are equal."""
        if libraries := one.libraries_equal_in(other):
            raise self.error(
                f"it sets the seed of {' and '.join(libraries)} {when}, so its random numbers are "
                "the same for every seed of the sweep: remove that call (such as "
                "torch.manual_seed)"
            )

    def _updated(self, module: nn.Module, seed: int, batch_size: int, device: torch.device) -> _Run:
        """Bind `module` to a gradient and compute it once for random images."""
        weights = self.layout.pack(trainable(module)).to(device)
        run = _Run(self, module, GeneratorState(seed, device), weights, torch.zeros_like(weights))
        labels = torch.zeros(batch_size, 1, dtype=torch.int64, device=device)
        log_likelihood = weights.new_empty(labels.shape)
        run.backward(self._random_images(batch_size, device), labels, log_likelihood)
        return run

    def _random_images(self, batch_size: int, device: torch.device) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.rand(batch_size, math.prod(self.image_shape), generator=generator).to(device)

    def error(self, reason: str) -> SpecError:
        """Return an error that names the network."""
        return SpecError(f"network {self.name!r}: {reason}")

    @contextmanager
    def _named_errors(self, what: str) -> Iterator[None]:
        """Raise exceptions of user code as SpecError that names the network and `what` fails."""
        try:
            yield
        except SpecError:
            raise
        except (Exception, SystemExit) as error:  # user code may raise anything
            raise self.error(f"{what} fails ({kind_and_line(error)})") from error

    def _created_from(self, seed: int) -> _Created:
        state = GeneratorState(seed)
        with state.active(keep=True):
            return _Created(self.module(), seed, state)

    def _new_module(self) -> nn.Module:
        with self._named_errors("creating it"), torch.enable_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Lazy modules are a new feature")
            module = self.factory()
            if isinstance(module, nn.Module):
                self._materialize(module)
        if not isinstance(module, nn.Module):
            raise self.error(
                f"its function must return a torch.nn.Module, got {type(module).__name__}"
            )
        self._check(module)
        return module

    def _materialize(self, module: nn.Module) -> None:
        """Initialise the shapes of lazy layers with a forward pass."""
        tensors = (*module.parameters(), *module.buffers())
        if any(nn.parameter.is_lazy(tensor) for tensor in tensors):
            with torch.no_grad():
                module.eval()(torch.zeros(2, *self.image_shape))
            module.train()

    def _check(self, module: nn.Module) -> None:
        if any(nn.parameter.is_lazy(p) for p in module.parameters()):
            raise self.error("a lazy layer has no shape after a forward pass of an image")
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.device.type != "cpu":
                raise self.error(
                    f"it must be created on the CPU (it is moved later), got {tensor.device}"
                )
        parameters, dtype = trainable(module), torch.get_default_dtype()
        if not any(p.numel() for p in parameters):
            raise self.error("it has no parameters to train")
        for parameter in parameters:
            if parameter.dtype != dtype:
                raise self.error(f"its parameters must be {dtype}, got {parameter.dtype}")
        places = [p.data_ptr() for p in parameters if p.numel()]
        if len(set(places)) < len(places):
            raise self.error(
                "two of its parameters share memory: layers that share weights must use the same "
                "torch.nn.Parameter"
            )


@dataclass(frozen=True)
class _Created:
    """A module, and the state of the random generators after it was created from `seed`."""

    module: nn.Module
    seed: int
    state: GeneratorState


class _Run:
    """One module, bound to one row of the parameters and of the gradient."""

    def __init__(
        self,
        network: ModuleNetwork,
        module: nn.Module,
        state: GeneratorState,
        parameters: Tensor,
        gradient: Tensor,
    ) -> None:
        self._network = network
        self.state = state
        self._module = module.to(parameters.device)
        layout = network.layout
        for parameter, value, slope in zip(
            trainable(module), layout.views(parameters), layout.views(gradient), strict=True
        ):
            parameter.data, parameter.grad = value, slope

    def backward(self, inputs: Tensor, labels: Tensor, log_likelihood: Tensor) -> None:
        """Add the gradient of the mean loss; overwrite the log-likelihood (B, 1) of each image."""
        self._set_mode(training=True)
        with torch.enable_grad(), self.state.active(keep=True):
            logits = self._forward(aligned(inputs))
            if not logits.requires_grad:
                raise self._network.error("its output does not depend on its parameters")
            losses = nn.functional.cross_entropy(logits, labels.squeeze(-1), reduction="none")
            losses.mean().backward()  # type: ignore[no-untyped-call]
        log_likelihood.copy_(losses.detach().unsqueeze(-1)).neg_()

    def logits(self, inputs: Tensor) -> Tensor:
        """Compute logits (B, classes) in evaluation mode; random numbers are always the same."""
        self._set_mode(training=False)
        with self.state.active():
            # a copy: all runs share these images, and a module may modify its input
            return self._forward(inputs.clone())

    def _forward(self, inputs: Tensor) -> Tensor:
        images = inputs.view(len(inputs), *self._network.image_shape)
        logits: object = self._module(images)
        wanted = (len(inputs), self._network.n_classes)
        found = type(logits).__name__
        if isinstance(logits, Tensor):
            if logits.shape == wanted and logits.dtype.is_floating_point:
                return logits
            found = f"{tuple(logits.shape)} of {logits.dtype}"
        raise self._network.error(
            f"its output must be a tensor {wanted} of logits for images {tuple(images.shape)}, got "
            f"{found}"
        )

    def _set_mode(self, *, training: bool) -> None:
        if self._module.training != training:
            self._module.train(training)


def with_accepted(factory: Callable[..., object], **offered: Any) -> Callable[[], object]:
    """Bind to `factory` those of the `offered` keywords that its signature accepts."""
    if isinstance(factory, type) and factory.__init__ is nn.Module.__init__:  # type: ignore[misc]
        return factory  # the signature has **kwargs, but the constructor accepts none
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # some functions in C have no signature
        return factory
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    accepted = {key: value for key, value in offered.items() if takes_all or key in named}
    return lambda: factory(**accepted)


def _shapes(module: nn.Module) -> tuple[torch.Size, ...]:
    return tuple(p.shape for p in trainable(module))


def _bytes(module: nn.Module) -> list[bytes]:
    return [
        p.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        for p in module.parameters()
    ]
