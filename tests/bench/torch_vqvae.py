"""The training step of bench_step.c in PyTorch: same network, losses, EMA codebook and Adam, random pictures.

    torch_vqvae.py BATCH nchw|nhwc [compile]        prints the median step after three that do not count"""
import resource
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(128, 32, 3, padding=1, bias=False)
        self.narrow = nn.Conv2d(32, 128, 1, bias=False)

    def forward(self, x):
        x = F.relu(x)
        return x + self.narrow(F.relu(self.wide(x)))


class Codebook(nn.Module):
    def __init__(self, codes=512, width=64):
        super().__init__()
        self.register_buffer("table", torch.randn(codes, width))
        self.register_buffer("size", torch.ones(codes))
        self.register_buffer("sum", self.table.clone())

    def forward(self, z):
        rows = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])
        with torch.no_grad():
            distance = torch.addmm(self.table.square().sum(1), rows, self.table.t(), alpha=-2)
            codes = distance.argmin(1)
        found = self.table[codes].view(z.shape[0], z.shape[2], z.shape[3], -1).permute(0, 3, 1, 2)
        if self.training:
            self.update(rows.detach(), codes)
        return z + (found - z).detach(), F.mse_loss(z, found.detach())

    @torch.no_grad()
    def update(self, rows, codes, decay=0.99, epsilon=1e-5):
        k = self.size.numel()
        self.size.lerp_(torch.bincount(codes, minlength=k).float(), 1 - decay)
        self.sum.lerp_(torch.zeros_like(self.sum).index_add_(0, codes, rows), 1 - decay)
        total = self.size.sum()
        self.table.copy_(self.sum / ((self.size + epsilon) / (total + k * epsilon) * total)[:, None])


class VQVAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 64, 4, 2, 1), nn.ReLU(), nn.Conv2d(64, 128, 4, 2, 1), nn.ReLU(), nn.Conv2d(128, 128, 3, 1, 1),
            Residual(), Residual(), nn.ReLU(), nn.Conv2d(128, 64, 1))
        self.codebook = Codebook()
        self.decoder = nn.Sequential(
            nn.Conv2d(64, 128, 3, 1, 1), Residual(), Residual(), nn.ReLU(), nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(64, 3, 4, 2, 1))

    def forward(self, x):
        z, commitment = self.codebook(self.encoder(x))
        return F.mse_loss(self.decoder(z), x) / 0.0632704 + 0.25 * commitment


def main():
    batch, layout = int(sys.argv[1]), sys.argv[2]
    torch.manual_seed(0)
    model, x = VQVAE(), torch.rand(batch, 3, 32, 32) - 0.5
    if layout == "nhwc":
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    loss_of = torch.compile(model) if "compile" in sys.argv else model
    seconds = []
    for i in range(12):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss_of(x).backward()
        optimizer.step()
        if i >= 3:
            seconds.append(time.perf_counter() - start)
    median = sorted(seconds)[len(seconds) // 2]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"torch {torch.__version__} {' '.join(sys.argv[2:])} batch {batch}, {torch.get_num_threads()} threads: "
          f"{batch / median:.0f} images/s ({median * 1e3:.1f} ms/step), peak RSS {peak} MiB")


main()
