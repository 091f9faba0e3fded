"""A narrower U-Net from a wider one's weights: the channels that matter most are kept, as a start for training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

State = dict[str, Tensor]


def cut(state: State, widths: Sequence[int], stem: Tensor, head: Tensor, head_bias: Tensor) -> State:
    """Weights of a 2D ``ChamberUNet`` of ``widths`` from those of a wider one of as many levels.

    Of every level's channels those are kept that the layers after them weigh most. ``stem`` (widths[0], inputs, 3, 3),
    ``head`` (classes, widths[0], 1, 1) and ``head_bias`` take the place of the first and the last layer.
    """
    result: State = {"head.weight": head, "head.bias": head_bias}
    count = len(widths)
    all_of = torch.arange(widths[0])
    if state["stem.0.weight"].shape[0] != widths[0]:
        raise ValueError("the finest level keeps its width")
    result |= {"stem.0.weight": stem, **_norm(state, "stem.1", all_of)}
    result |= {"stem2.0.weight": state["stem2.0.weight"].clone(), **_norm(state, "stem2.1", all_of)}
    streams = [all_of]
    for level in range(1, count):
        if level == count - 1:
            users = [state["lifts.0.weight"]]
        else:
            k = count - 2 - level
            beside = state[f"ups.{k}.0.weight"][:, state[f"lifts.{k}.weight"].shape[0] :]
            users = [beside, state[f"downs.{level}.0.first.0.weight"], state[f"downs.{level}.0.shortcut.weight"]]
        kept = _most(users, widths[level])
        for block in (0, 1):
            name = f"downs.{level - 1}.{block}"
            before = streams[-1] if block == 0 else kept
            inner = _most([state[f"{name}.second.0.weight"]], widths[level])
            result[f"{name}.first.0.weight"] = _part(state[f"{name}.first.0.weight"], inner, before)
            result[f"{name}.second.0.weight"] = _part(state[f"{name}.second.0.weight"], kept, inner)
            result |= _norm(state, f"{name}.first.1", inner) | _norm(state, f"{name}.second.1", kept)
            if block == 0:
                result[f"{name}.shortcut.weight"] = _part(state[f"{name}.shortcut.weight"], kept, before)
        streams.append(kept)
    below = streams[-1]
    for k in range(count - 1):
        level = count - 2 - k
        lift, up = state[f"lifts.{k}.weight"], state[f"ups.{k}.0.weight"]
        lifted = _most([up[:, : lift.shape[0]]], widths[level])
        result[f"lifts.{k}.weight"] = _part(lift, lifted, below)
        users = [state[f"lifts.{k + 1}.weight"]] if k + 1 < count - 1 else [state["head.weight"]]
        out = _most(users, widths[level])
        result[f"ups.{k}.0.weight"] = _part(up, out, torch.cat([lifted, streams[level] + lift.shape[0]]))
        result |= _norm(state, f"ups.{k}.1", out)
        below = out
    return result


def _most(users: Sequence[Tensor], count: int) -> Tensor:
    """The ``count`` input channels, in order, that the weights (out, in, ...) of ``users`` weigh most."""
    weight = sum(u.float().square().sum(dim=(0, 2, 3)) / u.float().square().sum() for u in users)
    assert isinstance(weight, Tensor)
    return torch.sort(torch.topk(weight, count).indices).values


def _part(weight: Tensor, out: Tensor, given: Tensor) -> Tensor:
    return weight[out][:, given].clone()


def _norm(state: State, name: str, kept: Tensor) -> State:
    return {f"{name}.{k}": state[f"{name}.{k}"][kept].clone() for k in ("weight", "bias")}
