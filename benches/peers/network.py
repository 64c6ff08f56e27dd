"""The Very Deep VAE in PyTorch, for timing beside ours.

Block strings, widths and operators are those of the published network (arXiv 2011.10650). Weights
are random: only the time matters. Latents are drawn from the posterior, as in training.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

PRESETS = {
    "cifar10": dict(
        size=32, width=384, enc="32x11,32d2,16x6,16d2,8x6,8d2,4x3,4d4,1x3",
        dec="1x1,4m1,4x2,8m4,8x5,16m8,16x10,32m16,32x21"),
    "imagenet64": dict(
        size=64, width=512, enc="64x11,64d2,32x20,32d2,16x9,16d2,8x8,8d2,4x7,4d4,1x5",
        dec="1x2,4m1,4x3,8m4,8x7,16m8,16x15,32m16,32x31,64m32,64x12"),
    "ffhq256": dict(
        size=256, width=512,
        enc="256x3,256d2,128x8,128d2,64x12,64d2,32x17,32d2,16x7,16d2,8x5,8d2,4x5,4d4,1x4",
        dec="1x2,4m1,4x3,8m4,8x4,16m8,16x9,32m16,32x21,64m32,64x13,128m64,128x7,256m128"),
    "tiny": dict(  # to see that it works
        size=16, width=24, enc="16x2,16d2,8x2,8d2,4x1,4d4,1x1",
        dec="1x1,4m1,4x1,8m4,8x2,16m8,16x2"),
}
LATENT, MIXTURES = 16, 10


def parse(text):
    """Yields (resolution, rate or source, kind) of each block, kind 'x', 'd' or 'm'."""
    for part in text.split(","):
        kind = next(c for c in part if c in "xdm")
        resolution, number = map(int, part.split(kind))
        for _ in range(number if kind == "x" else 1):
            yield resolution, None if kind == "x" else number, kind


class Block(nn.Module):
    """1×1, k×k, k×k, 1×1, each after an exact GELU."""

    def __init__(self, inputs, middle, outputs, resolution, residual=False):
        super().__init__()
        k = 3 if resolution > 2 else 1
        sizes = [(inputs, middle, 1), (middle, middle, k), (middle, middle, k), (middle, outputs, 1)]
        self.convs = nn.ModuleList(nn.Conv2d(i, o, k, padding=k // 2) for i, o, k in sizes)
        self.residual = residual

    def forward(self, x):
        h = x
        for conv in self.convs:
            h = conv(F.gelu(h))
        return x + h if self.residual else h


class Layer(nn.Module):
    """One stochastic layer of the decoder."""

    def __init__(self, width, resolution, source):
        super().__init__()
        middle = width // 4
        self.resolution, self.source = resolution, source
        self.prior = Block(width, middle, 2 * LATENT + width, resolution)
        self.posterior = Block(2 * width, middle, 2 * LATENT, resolution)
        self.project = nn.Conv2d(LATENT, width, 1)
        self.resnet = Block(width, middle, width, resolution, residual=True)

    def forward(self, states, activations):
        r = self.resolution
        x = states.get(r)
        if self.source:
            low = F.interpolate(states[self.source], scale_factor=r // self.source)
            x = low if x is None else x + low
        prior_mean, prior_log_std, feature = self.prior(x).split([LATENT, LATENT, x.shape[1]], 1)
        mean, log_std = self.posterior(torch.cat([x, activations[r]], 1)).chunk(2, 1)
        variance = (2 * (log_std - prior_log_std)).exp()
        distance = (mean - prior_mean) ** 2 * (-2 * prior_log_std).exp()
        kl = prior_log_std - log_std - 0.5 + 0.5 * (variance + distance)
        z = mean + log_std.exp() * torch.randn_like(mean)
        states[r] = self.resnet(x + feature + self.project(z))
        return mean, kl


class Network(nn.Module):
    def __init__(self, preset):
        super().__init__()
        spec = PRESETS[preset]
        width, self.size = spec["width"], spec["size"]
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        blocks = list(parse(spec["enc"]))
        self.rates = [number if kind == "d" else None for _, number, kind in blocks]
        self.encoder = nn.ModuleList(
            Block(width, width // 4, width, r, residual=True) for r, _, _ in blocks)
        layers = list(parse(spec["dec"]))
        self.layers = nn.ModuleList(Layer(width, r, number) for r, number, _ in layers)
        resolutions = sorted({r for r, _, _ in layers})
        self.biases = nn.ParameterDict(
            {str(r): nn.Parameter(torch.zeros(1, width, r, r)) for r in resolutions if r <= 64})
        self.gain = nn.Parameter(torch.ones(1, width, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.output = nn.Conv2d(width, 10 * MIXTURES, 1)

    def encode(self, x):
        x = self.stem(x)
        activations = {x.shape[2]: x}
        for block, rate in zip(self.encoder, self.rates):
            x = block(x)
            if rate:
                x = F.avg_pool2d(x, rate)
            activations[x.shape[2]] = x
        return activations

    def decode(self, activations, layers=None):
        n, dtype = activations[1].shape[0], activations[1].dtype
        states = {int(r): b.to(dtype).expand(n, -1, -1, -1) for r, b in self.biases.items()}
        outputs = [layer(states, activations) for layer in list(self.layers)[:layers]]
        return states, outputs

    def latents(self, x, layers=None):
        """Posterior means of the first layers (all by default)."""
        return [mean for mean, _ in self.decode(self.encode(x), layers)[1]]

    def loss(self, x, target):
        """Mean over the batch of distortion + rate, nats per dimension."""
        states, outputs = self.decode(self.encode(x))
        dims = target[0].numel()
        rate = sum(kl.sum((1, 2, 3)) for _, kl in outputs) / dims
        logits = self.output(states[self.size] * self.gain + self.bias)
        return (mixture_nll(logits.float(), target) + rate).mean()


def mixture_nll(logits, target):
    """The discretized mixture of logistics, (N) nats per dimension; target in [-1, 1]."""
    n, _, h, w = logits.shape
    mix, rest = logits[:, :MIXTURES], logits[:, MIXTURES:].reshape(n, 3, 3 * MIXTURES, h, w)
    means, log_scales, ties = rest.chunk(3, 2)
    log_scales, ties = log_scales.clamp(min=-7.0), ties.tanh()
    t = target[:, :, None]
    red, green = t[:, 0], t[:, 1]
    means = torch.stack([
        means[:, 0],
        means[:, 1] + ties[:, 0] * red,
        means[:, 2] + ties[:, 1] * red + ties[:, 2] * green,
    ], 1)
    distance, inverse = t - means, (-log_scales).exp()
    high, low = inverse * (distance + 1 / 255), inverse * (distance - 1 / 255)
    middle = inverse * distance
    probability = high.sigmoid() - low.sigmoid()
    narrow = middle - log_scales - 2 * F.softplus(middle) - math.log(127.5)
    body = torch.where(probability > 1e-5, probability.clamp(min=1e-12).log(), narrow)
    log_p = torch.where(t < -0.999, F.logsigmoid(high), torch.where(t > 0.999, -F.softplus(low), body))
    return -torch.logsumexp(log_p.sum(1) + mix.log_softmax(1), 1).sum((1, 2)) / (3 * h * w)
