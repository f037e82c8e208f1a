"""HKD: an EDM network cut into encoder and decoder, and between them an operator for every level.

    z^(l) = E^(l)(x_t, t)        z^(l) <- exp((s(t') - s(t)) A^(l)) z^(l)        x_hat = D({z^(l)})

One step from noise to image is one encoder pass, one multiplication and one decoder pass: as much as one
evaluation of the network it was cut from.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hkd.koopman import piecewise
from hkd.koopman.bounds import Diagnostics
from hkd.koopman.choices import KoopmanSettings, evolving_levels
from hkd.koopman.coupled import FourierOperator
from hkd.koopman.operator import KoopmanOperator, LevelOperator
from hkd.koopman.state_skip import with_skip
from hkd.nets.precond import EDMPrecond, noise_levels
from hkd.seeding import stream

Sigma = Tensor | float
Latents = list[Tensor]


class HKDNet(nn.Module):
    """The one-step map of HKD from noise to image, and its parts: encoder, operators and decoder.

    The latents are the encoder's outputs in order of production, each (B, C, H, W); with a `separate` bottleneck
    operator one more follows, the decoder's trunk. `koopman` holds the operators by level name.

    Attributes:
        net: the denoiser that was cut; its parameters keep their names behind the prefix `net.`.
        time: the map from noise level to the time in which operators are constant.
        latent_names: a name for every latent.
        graphs: methods that `torch.compile` takes whole, with the halves of the network and the operators inside.
    Raises:
        ValueError: for a level that cannot be paired into blocks.
    Source: HKD, section 3 and Algorithm 1. Where they leave a choice open, `settings` holds ours.
    """

    graphs: ClassVar[tuple[str, ...]] = ("forward", "encode", "decode")

    def __init__(self, net: EDMPrecond, settings: KoopmanSettings) -> None:
        super().__init__()
        self.net = net
        self.settings = settings
        self.time = settings.time
        self.img_resolution = net.img_resolution
        self.img_channels = net.img_channels
        self.label_dim = net.label_dim
        self.sigma_data = net.sigma_data
        outputs: list[tuple[str, int, int, int]] = [tuple(output) for output in net.model.encoder_outputs()]  # type: ignore[operator]
        shapes = {name: shape for name, *shape in outputs}
        levels = evolving_levels(outputs, settings.levels)
        if settings.bottleneck_operator == "separate":
            # the trunk, a second copy of the last output, becomes a latent with a level of its own
            shapes["bottleneck"] = shapes[outputs[-1][0]]
            levels["bottleneck"] = "bottleneck"
        self.latent_names = list(shapes)
        self._shapes = [tuple(shape) for shape in shapes.values()]
        self._level_of = [levels.get(name) for name in self.latent_names]
        self.koopman = nn.ModuleDict()
        for name, level in levels.items():
            if level not in self.koopman:
                self.koopman[level] = self._operator(level, shapes[name])
        self.decoder_mapping = _mapping_of(net.model) if settings.conditioning == "separate" else None

    def forward(
        self,
        x: Tensor,
        sigma: Sigma,
        class_labels: Tensor | None = None,
        *,
        latents: Latents | None = None,
        to_sigma: Sigma | None = None,
    ) -> Tensor:
        """Return the clean image x_hat at eps, float32 (B, C, H, W), from any state x_t in one step.

        Args:
            x: (B, C, H, W) states of trajectories at noise level sigma, x_0 + sigma n.
            sigma: noise level in [eps, T], a number or (B,). A shared number is cheaper.
            class_labels: (B, label_dim) one-hot rows, which a network with classes needs; ignored by any other.
            latents: those of x, where `encode` has already been called.
            to_sigma: noise level to which the latents are moved before they are decoded, eps unless given.
        Raises:
            ValueError: for a noise level outside [eps, T], where it can be seen without waiting for a device, for
                classes that are missing, and for weights of less precision than float32.
        Source: HKD, Algorithm 2: D({exp((eps - t) A) E(x_t)}).
        """
        to_sigma = self.settings.sigma_min if to_sigma is None else to_sigma
        latents = self.encode(x, sigma, class_labels) if latents is None else latents
        latents = self.evolve(latents, sigma, to_sigma)
        return self.decode(latents, class_labels, x=x, sigma=sigma, latent_sigma=to_sigma)

    def encode(self, x: Tensor, sigma: Sigma, class_labels: Tensor | None = None) -> Latents:
        """Return the latents of x at noise level sigma."""
        self._check(sigma)
        if (kind := next(self.net.parameters()).dtype).itemsize < torch.float32.itemsize:
            raise ValueError(f"weights: {kind}, and states are float32; for bfloat16 set `compute.precision` instead.")
        coefficients = self.net.coefficients(noise_levels(sigma, x.device))
        # what the encoder is told concerns its embedding alone: the input is scaled by its true noise level
        told = self.settings.sigma_max if self.settings.encoder_sigma == "constant" else sigma
        emb = self._embed(self.net.model, told, class_labels, x.device)
        skips = self.net.model.encode(coefficients.c_in * x.to(torch.float32), emb)  # type: ignore[operator]
        if self.settings.levels == "skips_dropped":
            skips = [torch.zeros_like(skip) for skip in skips[:-1]] + skips[-1:]
        return skips + skips[-1:] if self.settings.bottleneck_operator == "separate" else skips

    def evolve(self, latents: Sequence[Tensor], from_sigma: Sigma, to_sigma: Sigma) -> Latents:
        """Return the latents moved from one noise level to another, forward or backward, numbers or (B,) each."""
        self._check_latents(latents)
        self._check(from_sigma)
        self._check(to_sigma)
        step = self.time(_flat(to_sigma)) - self.time(_flat(from_sigma))
        device = latents[0].device
        # a number is written by the device itself: a copy of it would make the host wait
        dt = step.to(device) if isinstance(step, Tensor) else torch.full((), step, device=device)
        return [z if (operator := self.operator(i)) is None else operator(z, dt) for i, z in enumerate(latents)]

    def decode(
        self,
        latents: Sequence[Tensor],
        class_labels: Tensor | None = None,
        *,
        x: Tensor | None = None,
        sigma: Sigma | None = None,
        latent_sigma: Sigma | None = None,
    ) -> Tensor:
        """Return the image that the latents stand for, float32 (B, C, H, W).

        Args:
            latents: as returned by `encode` and `evolve`.
            x, sigma: what was encoded, and at which level; read by `output_wrapper: edm` and `skip`, and by
                `decoder_sigma: same_as_input`.
            latent_sigma: noise level of the latents, eps unless given; read by `decoder_sigma: latent_time` and by
                `output_wrapper: skip`.
        Raises:
            ValueError: when the settings need an argument that is not given, or for latents of another network.
        """
        self._check_latents(latents)
        settings, device = self.settings, latents[0].device
        at = settings.sigma_min if latent_sigma is None else latent_sigma
        told: dict[str, Sigma | None] = {
            "sigma_min": settings.sigma_min,
            "sigma_max": settings.sigma_max,
            "same_as_input": sigma,
            "latent_time": at,
        }
        mapping = self.net.model if self.decoder_mapping is None else self.decoder_mapping
        level = told[settings.decoder_sigma]
        if level is None:
            raise ValueError(
                f"decoder_sigma: {settings.decoder_sigma} needs 'sigma': pass what was encoded to `decode`."
            )
        emb = self._embed(mapping, level, class_labels, device)
        separate = settings.bottleneck_operator == "separate"
        skips, trunk = (latents[:-1], latents[-1]) if separate else (latents, None)
        raw = self.net.model.decode(skips, emb, trunk).to(torch.float32)  # type: ignore[operator]
        if settings.output_wrapper == "raw":
            return raw
        if settings.output_wrapper == "scaled":
            return self._scale(level, raw) * raw
        if x is None or sigma is None:
            raise ValueError(
                f"output_wrapper: {settings.output_wrapper} needs 'x' and 'sigma': pass what was encoded to `decode`."
            )
        if settings.output_wrapper == "skip":
            return with_skip(self.sigma_data * raw, x, sigma, at)
        c_skip, c_out, *_ = self.net.coefficients(noise_levels(sigma, device))
        return torch.addcmul(c_skip * x.to(torch.float32), c_out, raw)

    def trajectory(
        self, x: Tensor, sigmas: Sequence[float], class_labels: Tensor | None = None, *, sigma: Sigma | None = None
    ) -> Tensor:
        """Return x_hat at every noise level of `sigmas`, (S, B, C, H, W), from one encoding and batched decodes.

        Args:
            x: (B, C, H, W) states at noise level `sigma`, T unless given.
        """
        start = self.settings.sigma_max if sigma is None else sigma
        latents = self.encode(x, start, class_labels)
        each = sum(z.numel() * z.element_size() for z in latents)
        parts = [self._decoded(x, latents, sigmas[k], class_labels, start) for k in piecewise.slices(len(sigmas), each)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _decoded(
        self, x: Tensor, latents: Latents, sigmas: Sequence[float], class_labels: Tensor | None, start: Sigma
    ) -> Tensor:
        """Return x_hat at the noise levels of `sigmas`, all of them at once, from the latents of x at `start`."""
        count = len(sigmas)
        # moving a latent costs one multiplication, so every level starts from the encoding, not from the last
        moved = [self.evolve(latents, start, to_sigma) for to_sigma in sigmas]
        stacked = [torch.cat(level) for level in zip(*moved, strict=True)]
        each = torch.tensor(sigmas, dtype=torch.float32, device=x.device).repeat_interleave(len(x))
        images = self.decode(
            stacked,
            None if class_labels is None else class_labels.repeat(count, 1),
            x=x.repeat(count, 1, 1, 1),
            sigma=start.flatten().expand(len(x)).repeat(count) if isinstance(start, Tensor) else start,
            latent_sigma=each,
        )
        return images.unflatten(0, (count, len(x)))

    def operator(self, latent: int) -> LevelOperator | None:
        """Return the operator that moves the latent of that number, or None for one that passes unchanged."""
        level = self._level_of[latent]
        return None if level is None else self.koopman[level]  # type: ignore[return-value]

    def level_name(self, latent: int) -> str | None:
        """Return the name of the level to which the latent of that number belongs, or None for one without."""
        return self._level_of[latent]

    def latent_shape(self, latent: int) -> tuple[int, ...]:
        """Return the shape (C, H, W) of the latent of that number."""
        return self._shapes[latent]

    def operators(self) -> list[LevelOperator | None]:
        """Return the operator of every latent, in order."""
        return [self.operator(i) for i in range(len(self.latent_names))]

    def diagnostics(self) -> dict[str, Diagnostics]:
        """Return the extremes of every level's rates."""
        return {level: operator.diagnostics() for level, operator in self.koopman.items()}  # type: ignore[operator]

    def metadata(self) -> dict[str, Any]:
        """Return every setting, the levels and the number of parameters of A, for the record of a run."""
        sizes = {level: operator.generator.numel() for level, operator in self.koopman.items()}  # type: ignore[operator]
        return {**asdict(self.settings), "level_parameters": sizes, "koopman_parameters": sum(sizes.values())}

    def koopman_parameters(self) -> Iterator[nn.Parameter]:
        """Iterate over the parameters of A."""
        return self.koopman.parameters()

    def initialise_from(self, teacher: Mapping[str, Tensor]) -> None:
        """Take the weights of an EDM denoiser (its `state_dict`), and set A to zero or draw it (`operator_init`).

        An augmentation input that the teacher has and this network has not is dropped: it is never used here.

        Raises:
            ValueError: naming the first parameter that is missing, unknown or of another shape.
        Source: HKD, section 4 (implementation details): E and D start from the pre-trained EDM, A from zero.
        """
        own = self.net.state_dict()
        wanted = {key: value for key, value in teacher.items() if key in own or "map_augment" not in key}
        _require_same(own, wanted, "the teacher's weights", "give the teacher and this network the same `network:`")
        self.net.load_state_dict(wanted)
        if self.decoder_mapping is not None:
            self.decoder_mapping.load_state_dict(_mapping_of(self.net.model).state_dict())
        with torch.no_grad():
            for index, rates in enumerate(self.koopman_parameters()):
                nn.init.zeros_(rates)
                if self.settings.operator_init:
                    draw = torch.randn(rates.shape, generator=stream(0, "operator-init", index))
                    rates.copy_(draw * self.settings.operator_init / self.time.span)

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load a `state_dict` of this class.

        Raises:
            ValueError: for weights of another configuration, naming the first key that differs, or for an operator
                that is not finite.
        """
        _require_same(self.state_dict(), state, "these weights", "use the config that lies beside the weights")
        self.load_state_dict(state)

    def _operator(self, level: str, shape: Sequence[int]) -> LevelOperator:
        settings = self.settings
        common: dict[str, Any] = {
            "name": level,
            "span": self.time.span,
            "bounds": settings.bounds,
            "frozen": settings.frozen,
        }
        if settings.coupling == "fourier":
            return FourierOperator(*shape, **common)
        return KoopmanOperator(*shape, pairing=settings.pairing, **common)

    def _embed(self, mapping: nn.Module, sigma: Sigma, class_labels: Tensor | None, device: torch.device) -> Tensor:
        labels = None
        if self.label_dim:
            if class_labels is None:
                raise ValueError(
                    f"class_labels: missing; this network is told one of {self.label_dim} classes an image."
                )
            labels = class_labels.to(torch.float32).reshape(-1, self.label_dim)
        c_noise = self.net.coefficients(noise_levels(sigma, device)).c_noise
        return mapping.embed(c_noise, labels)  # type: ignore[operator]

    def _scale(self, level: Sigma, like: Tensor) -> Tensor | float:
        """Return the factor of the raw output under `scaled`: the standard deviation of the image or state decoded."""
        if self.settings.decoder_sigma != "latent_time":
            return self.sigma_data
        return (noise_levels(level, like.device).square() + self.sigma_data**2).sqrt().reshape(-1, 1, 1, 1)

    def _check(self, sigma: Sigma) -> None:
        """Raise ValueError for a noise level outside [eps, T], unless reading it would wait for a device."""
        on_device = isinstance(sigma, Tensor) and sigma.device.type != "cpu"
        if not (on_device or torch.compiler.is_compiling()):
            self.time.check(sigma)

    def _check_latents(self, latents: Sequence[Tensor]) -> None:
        found = [tuple(z.shape[1:]) for z in latents]
        if found != self._shapes:
            pairs = zip_longest(self.latent_names, self._shapes, found, fillvalue="absent")
            name, want, got = next(pair for pair in pairs if pair[1] != pair[2])
            raise ValueError(
                f"latents: level {name} must have shape {want}, got {got}; pass all that `encode` returns."
            )


def _mapping_of(model: nn.Module) -> nn.Module:
    """Return a copy of a U-Net's embedding of noise level and class, without its encoder and decoder."""
    # deepcopy takes an object found in `memo` for copied, so both halves become empty modules
    memo: dict[int, Any] = {id(model.enc): nn.ModuleDict(), id(model.dec): nn.ModuleDict()}
    return copy.deepcopy(model, memo)


def _flat(sigma: Sigma) -> Sigma:
    return sigma.flatten() if isinstance(sigma, Tensor) else sigma


def _require_same(own: Mapping[str, Tensor], other: Mapping[str, Tensor], what: str, remedy: str) -> None:
    for key in [*own, *other]:
        here, there = (tuple(state[key].shape) if key in state else "absent" for state in (own, other))
        if here != there:
            raise ValueError(f"{key}: {there} in {what}, {here} in this network; {remedy}.")
