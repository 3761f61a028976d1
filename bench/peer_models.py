#!/usr/bin/env python3
"""The peers of bench/models in PyTorch: one training step of a model on random data, forward, backward and AdamW, no dropout.

usage: peer_models.py gpt|vae|convae|resnet f32|bf16 eager|compiled seconds [name=value]...
bf16: under torch's autocast. Prints one line: version, median step in ms, peak resident memory in MB.
"""
import contextlib
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

import tuned


def plain(d_in, d_out):
    return nn.Linear(d_in, d_out, bias=False)


class Layer(nn.Module):
    def __init__(self, d, heads, seq):
        super().__init__()
        self.heads = heads
        self.qkv, self.out, self.up, self.down = plain(d, 3 * d), plain(d, d), plain(d, 4 * d), plain(4 * d, d)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.register_buffer("hidden", torch.tril(torch.ones(seq, seq)) == 0)

    def attend(self, x):
        b, t, d = x.shape
        q, k, v = (y.view(b, t, self.heads, d // self.heads).transpose(1, 2) for y in self.qkv(x).split(d, 2))
        if hasattr(F, "scaled_dot_product_attention"):
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            y = F.softmax((q @ k.transpose(-2, -1) * (d // self.heads) ** -0.5).masked_fill(self.hidden, float("-inf")), -1) @ v
        return self.out(y.transpose(1, 2).reshape(b, t, d))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Gpt(nn.Module):
    def __init__(self, vocab, seq, d, layers, heads, **_):
        super().__init__()
        self.word, self.position, self.norm = nn.Embedding(vocab, d), nn.Embedding(seq, d), nn.LayerNorm(d)
        self.layer = nn.ModuleList([Layer(d, heads, seq) for _ in range(layers)])
        for e in (self.word, self.position):
            nn.init.normal_(e.weight, std=0.02)

    def forward(self, ids):
        x = self.word(ids[:, :-1]) + self.position(torch.arange(ids.size(1) - 1))
        for layer in self.layer:
            x = layer(x)
        logits = F.linear(self.norm(x), self.word.weight)
        return F.cross_entropy(logits.view(-1, logits.size(-1)), ids[:, 1:].reshape(-1))


class Vae(nn.Module):
    def __init__(self, **_):
        super().__init__()
        self.trunk, self.mu, self.log_var = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.decode = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784))

    def forward(self, x):
        h = F.relu(self.trunk(x))
        m, v = self.mu(h), self.log_var(h)
        y = self.decode(m + torch.exp(v / 2) * torch.randn_like(m))
        kl = 0.5 * (v.exp() + m ** 2 - 1 - v).float().sum(-1)
        return (F.binary_cross_entropy_with_logits(y.float(), x, reduction="none").sum(-1) + kl).mean()


class ConvAutoencoder(nn.Module):
    def __init__(self, **_):
        super().__init__()
        self.encode = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 7))
        self.decode = nn.Sequential(nn.ConvTranspose2d(64, 32, 7), nn.ReLU(), nn.ConvTranspose2d(32, 16, 3, 2, 1, 1), nn.ReLU(),
                                    nn.ConvTranspose2d(16, 1, 3, 2, 1, 1))

    def forward(self, x):
        return F.mse_loss(torch.sigmoid(self.decode(self.encode(x)).float()), x)


class Basic(nn.Module):
    def __init__(self, m, n, stride):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(m, n, 3, stride, 1, bias=False), nn.BatchNorm2d(n)
        self.conv2, self.norm2 = nn.Conv2d(n, n, 3, 1, 1, bias=False), nn.BatchNorm2d(n)
        other = stride != 1 or m != n
        self.short = nn.Sequential(nn.Conv2d(m, n, 1, stride, bias=False), nn.BatchNorm2d(n)) if other else nn.Identity()

    def forward(self, x):
        return F.relu(self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))) + self.short(x))


class Resnet(nn.Module):
    def __init__(self, **_):
        super().__init__()
        layers, m = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
        for n, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            layers += [Basic(m, n, stride), Basic(n, n, 1)]
            m = n
        self.trunk, self.head = nn.Sequential(*layers), nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 128))

    def forward(self, x):
        z = F.normalize(self.head(self.trunk(x).mean((2, 3))).float(), dim=1)
        n = len(z)
        score = (z @ z.t() / 0.5).masked_fill(torch.eye(n, dtype=torch.bool), -1e9)
        return F.cross_entropy(score, (torch.arange(n) + n // 2) % n)


MODELS = {
    "gpt": (Gpt, lambda s: torch.randint(0, s["vocab"], (s["samples"], s["seq"] + 1))),
    "vae": (Vae, lambda s: torch.rand(s["samples"], 784)),
    "convae": (ConvAutoencoder, lambda s: torch.rand(s["samples"], 1, 28, 28)),
    "resnet": (Resnet, lambda s: torch.randn(s["samples"], 3, 32, 32)),
}


def main():
    name, precision, mode = sys.argv[1:4]
    seconds = float(sys.argv[4])
    sizes = {k: int(v) for k, v in (a.split("=") for a in sys.argv[5:])}
    torch.manual_seed(1)
    make, data = MODELS[name]
    model, x = make(**sizes), data(sizes)
    if name == "resnet":  # as fast as it goes: measured, channels last wins
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    step = torch.compile(model) if mode == "compiled" else model
    rule = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.01)
    context = (lambda: torch.autocast("cpu", dtype=torch.bfloat16)) if precision == "bf16" else contextlib.nullcontext

    def once():
        with context():
            loss = step(x)
        rule.zero_grad(set_to_none=True)
        loss.backward()
        rule.step()

    ms, mb = tuned.time_steps(once, seconds, 2)
    print(f"{torch.__version__} {ms:.3f} {mb:.0f}")


main()
