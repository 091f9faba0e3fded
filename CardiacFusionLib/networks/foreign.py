"""Another maker's network in the place of one of ours: its grid, scale and labels translated on the way in and out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

Answer = Callable[[Sequence[Tensor]], Sequence[Tensor]]
LEAST = 1e-6  # probability that stands for "never", so that its logarithm is finite


class SameContract(nn.Module):
    """A network that takes and gives just what ours does."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer
        self.place = nn.Parameter(torch.zeros(1), requires_grad=False)  # tells the caller the device

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The other network's outputs, float32 on the device of the inputs; one tensor or several."""
        found = tuple(out.to(inputs[0].device, torch.float32) for out in self.answer(inputs))
        return found[0] if len(found) == 1 else found


class ForeignLabels(nn.Module):
    """A label network with another grid, another scale and other label numbers than ours.

    ``channels``: which of our input channels it is shown. ``zoom``: its voxels per one of ours. ``size``: its grid
    (z,) y, x, around the middle of ours (None: any). ``scale``: from our values to its own. ``labels``: its label
    number -> ours; labels not named count as background. Its output is one score a label, or ``finished`` labels.
    """

    def __init__(
        self,
        answer: Answer,
        classes: int,
        labels: Mapping[int, int],
        *,
        channels: Sequence[int] = (0,),
        zoom: float = 1.0,
        size: Sequence[int] | None = None,
        scale: Callable[[Tensor], Tensor] | None = None,
        finished: bool = False,
    ) -> None:
        super().__init__()
        self.answer, self.classes, self.labels = answer, classes, dict(labels)
        self.channels, self.zoom, self.size, self.scale, self.finished = list(channels), zoom, size, scale, finished
        self.place = nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, ...) of our grid -> scores (n, classes, ...) on it: logarithms of probabilities."""
        grid = x.shape[2:]
        seen = x[:, self.channels].contiguous()
        if self.zoom != 1.0:
            seen = nn.functional.interpolate(seen, scale_factor=self.zoom, mode=_linear(seen), align_corners=False)
        between = seen.shape[2:]
        if self.size is not None:
            seen = _centred(seen, self.size, float(seen.min()))
        if self.scale is not None:
            seen = self.scale(seen)
        found = self.answer((seen,))[0].to(x.device)
        theirs = self._shares(found)
        ours = torch.zeros((len(x), self.classes, *theirs.shape[2:]), device=x.device)
        for label in range(theirs.shape[1]):
            ours[:, self.labels.get(label, 0)] += theirs[:, label]
        # beyond the other network's grid there is background
        ours = _centred(ours - _one_hot_background(ours), between, 0.0)
        if ours.shape[2:] != grid:
            ours = nn.functional.interpolate(ours, size=grid, mode=_linear(ours), align_corners=False)
        return (ours + _one_hot_background(ours)).clamp_min(LEAST).log()

    def _shares(self, found: Tensor) -> Tensor:
        """Probabilities of its own labels (n, labels, ...), whatever it answers: labels, scores or probabilities."""
        if self.finished:
            count = max(self.labels) + 1
            whole = found.long().clamp(0, count - 1)
            whole = whole[:, 0] if whole.ndim == 4 + (self.size is not None and len(self.size) == 3) else whole
            return nn.functional.one_hot(whole, count).movedim(-1, 1).float()
        scores = found.float()
        sums = scores.sum(1)
        if float(scores.min()) >= 0 and float((sums - 1).abs().max()) < 1e-2:
            return scores  # probabilities already
        return scores.softmax(1)


def _linear(x: Tensor) -> str:
    return "trilinear" if x.ndim == 5 else "bilinear"


def _one_hot_background(like: Tensor) -> Tensor:
    shape = [1, like.shape[1]] + [1] * (like.ndim - 2)
    return nn.functional.one_hot(torch.tensor(0, device=like.device), like.shape[1]).float().reshape(shape)


def _centred(x: Tensor, size: Sequence[int], value: float) -> Tensor:
    """``x`` cropped or padded with ``value`` around its middle to the spatial ``size``."""
    pads: list[int] = []
    for have, want in zip(reversed(x.shape[2:]), reversed(list(size))):
        before = (want - have) // 2
        pads += [before, want - have - before]
    return nn.functional.pad(x, pads, value=value)
