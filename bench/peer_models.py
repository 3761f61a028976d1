#!/usr/bin/env python3
"""The peers of bench/models in PyTorch: one training step of a model on random data, forward, backward and update, no dropout.

usage: peer_models.py NAME f32|bf16 eager|compiled [name=value]...      NAME: of MODELS below; bf16: under torch's autocast
Goes on until it is ended, as bench/turns.py says; its first line has the loss of the first step and the number of parameters.
"""
import contextlib
import copy
import functools
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

import turns

# ---- transformers


class Layer(nn.Module):
    """Norms in front; causal ones have no biases, as GPT's here."""
    def __init__(self, d, heads, causal):
        super().__init__()
        self.heads, self.causal, bias = heads, causal, not causal
        self.qkv, self.out = nn.Linear(d, 3 * d, bias), nn.Linear(d, d, bias)
        self.up, self.down = nn.Linear(d, 4 * d, bias), nn.Linear(4 * d, d, bias)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)

    def attend(self, x):
        b, t, d = x.shape
        q, k, v = (y.view(b, t, self.heads, d // self.heads).transpose(1, 2) for y in self.qkv(x).split(d, 2))
        if hasattr(F, "scaled_dot_product_attention"):
            y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        else:
            score = q @ k.transpose(-2, -1) * (d // self.heads) ** -0.5
            if self.causal:
                score = score.masked_fill(torch.ones(t, t, dtype=torch.bool).triu(1), float("-inf"))
            y = F.softmax(score, -1) @ v
        return self.out(y.transpose(1, 2).reshape(b, t, d))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def table(rows, d):
    e = nn.Embedding(rows, d)
    nn.init.normal_(e.weight, std=0.02)
    return e


def next_loss(logits, ids):
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


class Gpt(nn.Module):
    def __init__(self, vocab, seq, d, layers, heads, **_):
        super().__init__()
        self.word, self.position, self.norm = table(vocab, d), table(seq, d), nn.LayerNorm(d)
        self.layer = nn.Sequential(*[Layer(d, heads, True) for _ in range(layers)])

    def forward(self, ids):
        x = self.layer(self.word(ids[:, :-1]) + self.position.weight[: ids.size(1) - 1])
        return next_loss(F.linear(self.norm(x), self.word.weight), ids)


class Mae(nn.Module):
    """The encoder sees `seen` patches of a picture, the decoder guesses the others."""
    def __init__(self, size, channels, patch, d, layers, heads, e, depth, wide, seen, **_):
        super().__init__()
        n, m = (size // patch) ** 2, patch ** 2 * channels
        self.patch, self.seen, self.n = patch, seen, n
        self.enter, self.place = nn.Linear(m, d), table(n, d)
        self.encode = nn.Sequential(*[Layer(d, heads, False) for _ in range(layers)], nn.LayerNorm(d))
        self.widen, self.blank, self.back = nn.Linear(d, e), nn.Parameter(0.02 * torch.randn(e)), table(n, e)
        self.decode = nn.Sequential(*[Layer(e, wide, False) for _ in range(depth)], nn.LayerNorm(e), nn.Linear(e, m))

    def patches(self, image):
        b, c, h, w = image.shape
        p = self.patch
        x = image.float().view(b, c, h // p, p, w // p, p).permute(0, 2, 4, 3, 5, 1)
        return x.reshape(b, self.n, p * p * c) / 255

    def forward(self, image):
        x = self.patches(image)
        b = len(x)
        at = torch.rand(b, self.n).argsort(1)[:, : self.seen]
        places = (torch.arange(b)[:, None], at)
        code = self.encode((self.enter(x) + self.place.weight)[places])
        y = self.blank.expand(b, self.n, -1).clone()
        seen = self.widen(code)
        y = self.decode(y.to(seen.dtype).index_put(places, seen) + self.back.weight)
        hidden = torch.ones(b, self.n).index_put(places, torch.zeros(()))
        return ((x - y.float()) ** 2 * hidden[:, :, None]).sum() / (hidden.sum() * x.size(2))


# ---- other networks


class Lstm(nn.Module):
    def __init__(self, vocab, d, hidden, layers, **_):
        super().__init__()
        self.word, self.layers, self.head = table(vocab, d), nn.LSTM(d, hidden, layers, batch_first=True), nn.Linear(hidden, vocab)

    def forward(self, ids):
        return next_loss(self.head(self.layers(self.word(ids[:, :-1]))[0]), ids)


def mlp(*sizes):
    layers = [layer for m, n in zip(sizes, sizes[1:]) for layer in (nn.Linear(m, n), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def flat(image):
    return image.flatten(1).float() / 255


class Autoencoder(nn.Module):
    def __init__(self, wide, narrow, **_):
        super().__init__()
        self.net = nn.Sequential(mlp(784, wide, narrow, 32), mlp(32, narrow, wide, 784))

    def forward(self, image):
        x = flat(image)
        return F.mse_loss(torch.sigmoid(self.net(x).float()), x)


class Vae(nn.Module):
    def __init__(self, width, z, **_):
        super().__init__()
        self.trunk, self.mu, self.log_var = nn.Linear(784, width), nn.Linear(width, z), nn.Linear(width, z)
        self.decode = mlp(z, width, 784)

    def forward(self, image):
        x = torch.bernoulli(flat(image))
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

    def forward(self, image):
        x = image.float() / 255
        return F.mse_loss(torch.sigmoid(self.decode(self.encode(x)).float()), x)


class Classifier(nn.Module):
    def __init__(self, **_):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, 1, 1), nn.ReLU(),
                                 nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1568, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, image):
        return F.cross_entropy(self.net(image.float() / 255), torch.arange(len(image)) % 10)


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
        self.trunk, self.head = nn.Sequential(*layers), mlp(512, 512, 128)

    def forward(self, x):
        z = F.normalize(self.head(self.trunk(x).mean((2, 3))).float(), dim=1)
        n = len(z)
        score = (z @ z.t() / 0.5).masked_fill(torch.eye(n, dtype=torch.bool), -1e9)
        return F.cross_entropy(score, (torch.arange(n) + n // 2) % n)


# ---- two players


class Pair(nn.Module):
    def __init__(self, G, D, z):
        super().__init__()
        self.G, self.D, self.z = G, D, z


def gan(width, z, **_):
    G = nn.Sequential(nn.Linear(z, 49 * 2 * width), nn.Unflatten(1, (2 * width, 7, 7)), nn.BatchNorm2d(2 * width), nn.ReLU(),
                      nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.BatchNorm2d(width), nn.ReLU(),
                      nn.ConvTranspose2d(width, 1, 4, 2, 1), nn.Tanh())
    D = nn.Sequential(nn.Conv2d(1, width, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.2),
                      nn.Flatten(), nn.Linear(49 * 2 * width, 1))
    return Pair(G, D, z)


class Modulated(nn.Module):
    """As std.style has it: the style scales what goes in, and what comes out is brought back; one convolution for the whole batch."""
    def __init__(self, m, n, kernel, style, demodulate=True):
        super().__init__()
        self.conv, self.affine, self.demodulate = nn.Conv2d(m, n, kernel, 1, kernel // 2, bias=False), nn.Linear(style, m), demodulate

    def forward(self, x, w):
        s = 1 + self.affine(w)
        y = self.conv(x * s[:, :, None, None])
        if self.demodulate:
            y = y * torch.rsqrt(s ** 2 @ (self.conv.weight ** 2).sum((2, 3)).t() + 1e-8)[:, :, None, None]
        return y


class Styled(nn.Module):
    def __init__(self, m, n, style):
        super().__init__()
        self.mix, self.strength, self.bias = Modulated(m, n, 3, style), nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(n, 1, 1))

    def forward(self, x, w):
        y = self.mix(x, w)
        noise = torch.randn(len(y), 1, y.size(2), y.size(3))
        return F.leaky_relu(y + self.strength * noise + self.bias, 0.2) * 2 ** 0.5


def finer(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class StyleGenerator(nn.Module):
    def __init__(self, width, style, layers):
        super().__init__()
        sizes = [4 * width, 2 * width, width]
        self.mapping = nn.ModuleList([nn.Linear(style, style) for _ in range(layers)])
        self.start = nn.Parameter(torch.randn(1, 4 * width, 7, 7))
        self.first = Styled(4 * width, 4 * width, style)
        self.more = nn.ModuleList([nn.ModuleList([Styled(m, n, style), Styled(n, n, style)]) for m, n in zip(sizes, sizes[1:])])
        self.shown = nn.ModuleList([Modulated(n, 1, 1, style, False) for n in sizes])
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, code):
        w = code * torch.rsqrt((code ** 2).mean(1, keepdim=True) + 1e-8)
        for layer in self.mapping:
            w = F.leaky_relu(layer(w), 0.2)
        x = self.first(self.start.expand(len(w), -1, -1, -1), w)
        picture = self.shown[0](x, w) + self.bias[0]
        for (one, two), shown, bias in zip(self.more, self.shown[1:], self.bias[1:]):
            x = two(one(finer(x), w), w)
            picture = finer(picture) + shown(x, w) + bias
        return picture


class Coarser(nn.Module):
    def __init__(self, m, n):
        super().__init__()
        self.one, self.two, self.past = nn.Conv2d(m, m, 3, 1, 1), nn.Conv2d(m, n, 3, 1, 1), nn.Linear(m, n, bias=False)

    def forward(self, x):
        y = F.leaky_relu(self.two(F.leaky_relu(self.one(x), 0.2)), 0.2)
        past = self.past(F.avg_pool2d(x, 2).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return (F.avg_pool2d(y, 2) + past) / 2 ** 0.5


class StyleDiscriminator(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(1, width, 1), nn.LeakyReLU(0.2), Coarser(width, 2 * width), Coarser(2 * width, 4 * width))
        self.leave = nn.Sequential(nn.Conv2d(4 * width + 1, 4 * width, 3, 1, 1), nn.LeakyReLU(0.2), nn.Flatten(),
                                   nn.Linear(49 * 4 * width, 4 * width), nn.LeakyReLU(0.2), nn.Linear(4 * width, 1))

    def forward(self, picture):
        x = self.enter(picture)
        deviation = torch.sqrt(x.var(0, unbiased=False) + 1e-8).mean()
        return self.leave(torch.cat([x, deviation.expand(len(x), 1, 7, 7)], 1))


def stylegan(width, style, layers, **_):
    return Pair(StyleGenerator(width, style, layers), StyleDiscriminator(width), style)


# ---- steps


def count(model):
    return sum(p.numel() for p in model.parameters())


def adam(parameters, rate, **more):
    kind = "fused" if torch.__version__ >= "2.6" else "foreach"
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01, **{kind: True}, **more)


class Training:
    """One network and one loss."""
    def __init__(self, model, x, mode, amp, clip=0, **_):
        self.model, self.x, self.amp, self.clip = started(model), x, amp, clip
        self.rule, self.parameters = adam(model.parameters(), 3e-4), count(model)
        self.loss = torch.compile(model) if mode == "compiled" else model

    def step(self):
        with self.amp():
            loss = self.loss(self.x)
        self.rule.zero_grad(set_to_none=True)
        loss.backward()
        if self.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.rule.step()
        return loss


class Players:
    """Discriminator with R1, then generator against the updated one, then the average of its weights. R1 is a gradient of a gradient, which
    torch.compile does not make: the discriminator sees real pictures without it."""
    def __init__(self, pair, x, mode, amp, **_):
        self.G, self.D, self.z, self.pictures, self.amp = pair.G, pair.D, pair.z, x, amp
        started(pair)
        self.average = copy.deepcopy(self.G)
        self.parameters = count(pair) + count(self.average)
        self.rules = [adam(m.parameters(), 5e-4, betas=(0.5, 0.999)) for m in (self.D, self.G)]
        self.draw, self.score = (torch.compile(m) if mode == "compiled" else m for m in (self.G, self.D))

    def update_d(self, real, fake):
        with self.amp():
            score, score_fake = self.D(real)[:, 0], self.score(fake)[:, 0]
        slope, = torch.autograd.grad(score.sum(), real, create_graph=True)
        loss = F.softplus(-score).mean() + F.softplus(score_fake).mean() + 0.5 * (slope ** 2).sum((1, 2, 3)).mean()
        self.rules[0].zero_grad()
        loss.backward()
        self.rules[0].step()
        return loss

    def update_g(self, fake):
        self.D.requires_grad_(False)
        with self.amp():
            loss = F.softplus(-self.score(fake)[:, 0]).mean()
        self.rules[1].zero_grad()
        loss.backward()
        self.rules[1].step()
        self.D.requires_grad_(True)

    def step(self):
        real = (self.pictures.float() / 127.5 - 1).requires_grad_()
        with self.amp():
            fake = self.draw(torch.randn(len(real), self.z))
        loss = self.update_d(real, fake.detach())
        self.update_g(fake)
        with torch.no_grad():
            for a, b in zip(self.average.state_dict().values(), self.G.state_dict().values()):
                if a.dtype.is_floating_point:
                    a.lerp_(b, 0.01)
        return loss


def started(model):
    """Starts as std.nn does: Glorot's values for matrices, He's for convolutions, no biases."""
    for m in model.modules():
        if isinstance(m, (nn.Linear, nn.ConvTranspose2d)):
            nn.init.xavier_uniform_(m.weight)
        elif isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight)
        if isinstance(m, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)) and m.bias is not None:
            nn.init.zeros_(m.bias)
    for p in [p for m in model.modules() if isinstance(m, Layer) and m.causal for p in m.parameters() if p.dim() > 1]:
        nn.init.normal_(p, std=0.02)
    return model


def words(samples, seq, vocab, **_):
    return torch.randint(0, vocab, (samples, seq + 1))


def pictures(samples, size=28, channels=1, **_):
    return torch.randint(0, 256, (samples, channels, size, size), dtype=torch.uint8)


def views(samples, **_):
    return torch.randn(samples, 3, 32, 32)


MODELS = {"gpt": (Training, Gpt, words), "lstm": (Training, Lstm, words), "mae": (Training, Mae, pictures),
          "autoencoder": (Training, Autoencoder, pictures), "vae": (Training, Vae, pictures), "convae": (Training, ConvAutoencoder, pictures),
          "classifier": (Training, Classifier, pictures), "resnet": (Training, Resnet, views),
          "gan": (Players, gan, pictures), "stylegan": (Players, stylegan, pictures)}
CHANNELS_LAST = ("classifier", "resnet", "gan", "stylegan")  # as fast as it goes: measured


def main():
    name, precision, mode = sys.argv[1:4]
    sizes = {k: int(v) for k, v in (a.split("=") for a in sys.argv[4:])}
    torch.manual_seed(1)
    amp = functools.partial(torch.autocast, "cpu", dtype=torch.bfloat16) if precision == "bf16" else contextlib.nullcontext
    training, make, data = MODELS[name]
    model, x = make(**sizes), data(**sizes)
    if name in CHANNELS_LAST:
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    t = training(model, x, mode, amp, **sizes)
    turns.forever(t.step, loss=t.step().item(), parameters=t.parameters)


main()
