#!/usr/bin/env python3
"""The peer of bench/bert.upm in PyTorch: the same step on random words, forward, backward and AdamW, no dropout.

usage: peer_torch.py vocab seq width layers heads samples all|gather eager|compiled f32|bf16
gather: logits for hidden words only, as upt does in its rows of masked logits. bf16: under torch's autocast.
Goes on until it is ended, as bench/turns.py says.
"""
import contextlib
import functools
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

import turns


class Layer(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)

    def attend(self, x):
        b, t, d = x.shape
        q, k, v = (y.view(b, t, self.heads, d // self.heads).transpose(1, 2) for y in self.qkv(x).split(d, 2))
        if hasattr(F, "scaled_dot_product_attention"):
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = F.softmax(q @ k.transpose(-2, -1) * (d // self.heads) ** -0.5, -1) @ v
        return self.out(y.transpose(1, 2).reshape(b, t, d))

    def forward(self, x):
        x = self.norm1(x + self.attend(x))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class Bert(nn.Module):
    def __init__(self, vocab, seq, d, layers, heads):
        super().__init__()
        self.word, self.position, self.segment = nn.Embedding(vocab, d), nn.Embedding(seq, d), nn.Embedding(2, d)
        self.norm = nn.LayerNorm(d)
        self.layer = nn.ModuleList([Layer(d, heads) for _ in range(layers)])
        self.dense, self.head_norm, self.bias = nn.Linear(d, d), nn.LayerNorm(d), nn.Parameter(torch.zeros(vocab))
        for e in (self.word, self.position, self.segment):
            nn.init.normal_(e.weight, std=0.02)

    def forward(self, ids, target, at):
        x = self.norm(self.word(ids) + self.position(torch.arange(ids.size(1))) + self.segment(torch.zeros_like(ids)))
        for layer in self.layer:
            x = layer(x)
        if at is not None:  # the same number of places a row in every step, as in bench/bert.upm: those not hidden count for nothing
            x, target = torch.gather(x, 1, at[:, :, None].expand(-1, -1, x.size(2))), torch.gather(target, 1, at)
        logits = F.linear(self.head_norm(F.gelu(self.dense(x))), self.word.weight, self.bias)
        return F.cross_entropy(logits.view(-1, logits.size(-1)), target.view(-1), ignore_index=-100)


def main():
    vocab, seq, d, layers, heads, samples = map(int, sys.argv[1:7])
    gather, compiled, precision = sys.argv[7] == "gather", sys.argv[8] == "compiled", sys.argv[9]
    amp = functools.partial(torch.autocast, "cpu", dtype=torch.bfloat16) if precision == "bf16" else contextlib.nullcontext
    torch.manual_seed(1)
    model = Bert(vocab, seq, d, layers, heads)
    step = torch.compile(model) if compiled else model
    rule = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.01)

    def once():
        ids = torch.randint(0, vocab, (samples, seq))
        hit = torch.rand(samples, seq) < 0.15
        at = torch.argsort(~hit, dim=1, stable=True)[:, : seq // 4] if gather else None
        with amp():
            loss = step(ids.masked_fill(hit, 103), ids.masked_fill(~hit, -100), at)
        rule.zero_grad(set_to_none=True)
        loss.backward()
        rule.step()

    turns.forever(once)


main()
