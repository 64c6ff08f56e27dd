"""PixelCNN++ in PyTorch, for timing beside ours.

The network is that of arXiv 1701.05517 and its published code, without dropout. Weights are random: only
the time matters.
"""

import torch
import torch.nn.functional as F
from torch import nn

from network import MIXTURES, mixture_nll

ABOVE, BESIDE = ((2, 3), (1, 1, 1, 0)), ((2, 2), (1, 0, 1, 0))
ONE = ((1, 1), (0, 0, 0, 0))


class Conv(nn.Module):
    """A convolution with weight normalisation; `window` is its kernel, and the padding in front."""

    def __init__(self, inputs, outputs, window, stride=1):
        super().__init__()
        kernel, self.padding = window
        self.v = nn.Parameter(0.05 * torch.randn(outputs, inputs, *kernel))
        self.g = nn.Parameter(torch.ones(outputs, 1, 1, 1))
        self.b = nn.Parameter(torch.zeros(outputs))
        self.stride = stride

    def forward(self, x):
        if any(self.padding):
            x = F.pad(x, self.padding)
        return F.conv2d(x, torch._weight_norm(self.v, self.g, 0), self.b, self.stride)


class Enlarge(nn.Module):
    """A transposed convolution of stride 2 with weight normalisation."""

    def __init__(self, filters, kernel):
        super().__init__()
        self.v = nn.Parameter(0.05 * torch.randn(filters, filters, *kernel))
        self.g = nn.Parameter(torch.ones(filters, 1, 1, 1))
        self.b = nn.Parameter(torch.zeros(filters))
        self.side = (kernel[1] - 1) // 2

    def forward(self, x):
        # A transposed convolution has its outputs second.
        weight = torch._weight_norm(self.v, self.g, 0).transpose(0, 1)
        y = F.conv_transpose2d(x, weight, self.b, 2)
        return y[:, :, : 2 * x.shape[2], self.side: self.side + 2 * x.shape[3]]


def concat_elu(x):
    return F.elu(torch.cat([x, -x], 1))


class Block(nn.Module):
    def __init__(self, filters, window, skip=0):
        super().__init__()
        self.first = Conv(2 * filters, filters, window)
        self.skip = Conv(2 * skip, filters, ONE) if skip else None
        self.second = Conv(2 * filters, 2 * filters, window)

    def forward(self, x, skip=None):
        hidden = self.first(concat_elu(x))
        if skip is not None:
            hidden = hidden + self.skip(concat_elu(skip))
        a, b = self.second(concat_elu(hidden)).chunk(2, 1)
        return x + a * b.sigmoid()


class PixelCnn(nn.Module):
    size = 32

    def __init__(self, filters, blocks):
        super().__init__()
        self.first = Conv(4, filters, ((2, 3), (1, 1, 2, 0)))
        self.row = Conv(4, filters, ((1, 3), (1, 1, 1, 0)))
        self.column = Conv(4, filters, ((2, 1), (1, 0, 1, 0)))

        def streams(n, *skips):
            windows = zip((ABOVE, BESIDE), skips)
            return nn.ModuleList(
                nn.ModuleList(Block(filters, window, skip) for _ in range(n))
                for window, skip in windows)
        self.up = nn.ModuleList(streams(blocks, 0, filters) for _ in range(3))
        self.down = nn.ModuleList(
            streams(blocks + (scale < 2), filters, 2 * filters) for scale in range(3))
        self.shrink = nn.ModuleList(
            nn.ModuleList(Conv(filters, filters, window, 2) for window in (ABOVE, BESIDE))
            for _ in range(2))
        self.enlarge = nn.ModuleList(
            nn.ModuleList(Enlarge(filters, window[0]) for window in (ABOVE, BESIDE))
            for _ in range(2))
        self.out = Conv(filters, 10 * MIXTURES, ONE)

    def forward(self, x):
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        above, y = self.first(x), self.row(x)[:, :, : x.shape[2]]
        beside = y + self.column(x)[:, :, :, : x.shape[3]]
        above = above[:, :, : x.shape[2]]
        kept = []
        for scale in range(3):
            if scale:
                above, beside = (f(s) for f, s in zip(self.shrink[scale - 1], (above, beside)))
            kept.append((above, beside))
            for over, next_to in zip(*self.up[scale]):
                above = over(above)
                beside = next_to(beside, above)
                kept.append((above, beside))
        kept.pop()
        for scale in (2, 1, 0):
            if scale < 2:
                above, beside = (f(s) for f, s in zip(self.enlarge[scale], (above, beside)))
            for over, next_to in zip(*self.down[scale]):
                kept_above, kept_beside = kept.pop()
                above = over(above, kept_above)
                beside = next_to(beside, torch.cat([above, kept_beside], 1))
        return self.out(F.elu(beside))

    def loss(self, x, target):
        """Mean over the batch, nats per dimension."""
        return mixture_nll(self(x).float(), target).mean()
