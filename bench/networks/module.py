"""Any torch module as a network: its gradient through autograd.

The parameters of K runs are one tensor of shape (K, P), as everywhere. Each run has a module of its
own, whose parameters are views into its row and whose gradients are views into the same row of the
gradient. Buffers, such as the statistics of BatchNorm, and random numbers, such as those of
Dropout, belong to the run too, so a run alone gives what it gives beside others.
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
    """What K runs of one network compute; their state is in here.

    Attributes
    ----------
    gradient
        Called with images (K, B, D), classes (K, B, 1) and a tensor (K,): overwrites the gradient
        that it was made with, and the tensor with the mean log-likelihood of the classes.
    logits
        Evaluates images (K, B, D): logits (K, B, classes). Changes nothing.
    """

    gradient: Callable[[Tensor, Tensor, Tensor], None]
    logits: Callable[[Tensor], Tensor]


def trainable(module: nn.Module) -> tuple[nn.Parameter, ...]:
    """The parameters that are trained; one that several layers share is there once."""
    return tuple(p for p in module.parameters() if p.requires_grad)


@dataclass(frozen=True)
class ModuleNetwork:
    """A network that a function makes, as a torch module.

    Attributes
    ----------
    name
        For messages.
    factory
        Makes a module, with weights drawn from torch's global generator on the CPU.
    image_shape
        The module gets images as floats (B, channels, height, width), scaled to 0 to 1.
    n_classes
        It must return logits (B, n_classes).
    shapes
        Of the parameters that are trained, in the order of ``module().parameters()``.
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
        """Make a module once, to know its shapes; torch's generator stays as it is."""
        network = cls(name, factory, image_shape, n_classes)
        with GeneratorState(0).active():
            return replace(network, shapes=_shapes(network._made()))

    @property
    def layout(self) -> FlatLayout:
        """The trained parameters, in the order of ``module().parameters()``."""
        return FlatLayout(self.shapes)

    def module(self) -> nn.Module:
        """The network, freshly initialised from torch's generator.

        Raises
        ------
        SpecError
            If the factory fails, or what it makes cannot be trained here.
        """
        module = self._made()
        if _shapes(module) != self.shapes:
            raise self.error("its parameters have other shapes each time that it is made")
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

        `seeds` start the random numbers of the modules, one stream for each.
        """
        bound = [
            _Run(self, module, GeneratorState(seed, parameters.device), row, slope)
            for module, seed, row, slope in zip(modules, seeds, parameters, gradient, strict=True)
        ]

        def compute(inputs: Tensor, labels: Tensor, log_likelihood: Tensor) -> None:
            gradient.zero_()
            for run, images, classes, mean in zip(
                bound, inputs, labels, log_likelihood, strict=True
            ):
                run.backward(images, classes.squeeze(-1), mean)

        def logits(inputs: Tensor) -> Tensor:
            outputs = [run.logits(images) for run, images in zip(bound, inputs, strict=True)]
            return torch.stack(outputs).to(parameters.dtype)

        return Runs(compute, logits)

    def try_out(self, batch_size: int, device: torch.device) -> None:
        """Make the network with several seeds and train it for one update, to find mistakes early.

        Raises
        ------
        SpecError
            If anything goes wrong.
        """
        once, again, other = (self._made_from(seed) for seed in (0, 0, 1))
        if {*map(id, once.module.modules())} & {*map(id, again.module.modules())}:
            raise self.error("it must be made anew each time, got the same module twice")
        if _bytes(once.module) != _bytes(again.module):
            raise self.error(
                "the seed does not decide its weights: draw them from the global generator of "
                "torch (on the CPU), numpy or Python"
            )
        self._refuse_seeding(once.stream, other.stream, "when it is made")
        with self._blaming("a trial update"):
            runs = [
                self._updated(made.module, made.seed, batch_size, device) for made in (once, other)
            ]
        self._refuse_seeding(runs[0].stream, runs[1].stream, "while it trains")
        with self._blaming("a trial evaluation"), torch.no_grad():
            runs[0].logits(self._random_images(batch_size, device))

    def _refuse_seeding(self, one: GeneratorState, other: GeneratorState, when: str) -> None:
        """`one` and `other` had different seeds before the network drew from them."""
        if libraries := one.libraries_equal_in(other):
            raise self.error(
                f"it sets the seed of {' and '.join(libraries)} {when}, which makes its random "
                "numbers the same for every seed of the sweep: remove that call (such as "
                "torch.manual_seed)"
            )

    def _updated(self, module: nn.Module, seed: int, batch_size: int, device: torch.device) -> _Run:
        """`module` after one update of random images."""
        weights = self.layout.pack(trainable(module)).to(device)
        run = _Run(self, module, GeneratorState(seed, device), weights, torch.zeros_like(weights))
        labels = torch.zeros(batch_size, dtype=torch.int64, device=device)
        run.backward(self._random_images(batch_size, device), labels, weights.new_empty(()))
        return run

    def _random_images(self, batch_size: int, device: torch.device) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.rand(batch_size, math.prod(self.image_shape), generator=generator).to(device)

    def error(self, reason: str) -> SpecError:
        """An error that names the network."""
        return SpecError(f"network {self.name!r}: {reason}")

    @contextmanager
    def _blaming(self, what: str) -> Iterator[None]:
        try:
            yield
        except SpecError:
            raise
        except (Exception, SystemExit) as error:  # whatever a user's module does
            raise self.error(f"{what} fails ({kind_and_line(error)})") from error

    def _made_from(self, seed: int) -> _Made:
        stream = GeneratorState(seed)
        with stream.active(keep=True):
            return _Made(self.module(), seed, stream)

    def _made(self) -> nn.Module:
        with self._blaming("making it"), torch.enable_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Lazy modules are a new feature")
            module = self.factory()
            if isinstance(module, nn.Module):
                self._materialize(module)
        if not isinstance(module, nn.Module):
            raise self.error(
                f"what makes it must return a torch.nn.Module, got {type(module).__name__}"
            )
        self._check(module)
        return module

    def _materialize(self, module: nn.Module) -> None:
        """Let lazy layers see an image, from which they learn their shapes."""
        tensors = (*module.parameters(), *module.buffers())
        if any(nn.parameter.is_lazy(tensor) for tensor in tensors):
            with torch.no_grad():
                module.eval()(torch.zeros(2, *self.image_shape))
            module.train()

    def _check(self, module: nn.Module) -> None:
        if any(nn.parameter.is_lazy(p) for p in module.parameters()):
            raise self.error("a lazy layer is still without shape after an image went through")
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.device.type != "cpu":
                raise self.error(
                    f"it must be made on the CPU, and is moved from there, got {tensor.device}"
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
                "two of its parameters share their memory: layers that share weights must share "
                "the torch.nn.Parameter"
            )


@dataclass(frozen=True)
class _Made:
    """A module, and the stream that its weights were drawn from."""

    module: nn.Module
    seed: int
    stream: GeneratorState


class _Run:
    """One module, bound to one row of the parameters and of the gradient."""

    def __init__(
        self,
        network: ModuleNetwork,
        module: nn.Module,
        stream: GeneratorState,
        parameters: Tensor,
        gradient: Tensor,
    ) -> None:
        self._network = network
        self.stream = stream
        self._module = module.to(parameters.device)
        layout = network.layout
        for parameter, value, slope in zip(
            trainable(module), layout.views(parameters), layout.views(gradient), strict=True
        ):
            parameter.data, parameter.grad = value, slope

    def backward(self, inputs: Tensor, labels: Tensor, log_likelihood: Tensor) -> None:
        """Add to the gradient of the mean loss; overwrite the mean log-likelihood."""
        self._set_mode(training=True)
        with torch.enable_grad(), self.stream.active(keep=True):
            logits = self._forward(aligned(inputs))
            if not logits.requires_grad:
                raise self._network.error("its output does not depend on its parameters")
            loss = nn.functional.cross_entropy(logits, labels)
            loss.backward()  # type: ignore[no-untyped-call]
        log_likelihood.copy_(loss.detach()).neg_()

    def logits(self, inputs: Tensor) -> Tensor:
        """Logits (B, classes) in evaluation mode; random numbers are the same ones each time."""
        self._set_mode(training=False)
        with self.stream.active():
            # a copy: all runs share these images, and a module may write into its input
            return self._forward(inputs.clone())

    def _forward(self, inputs: Tensor) -> Tensor:
        images = inputs.view(len(inputs), *self._network.image_shape)
        logits: object = self._module(images)
        wanted = (len(inputs), self._network.n_classes)
        if (
            not isinstance(logits, Tensor)
            or logits.shape != wanted
            or not logits.dtype.is_floating_point
        ):
            found = (
                f"{tuple(logits.shape)} of {logits.dtype}"
                if isinstance(logits, Tensor)
                else type(logits).__name__
            )
            raise self._network.error(
                f"its output must be a tensor {wanted} of logits for images "
                f"{tuple(images.shape)}, got {found}"
            )
        return logits

    def _set_mode(self, *, training: bool) -> None:
        if self._module.training != training:
            self._module.train(training)


def with_accepted(factory: Callable[..., object], **offered: Any) -> Callable[[], object]:
    """`factory`, to be called with those of the keywords that its signature accepts."""
    if isinstance(factory, type) and factory.__init__ is nn.Module.__init__:  # type: ignore[misc]
        return factory  # its signature accepts anything, and itself nothing
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # some functions of C have none
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
