"""The works of bench_step.c in PyTorch: same networks, losses and Adam, random data.

    torch_step.py WORK BATCH [nchw|nhwc] [compile] [bf16]        prints the median step after three that do not count:
    nine, or as many as take two seconds"""
import contextlib
import resource
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Codebook(nn.Module):
    """Nearest codes with straight-through; learns by moving averages (ema) or by its gradient."""

    def __init__(self, codes, width, ema):
        super().__init__()
        self.ema = ema
        table = torch.randn(codes, width)
        if ema:
            self.register_buffer("table", table)
            self.register_buffer("size", torch.ones(codes))
            self.register_buffer("sum", table.clone())
        else:
            self.table = nn.Parameter(table)

    @torch.no_grad()
    def codes(self, rows):
        return torch.addmm(self.table.square().sum(1), rows, self.table.t(), alpha=-2).argmin(1)

    def forward(self, z):
        rows = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])
        codes = self.codes(rows)
        found = F.embedding(codes, self.table).view(z.shape[0], z.shape[2], z.shape[3], -1).permute(0, 3, 1, 2)
        loss = 0.25 * F.mse_loss(z, found.detach())
        if not self.ema:
            loss = loss + F.mse_loss(found, z.detach())
        elif self.training:
            self.update(rows.detach(), codes)
        return z + (found - z).detach(), loss

    @torch.no_grad()
    def update(self, rows, codes, decay=0.99, epsilon=1e-5):
        k = self.size.numel()
        self.size.lerp_(torch.bincount(codes, minlength=k).float(), 1 - decay)
        self.sum.lerp_(torch.zeros_like(self.sum).index_add_(0, codes, rows.float()), 1 - decay)
        total = self.size.sum()
        self.table.copy_(self.sum / ((self.size + epsilon) / (total + k * epsilon) * total)[:, None])


# ---- the VQ-VAE of the CIFAR-10 notebooks --------------------------------------------------------------------------------


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(128, 32, 3, padding=1, bias=False)
        self.narrow = nn.Conv2d(32, 128, 1, bias=False)

    def forward(self, x):
        x = F.relu(x)
        return x + self.narrow(F.relu(self.wide(x)))


class VQVAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 64, 4, 2, 1), nn.ReLU(), nn.Conv2d(64, 128, 4, 2, 1), nn.ReLU(), nn.Conv2d(128, 128, 3, 1, 1),
            Residual(), Residual(), nn.ReLU(), nn.Conv2d(128, 64, 1))
        self.codebook = Codebook(512, 64, True)
        self.decoder = nn.Sequential(
            nn.Conv2d(64, 128, 3, 1, 1), Residual(), Residual(), nn.ReLU(), nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(64, 3, 4, 2, 1))

    def forward(self, x):
        z, loss = self.codebook(self.encoder(x))
        return F.mse_loss(self.decoder(z), x) / 0.0632704 + loss


class Encode(VQVAE):
    def forward(self, x):
        z = self.encoder(x)
        return self.codebook.codes(z.permute(0, 2, 3, 1).reshape(-1, 64))


# ---- the VQGAN network -----------------------------------------------------------------------------------------------------


class ResnetBlock(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(32, a, 1e-6), nn.GroupNorm(32, b, 1e-6)
        self.conv1, self.conv2 = nn.Conv2d(a, b, 3, 1, 1), nn.Conv2d(b, b, 3, 1, 1)
        self.skip = nn.Identity() if a == b else nn.Conv2d(a, b, 1)

    def forward(self, x):
        return self.skip(x) + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = nn.GroupNorm(32, c, 1e-6)
        self.q, self.k, self.v, self.out = (nn.Conv2d(c, c, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (f(h).flatten(2).transpose(1, 2).unsqueeze(1) for f in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.squeeze(1).transpose(1, 2).reshape(x.shape))


class Down(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, 2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


def up(c):
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(c, c, 3, 1, 1))


def middle(c):
    return [ResnetBlock(c, c), Attention(c), ResnetBlock(c, c)]


def last(c, out):
    return [nn.GroupNorm(32, c, 1e-6), nn.SiLU(), nn.Conv2d(c, out, 3, 1, 1)]


class VQGAN(nn.Module):
    def __init__(self):
        super().__init__()

        def level(a, b, n, attend):
            return [m for i in range(n) for m in [ResnetBlock(b if i else a, b)] + ([Attention(b)] if attend else [])]

        self.encoder = nn.Sequential(
            nn.Conv2d(3, 64, 3, 1, 1), *level(64, 64, 2, False), Down(64), *level(64, 128, 2, False), Down(128),
            *level(128, 128, 2, True), *middle(128), *last(128, 64))
        self.codebook = Codebook(512, 64, False)
        self.decoder = nn.Sequential(
            nn.Conv2d(64, 128, 3, 1, 1), *middle(128), *level(128, 128, 3, True), up(128), *level(128, 128, 3, False), up(128),
            *level(128, 64, 3, False), *last(64, 3))

    def forward(self, x):
        z, loss = self.codebook(self.encoder(x))
        return F.l1_loss(self.decoder(z), x) + loss


# ---- GPT -------------------------------------------------------------------------------------------------------------------


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(c), nn.LayerNorm(c)
        self.qkv, self.proj = nn.Linear(c, 3 * c), nn.Linear(c, c)
        self.mlp = nn.Sequential(nn.Linear(c, 4 * c), nn.GELU(), nn.Linear(4 * c, c))

    def forward(self, x):
        n, l, c = x.shape
        q, k, v = self.qkv(self.ln1(x)).view(n, l, 3, c // 64, 64).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(n, l, c))
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    def __init__(self, width, length, codes=1024):
        super().__init__()
        self.table, self.position = nn.Embedding(codes, width), nn.Parameter(torch.zeros(1, length, width))
        self.blocks = nn.Sequential(*[Block(width) for _ in range(8)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, codes, bias=False)

    def forward(self, x):
        logits = self.head(self.norm(self.blocks(self.table(x[:, :-1]) + self.position)))
        return F.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten())


# ---- steps -----------------------------------------------------------------------------------------------------------------


def make(work, batch):
    if work.startswith("gpt-"):
        width, length = map(int, work.split("-")[1:])
        return GPT(width, length), torch.randint(0, 1024, (batch, length + 1))
    size, model = {"vqvae": (32, VQVAE), "encode": (32, Encode), "vqgan64": (64, VQGAN)}[work]
    return model(), torch.rand(batch, 3, size, size) - 0.5


def main():
    work, batch, flags = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    torch.manual_seed(0)
    model, x = make(work, batch)
    if "nhwc" in flags:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    run = torch.compile(model) if "compile" in flags else model
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)
    precision = torch.autocast("cpu", torch.bfloat16) if "bf16" in flags else contextlib.nullcontext()

    def train():
        optimizer.zero_grad(set_to_none=True)
        with precision:
            loss = run(x)
        loss.backward()
        optimizer.step()

    def infer():
        with torch.inference_mode(), precision:
            run(x)

    if work == "encode":
        model.eval()
    seconds = []
    for i in range(3):
        infer() if work == "encode" else train()
    end = time.perf_counter() + 2
    while len(seconds) < 9 or time.perf_counter() < end:
        start = time.perf_counter()
        infer() if work == "encode" else train()
        seconds.append(time.perf_counter() - start)
    median = sorted(seconds)[len(seconds) // 2]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"torch {torch.__version__} {' '.join([work] + flags)} batch {batch}, {torch.get_num_threads()} threads: "
          f"{batch / median:.1f} samples/s ({median * 1e3:.1f} ms/step), peak RSS {peak} MiB")


main()
