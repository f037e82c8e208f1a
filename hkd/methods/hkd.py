"""HKD: one step from any state of a trajectory to its clean end, through latents whose dynamics are linear.

Source: Bai, Ding and Zou (2025), "Hierarchical Koopman Diffusion", arXiv 2510.12220. The network and its dynamics
are in `hkd.koopman.hierarchy`; this file is the loss of section 3 and appendices B and D. Where they contradict
each other, a parameter chooses. The ablations are configs of this class.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from hkd.data.trajectories import TrajectoryBatch
from hkd.koopman.choices import KoopmanSettings
from hkd.koopman.closure_loss import latent_gap
from hkd.koopman.hierarchy import HKDNet, Latents
from hkd.methods.base import Method, refuse_nfe
from hkd.methods.distances import Features, PerceptualDistance
from hkd.nets.precond import EDMPrecond
from hkd.seeding import ImageStreams, stream


class HKD(Method):
    """The paper's method. See `KoopmanSettings` for the network's parameters; those of the loss are:

    time_dist, time_states: the law of the intermediate times, and whether their states are the stored ones (`grid`)
        or interpolated between them (`interp`). On the grid each law is a weight per grid point.
    time_draw: every trajectory of a batch has times of its own (`per_sample`), or all share them (`per_batch`).
    time_support: times from [eps, T) (Definition 3.1) or from [0, T] (Algorithm 1; below eps the state at eps is used).
    n_intermediate: times per trajectory besides T (appendix D.4: four).
    combine: mean over the intermediate times plus the term at T (appendix D.4), or the sum over all (Algorithm 1).
    target_state: x_eps (Definition 3.1) or x_0 (Algorithm 1).
    distance_form: lambda1 · MSE + lambda2 · perceptual, or the unweighted sum of norms that Algorithm 1 prints.
    mse_reduction: over pixels.
    lambda1_law: from 1 to 1e-3, exponentially over the training, or constant 1.
    operator_lr_scale: learning rate of A over that of the network.
    operator_init: standard deviation of the rates times s(T) before training; one draw for all seeds.
    closure_weight: of the gap between the latents of x_T, evolved to an intermediate time, and those of the state
        there; state_weight: of the difference between the decoded former and that state. Both ours, 0 in the paper.

    Raises:
        ValueError: a weight asks for intermediate states, and there are none; or a frozen operator is not zero.
    """

    def __init__(
        self,
        *,
        student: EDMPrecond,
        distance: PerceptualDistance | None,
        total_steps: int,
        sigma_min: float,
        sigma_max: float,
        rho: float,
        levels: Literal["per_skip", "per_resolution", "bottleneck_only", "finest_only", "skips_dropped"],
        bottleneck_operator: Literal["shared", "separate"],
        coupling: Literal["none", "fourier"],
        pairing: Literal["half", "adjacent"],
        time_map: Literal["sigma", "sigma_unit", "log_sigma", "log_unit", "rho"],
        encoder_sigma: Literal["input", "constant"],
        decoder_sigma: Literal["sigma_min", "sigma_max", "same_as_input", "latent_time"],
        output_wrapper: Literal["scaled", "raw", "edm"],
        conditioning: Literal["shared", "separate"],
        alpha_clamp: float | None,
        alpha_bound: float | None,
        radius_bound: float | None,
        frozen: bool,
        operator_lr_scale: float,
        time_dist: Literal["uniform_t", "uniform_index", "uniform_log", "lognormal"],
        time_states: Literal["grid", "interp"],
        time_draw: Literal["per_sample", "per_batch"],
        time_support: Literal["eps_to_T", "zero_to_T"],
        n_intermediate: int,
        combine: Literal["mean_plus_recon", "sum"],
        target_state: Literal["x_eps", "x_0"],
        distance_form: Literal["weighted", "norms"],
        mse_reduction: Literal["mean", "sum"],
        lambda1_law: Literal["anneal", "constant", "zero"],
        lambda2: float,
        operator_init: float,
        closure_weight: float,
        state_weight: float,
    ) -> None:
        super().__init__()
        settings = KoopmanSettings(
            sigma_min=sigma_min,
            sigma_max=sigma_max,
            rho=rho,
            levels=levels,
            bottleneck_operator=bottleneck_operator,
            coupling=coupling,
            pairing=pairing,
            time_map=time_map,
            encoder_sigma=encoder_sigma,
            decoder_sigma=decoder_sigma,
            output_wrapper=output_wrapper,
            conditioning=conditioning,
            alpha_clamp=alpha_clamp,
            alpha_bound=alpha_bound,
            radius_bound=radius_bound,
            frozen=frozen,
        )
        self.student, self.distance, self.total_steps = HKDNet(student, settings), distance, total_steps
        self.sigma_min, self.sigma_max, self.rho = sigma_min, sigma_max, rho
        self.operator_lr_scale = operator_lr_scale
        self.time_dist, self.time_states, self.time_support = time_dist, time_states, time_support
        self.time_draw = time_draw
        self.n_intermediate, self.combine, self.target_state = n_intermediate, combine, target_state
        self.distance_form, self.mse_reduction = distance_form, mse_reduction
        self.lambda1_law, self.lambda2, self.operator_init = lambda1_law, lambda2, operator_init
        self.closure_weight, self.state_weight = closure_weight, state_weight
        for key in ("closure_weight", "state_weight"):
            if getattr(self, key) and not n_intermediate:
                raise ValueError(f"{key}: {getattr(self, key):g} needs intermediate states; set n_intermediate above 0")
        if frozen and operator_init:
            raise ValueError(f"operator_init: {operator_init:g} is not the 0 at which 'frozen: true' holds A")

    def losses(self, batch: TrajectoryBatch, *, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """L_t-consist + L_recon (section 3.4), from one batched pass over T and the intermediate times."""
        target = batch.near_clean if self.target_state == "x_eps" else batch.clean
        features = self.distance.features(target) if self.distance is not None else None
        states, levels = [batch.state(0)], [torch.full((len(batch),), self.sigma_max)]
        for _ in range(self.n_intermediate):
            state, sigma = self.intermediate(batch, generator)
            states.append(state)
            levels.append(sigma)
        count = len(states)
        labels = None if batch.labels is None else batch.labels.repeat(count, 1)
        sigmas = torch.cat(levels).to(states[0]) if count > 1 else self.sigma_max
        x = torch.cat(states)
        latents = self.student.encode(x, sigmas, labels)
        images = self.student(x, sigmas, labels, latents=latents).chunk(count)
        terms = torch.stack([self.error(image, target, features, step) for image in images])
        whole = terms.sum() if self.combine == "sum" or count == 1 else terms[0] + terms[1:].mean()
        if self.closure_weight or self.state_weight:
            whole = whole + self.between(states, levels, latents, batch.labels)
        return {"student": whole}

    def between(self, states: list[Tensor], levels: list[Tensor], latents: Latents, labels: Tensor | None) -> Tensor:
        """Return what is asked of the latents of x_T at the intermediate times, weighted; neither term is in the paper.

        Closure: that they are the latents of x_t. State: that they decode to x_t, in units of its standard deviation.
        """
        parts = [z.chunk(len(states)) for z in latents]
        first, terms = [part[0] for part in parts], []
        for k, (x, sigma) in enumerate(zip(states[1:], levels[1:], strict=True), start=1):
            term = x.new_zeros(())
            if self.closure_weight:
                moved = self.student.evolve(first, self.sigma_max, sigma)
                term = term + self.closure_weight * latent_gap(moved, [part[k] for part in parts])
            if self.state_weight:
                image = self.student(states[0], self.sigma_max, labels, latents=first, to_sigma=sigma)
                size = (sigma.to(x).square() + self.student.sigma_data**2)[:, None, None, None]
                term = term + self.state_weight * ((image - x).square() / size).mean()
            terms.append(term)
        return torch.stack(terms).mean()

    def error(self, image: Tensor, target: Tensor, features: Features | None, step: int) -> Tensor:
        """Return d(x, y), averaged over the batch: lambda1 · MSE + lambda2 · perceptual, or the sum of norms."""
        squared = (image - target).square().flatten(1)
        perceptual = self.distance(image, features) if self.distance is not None else image.new_zeros(len(image))
        if self.distance_form == "norms":
            return (squared.sum(dim=1).sqrt() + (perceptual + 1e-12).sqrt()).mean()
        pixels = squared.mean(dim=1) if self.mse_reduction == "mean" else squared.sum(dim=1)
        return (self.lambda1(step) * pixels + self.lambda2 * perceptual).mean()

    def lambda1(self, step: int) -> float:
        """Return 10^(-3 e / E), or a constant. Source: HKD, section 3.4."""
        laws = {"anneal": 10 ** (-3 * step / max(self.total_steps, 1)), "constant": 1.0, "zero": 0.0}
        return laws[self.lambda1_law]

    def intermediate(self, batch: TrajectoryBatch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return one intermediate state per trajectory, at its own time or a shared one, and the noise levels (B,)."""
        count = len(batch) if self.time_draw == "per_sample" else 1
        u = torch.rand(count, generator=generator, dtype=torch.float64)
        if self.time_states == "interp":
            sigma = self.draw(u, generator).expand(len(batch))
            return batch.at(sigma), sigma.to(torch.float32)
        grid = batch.sigmas[:-1]
        weights = grid_weights(grid, self.time_dist)
        k = 1 + torch.searchsorted(weights.cumsum(0), u * weights.sum()).clamp(max=len(weights) - 1)
        k = k.expand(len(batch))
        return batch.state(k), grid[k].to(torch.float32)

    def draw(self, u: Tensor, generator: torch.Generator) -> Tensor:
        """Return noise levels in [eps, T] of the law `time_dist` from uniform numbers u, float64 (B,)."""
        low = self.sigma_min if self.time_support == "eps_to_T" else 0.0
        high, eps = self.sigma_max, self.sigma_min
        if self.time_dist == "uniform_t":
            sigma = low + u * (high - low)
        elif self.time_dist == "uniform_index":
            root = 1 / self.rho
            sigma = (low**root + u * (high**root - low**root)) ** self.rho
        elif self.time_dist == "uniform_log":
            sigma = eps * (high / eps) ** u
        else:
            sigma = (-1.2 + 1.2 * torch.randn(len(u), generator=generator, dtype=torch.float64)).exp()
        return sigma.clamp(eps, high)

    def parameter_groups(self, name: str) -> list[dict[str, Any]]:
        """The network, and A with its own learning rate."""
        operators = {id(p) for p in self.student.koopman_parameters()}
        network = [p for p in self.student.parameters() if id(p) not in operators]
        groups = [{"params": network, "lr_scale": 1.0}]
        generators = [p for p in self.student.koopman_parameters() if p.requires_grad]
        return [*groups, {"params": generators, "lr_scale": self.operator_lr_scale}] if generators else groups

    def initialise(self, name: str, state: dict[str, Tensor]) -> None:
        """Encoder and decoder from the teacher's halves, A = 0 or drawn."""
        self.student.initialise_from(state)
        if self.operator_init:
            with torch.no_grad():
                for index, rates in enumerate(self.student.koopman_parameters()):
                    draw = torch.randn(rates.shape, generator=stream(0, "operator-init", index))
                    rates.copy_(draw * self.operator_init / self.student.time.span)

    def diagnostics(self) -> dict[str, float]:
        """The largest rate and exponent over all levels: what explodes first when something does."""
        levels = list(self.student.diagnostics().values())
        return {
            "max_abs_alpha": max((float(d.max_abs_alpha) for d in levels), default=0.0),
            "max_exponent": max((float(d.max_exponent) for d in levels), default=0.0),
        }

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """D({exp((eps - T) A) E(x_T)}), x_T = T n: one encoder and one decoder pass (Algorithm 2)."""
        if nfe != 1:
            raise refuse_nfe(self, nfe, "1")
        return self.student(self.sigma_max * noise, self.sigma_max, labels)


def grid_weights(grid: Tensor, law: str) -> Tensor:
    """Return the weight of each grid point after the first, so that a draw of points follows a law of sigma.

    Each point stands for the half-way stretch to its neighbours, in the variable in which the law is uniform.
    """
    if law == "uniform_index":
        return torch.ones(len(grid) - 1, dtype=torch.float64)
    axis = grid if law == "uniform_t" else grid.log()
    below = torch.cat((axis[2:], axis[-1:]))
    width = (axis[:-1] - below) / 2
    if law == "lognormal":
        width = width * torch.exp(-0.5 * ((grid[1:].log() + 1.2) / 1.2) ** 2)
    return width
