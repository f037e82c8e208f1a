"""HKD: one step from any state of a trajectory to its clean end, through latents whose dynamics are linear.

Source: Bai, Ding and Zou (2025), "Hierarchical Koopman Diffusion", arXiv 2510.12220. The network and its dynamics
are in `hkd.koopman.hierarchy`, the law of the intermediate times in `hkd.methods.times`; this file is the loss of
section 3 and appendices B and D. Where they contradict each other, a setting chooses. The ablations are configs of
this class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from hkd.data.trajectories import TrajectoryBatch
from hkd.draws import Draws
from hkd.koopman.choices import KoopmanSettings, check_choices
from hkd.koopman.closure_loss import ClosureNorm, latent_gap
from hkd.koopman.hierarchy import HKDNet, Latents
from hkd.methods.base import Method, refuse_nfe
from hkd.methods.distances import Features, PerceptualDistance
from hkd.methods.times import TimeLaw
from hkd.nets.precond import EDMPrecond
from hkd.seeding import ImageStreams


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """Which distance to the clean end the loss takes, and how the distances from several times make one number.

    Attributes:
        combine: mean over the intermediate times plus the term at T (appendix D.4), or the sum over all (Algorithm 1).
        target_state: x_eps (Definition 3.1) or x_0 (Algorithm 1).
        distance_form: lambda1 · MSE + lambda2 · perceptual, or the unweighted sum of norms that Algorithm 1 prints.
        mse_reduction: over pixels.
        lambda1_law: from 1 to 1e-3, exponentially over the training, or constant 1 or 0.
        lambda2: weight of the perceptual distance.
        closure_weight: of the gap between the latents of x_T, evolved to an intermediate time, and those of the state
            there. Ours, 0 in the paper.
        closure_norm: whether that gap is relative to the latents of each `image`, or to those of the whole `batch`,
            which then cannot be cut up.
        state_weight: of the difference between the image decoded from the former and that state. Ours, 0 in the paper.
    Raises:
        ValueError: naming the key, its value and the known values.
    """

    combine: Literal["mean_plus_recon", "sum"]
    target_state: Literal["x_eps", "x_0"]
    distance_form: Literal["weighted", "norms"]
    mse_reduction: Literal["mean", "sum"]
    lambda1_law: Literal["anneal", "constant", "zero"]
    lambda2: float
    closure_weight: float
    closure_norm: ClosureNorm
    state_weight: float

    def __post_init__(self) -> None:
        check_choices(self)


class HKD(Method):
    """The paper's method.

    Args:
        student, distance, total_steps: the denoiser that is cut in two, d's perceptual part, and E of lambda1.
        koopman: how the denoiser becomes HKD's network.
        times: which states of a trajectory the loss looks at.
        loss: how far their images are from its clean end.
    Raises:
        ValueError: a weight asks for intermediate states, and there are none.
    """

    def __init__(
        self,
        *,
        student: EDMPrecond,
        distance: PerceptualDistance | None,
        total_steps: int,
        koopman: KoopmanSettings,
        times: TimeLaw,
        loss: LossSettings,
    ) -> None:
        super().__init__()
        self.student, self.distance, self.total_steps = HKDNet(student, koopman), distance, total_steps
        self.sigma_max, self.times, self.loss = koopman.sigma_max, times, loss
        self.whole_batch = bool(loss.closure_weight) and loss.closure_norm == "batch"
        for key in ("closure_weight", "state_weight"):
            weight = getattr(loss, key)
            if weight and not times.n_intermediate:
                raise ValueError(f"{key}: {weight:g} needs intermediate states; set n_intermediate above 0")

    def losses(self, batch: TrajectoryBatch, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """L_t-consist + L_recon (section 3.4), from one batched pass over T and the intermediate times."""
        target = batch.near_clean if self.loss.target_state == "x_eps" else batch.clean
        features = self.distance.features(target) if self.distance is not None else None
        states, levels = self.states(batch, draws)
        count, x = len(states), torch.cat(states)
        labels = None if batch.labels is None else batch.labels.repeat(count, 1)
        sigma: Any = torch.cat(levels).to(x) if count > 1 else self.sigma_max  # a shared number is cheaper
        latents = self.student.encode(x, sigma, labels)
        images = self.student(x, sigma, labels, latents=latents).chunk(count)
        loss = self.combined(torch.stack([self.error(image, target, features, step) for image in images]))
        if self.loss.closure_weight or self.loss.state_weight:
            loss = loss + self.penalties(states, sigma.chunk(count), latents, batch.labels)
        return {"student": loss}

    def states(self, batch: TrajectoryBatch, draws: Draws) -> tuple[list[Tensor], list[Tensor]]:
        """Return x_T and the intermediate states, each (B, C, H, W), and their noise levels, each (B,)."""
        drawn = [self.times.state(batch, draws) for _ in range(self.times.n_intermediate)]
        states = [batch.state(0), *(state for state, _ in drawn)]
        levels = [torch.full((len(batch),), self.sigma_max), *(level for _, level in drawn)]
        return states, levels

    def error(self, image: Tensor, target: Tensor, features: Features | None, step: int) -> Tensor:
        """Return d(x, y), averaged over the batch: lambda1 · MSE + lambda2 · perceptual, or the sum of norms."""
        squared = (image - target).square().flatten(1)
        perceptual = self.distance(image, features) if self.distance is not None else image.new_zeros(len(image))
        if self.loss.distance_form == "norms":
            smooth = (perceptual + 1e-12).sqrt()  # the root's slope at 0 is infinite
            return (squared.sum(dim=1).sqrt() + smooth).mean()
        pixels = squared.mean(dim=1) if self.loss.mse_reduction == "mean" else squared.sum(dim=1)
        return (self.lambda1(step) * pixels + self.loss.lambda2 * perceptual).mean()

    def lambda1(self, step: int) -> float:
        """Return 10^(-3 e / E), or a constant. Source: HKD, section 3.4."""
        laws = {"anneal": 10 ** (-3 * step / max(self.total_steps, 1)), "constant": 1.0, "zero": 0.0}
        return laws[self.loss.lambda1_law]

    def combined(self, terms: Tensor) -> Tensor:
        """Return L_recon + L_t-consist from the distances at T and at the intermediate times, in this order."""
        if self.loss.combine == "sum" or len(terms) == 1:
            return terms.sum()
        return terms[0] + terms[1:].mean()

    def penalties(
        self, states: Sequence[Tensor], levels: Sequence[Tensor], latents: Latents, labels: Tensor | None
    ) -> Tensor:
        """Return the closure and state penalties, weighted, averaged over the intermediate times; not in the paper.

        Args:
            states, levels: x_T and the intermediate states, and their noise levels.
            latents: of all states, one after the other.
            labels: of one state.
        """
        parts = [z.chunk(len(states)) for z in latents]
        first, terms = [part[0] for part in parts], []
        for k, (state, sigma) in enumerate(zip(states[1:], levels[1:], strict=True), start=1):
            term = state.new_zeros(())
            if self.loss.closure_weight:
                term = term + self.loss.closure_weight * self.closure(first, [part[k] for part in parts], sigma)
            if self.loss.state_weight:
                image = self.student(states[0], self.sigma_max, labels, latents=first, to_sigma=sigma)
                term = term + self.loss.state_weight * self.state_error(image, state, sigma)
            terms.append(term)
        return torch.stack(terms).mean()

    def closure(self, first: Latents, there: Latents, sigma: Tensor) -> Tensor:
        """Return the gap between the latents of x_T, evolved to levels sigma (B,), and those of the states there."""
        return latent_gap(self.student.evolve(first, self.sigma_max, sigma), there, self.loss.closure_norm)

    def state_error(self, image: Tensor, state: Tensor, sigma: Tensor) -> Tensor:
        """Return |image - x_t|^2 per value, in units of the variance sigma^2 + sigma_data^2 of x_t."""
        variance = (sigma.to(state).square() + self.student.sigma_data**2)[:, None, None, None]
        return ((image - state).square() / variance).mean()

    def parameter_groups(self, name: str) -> list[dict[str, Any]]:
        """Return the network, and A with its own learning rate."""
        operators = {id(p) for p in self.student.koopman_parameters()}
        network = [p for p in self.student.parameters() if id(p) not in operators]
        groups = [{"params": network, "lr_scale": 1.0}]
        generators = [p for p in self.student.koopman_parameters() if p.requires_grad]
        scale = self.student.settings.operator_lr_scale
        return [*groups, {"params": generators, "lr_scale": scale}] if generators else groups

    def initialise(self, name: str, state: dict[str, Tensor]) -> None:
        """Take encoder and decoder from the teacher's halves; A is zero or drawn."""
        self.student.initialise_from(state)

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
