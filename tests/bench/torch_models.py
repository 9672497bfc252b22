"""The recipes' networks, quantizers and discriminators in PyTorch, at the presets in RECIPES, for torch_recipes.py.

The parts come from the scripts of the fixtures (tests/fixtures), with which each layer of ours is tested; they need numpy and h5py. What is
written here is what makes a difference in speed: fused attention, separable windows, no copies for the sake of a test."""
import os
import sys

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures"))
import make_networks  # noqa: E402
import make_tokenizers  # noqa: E402
import make_vqvae  # noqa: E402

torch.set_default_dtype(torch.float32)

# ---- parts ---------------------------------------------------------------------------------------------------------------


class Attention(make_networks.AttnBlock):
    def forward(self, x):
        h = self.norm(x)
        q, k, v = (f(h).flatten(2).transpose(1, 2).unsqueeze(1) for f in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj_out(y.squeeze(1).transpose(1, 2).reshape(x.shape))


make_networks.AttnBlock, make_networks.GROUPS = Attention, 32


def last_but_one(m, x):
    """vqgan_decoder without its last layer."""
    x = m.mid(m.conv_in(x))
    for u in reversed(m.up):
        x = make_networks.run_level(u, x)
        x = u.upsample(x) if hasattr(u, "upsample") else x
    x = m.upsample(x) if hasattr(m, "upsample") else x
    return F.silu(m.norm_out(x))


def vqgan_parts(ch, mult, encoder_attention, decoder_attention, z, into, back, kernel=1, halving=False, double=1):
    encoder = make_networks.vqgan_encoder(ch, mult, 1, encoder_attention, double * z, 3)
    decoder = make_networks.vqgan_decoder(ch, mult, 1, decoder_attention, z, 3)
    decoder.f = last_but_one
    if halving:
        encoder.conv_in, decoder.upsample = nn.Conv2d(3, ch, 4, 2, 1), make_networks.Up(ch)
    return dict(encoder=encoder, quant_conv=nn.Conv2d(double * z, into, kernel, padding=kernel // 2),
                post_quant_conv=nn.Conv2d(back, z, kernel, padding=kernel // 2), decoder=decoder)


def through(z, q):
    return z + (q - z).detach()


def rows_of(z):
    return z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])


def count(codes, size):
    """Members of each code; bincount would break what is compiled in two."""
    return torch.zeros_like(size).index_add(0, codes, torch.ones_like(codes, dtype=size.dtype))


class Codebook(nn.Module):
    """Nearest codes, straight-through; learns by moving averages, which restart unused codes, or by its gradient."""

    def __init__(self, codes, width, ema=True, restart=0.0, cosine=False):
        super().__init__()
        self.ema, self.restart, self.cosine, table = ema, restart, cosine, torch.randn(codes, width)
        if ema or restart:
            self.register_buffer("cluster_size", torch.ones(codes))
        if ema:
            self.register_buffer("embedding", table)
            self.register_buffer("embedding_sum", table.clone())
        else:
            self.embedding = nn.Parameter(table)

    @torch.no_grad()
    def find(self, rows, table):
        return torch.addmm(table.square().sum(1), rows, table.t(), alpha=-2).argmin(1)

    def take(self, codes, table, like):
        return F.embedding(codes, table).view(like.shape[0], *like.shape[2:], -1).permute(0, 3, 1, 2)

    def dead(self, counts, rows):
        """Counts with those of codes that are restarted as 1, which these are, and what they become."""
        dead = counts < self.restart
        return counts.masked_fill(dead, 1), dead[:, None], rows[torch.randint(len(rows), (len(counts),))]

    @torch.no_grad()
    def learn(self, state, rows, codes, decay=0.99, epsilon=1e-5):
        size, total, _ = state
        size = torch.lerp(size, count(codes, size), 1 - decay)
        total = torch.lerp(total, torch.zeros_like(total).index_add(0, codes, rows), 1 - decay)
        if self.restart:
            size, dead, fresh = self.dead(size, rows)
            total = torch.where(dead, fresh, total)
        n = size.sum()
        return size, total, total / ((size + epsilon) / (n + len(size) * epsilon) * n)[:, None]

    def state(self):
        return self.cluster_size, self.embedding_sum, self.embedding

    @torch.no_grad()
    def keep(self, state):
        for old, new in zip(self.state(), state):
            old.copy_(new)

    def forward(self, z):
        table = self.embedding
        if self.cosine:
            z, table = F.normalize(z, dim=1), F.normalize(table, dim=1)
        rows = rows_of(z.detach())
        codes = self.find(rows, table)
        q = self.take(codes, table, z)
        terms = {"commitment": (F.mse_loss(z, q.detach()), 0.25)}
        if self.ema:
            if self.training:
                self.keep(self.learn(self.state(), rows, codes))
        else:
            terms["codebook"] = F.mse_loss(q, z.detach()), 1
        return through(z, q), terms


class Residual(Codebook):
    """One codebook for all depths, which learns after each."""

    def __init__(self, depth, *shape, **more):
        super().__init__(*shape, **more)
        self.depth = depth

    def forward(self, z):
        rest, sum, commitment, state = z.detach(), 0, 0, self.state()
        for _ in range(self.depth):
            rows = rows_of(rest)
            codes = self.find(rows, state[2])
            q = self.take(codes, state[2], z)
            sum, rest = sum + q, rest - q
            commitment = commitment + F.mse_loss(z, sum)
            state = self.learn(state, rows, codes)
        self.keep(state)
        return through(z, sum), {"commitment": (commitment / self.depth, 0.25)}


class Multiscale(Codebook):
    def __init__(self, scales, *shape, **more):
        super().__init__(*shape, ema=False, **more)
        self.scales = scales
        self.phi = nn.ModuleList([nn.Conv2d(shape[1], shape[1], 3, padding=1) for _ in range(4)])
        self.index = [make_phi(s, len(scales)) for s in range(len(scales))]
        self.register_buffer("unused", torch.zeros(shape[0], 1, dtype=torch.bool), persistent=False)
        self.register_buffer("fresh", torch.zeros(shape), persistent=False)

    def forward(self, z):
        rest, sum, commitment, codebook, counts, n = z.detach(), 0, 0, 0, 0, len(self.scales)
        for s, side in enumerate(self.scales):
            u = rest if s == n - 1 else F.adaptive_avg_pool2d(rest, side)
            codes = self.find(rows_of(u), self.embedding)
            h = self.take(codes, self.embedding, u)
            if s < n - 1:
                h = F.interpolate(h, z.shape[2:], mode="bicubic")
            h = 0.5 * h + 0.5 * self.phi[self.index[s]](h)
            sum, rest = sum + h, rest - h.detach()
            commitment = commitment + F.mse_loss(z, sum.detach())
            codebook = codebook + F.mse_loss(sum, z.detach())
            counts = counts + count(codes, self.cluster_size)
        with torch.no_grad():
            size, dead, fresh = self.dead(torch.lerp(self.cluster_size, counts, 0.01), rows_of(z))
            for old, new in zip((self.cluster_size, self.unused, self.fresh), (size, dead, fresh)):
                old.copy_(new)
        return through(z, sum), {"commitment": (commitment / n, 0.25), "codebook": (codebook / n, 1)}

    @torch.no_grad()
    def after(self, optimizer):
        """New rows for unused codes; Adam forgets the old ones."""
        state = optimizer.state[self.embedding]
        self.embedding.copy_(torch.where(self.unused, self.fresh, self.embedding))
        for moment in (state["exp_avg"], state["exp_avg_sq"]):
            moment.masked_fill_(self.unused, 0)


def make_phi(scale, scales, n=4):
    ticks = torch.linspace(1 / 3 / n, 1 - 1 / 3 / n, n, dtype=torch.float64)
    return int((ticks - scale / (scales - 1)).abs().argmin())


def logit_laplace(mean, log_scale, x):
    return ((torch.logit(x) - mean).abs() * (-log_scale).exp() + log_scale + x.log() + (1 - x).log()).mean() + 0.6931471805599453


# ---- losses of pictures -----------------------------------------------------------------------------------------------------


def window():
    t = torch.exp(-((torch.arange(11.0) - 5) ** 2) / (2 * 1.5**2))
    return t / t.sum()


WINDOW = window()


def local(x):
    """Means by the window, where it lies inside; one convolution along each axis."""
    c = x.shape[1]
    x = F.conv2d(x, WINDOW.view(1, 1, 11, 1).expand(c, 1, 11, 1), groups=c)
    return F.conv2d(x, WINDOW.view(1, 1, 1, 11).expand(c, 1, 1, 11), groups=c)


def structure(y, x, low, high):
    """nn_structure: SSIM and edges at as many of three sizes as are 16 pixels and more, of the pictures in [0,1]."""
    y, x = (y - low) / (high - low), (x - low) / (high - low)
    sum, n, c1, c2 = 0, 0, 0.01**2, 0.03**2
    while n == 0 or n < 3 and y.shape[2] >= 32:
        if n:
            y, x = F.avg_pool2d(y, 2), F.avg_pool2d(x, 2)
        my, mx, squares, products = local(torch.cat([y, x, y * y + x * x, y * x], 1)).chunk(4, 1)
        both, means = my * mx, my * my + mx * mx
        ssim = (2 * both + c1) * (2 * (products - both) + c2) / ((means + c1) * (squares - means + c2))
        d = y - x
        edges = (d[:, :, 1:] - d[:, :, :-1]).abs().mean() + (d[..., 1:] - d[..., :-1]).abs().mean()
        sum, n = sum + 1 - ssim.mean() + 2 * edges, n + 1
    return sum / n


# ---- recipes: forward gives what the last layer takes (where it is apart) or the picture, and the quantizer's terms by name with weights --


class Model(nn.Module):
    scale, shift = 2, -1  # of pixel / 255

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)

    def last(self, h):
        return self.decoder.conv_out(h)


class VQGAN(Model):
    """vqgan, rqvae, var-tokenizer: one quantizer between two convolutions."""

    def forward(self, x):
        q, terms = self.quantize(self.quant_conv(self.encoder(x)))
        return self.decoder(self.post_quant_conv(q)), terms


class VAE(Model):
    def forward(self, x):
        mean, logvar = self.quant_conv(self.encoder(x)).chunk(2, 1)
        logvar = logvar.clamp(-30, 20)
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        z = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
        return self.decoder(self.post_quant_conv(z)), {"kl": (kl, 1e-3)}


class HQ(Model):
    def forward(self, x):
        z = self.quant_conv(self.encoder(x))
        t, top = self.quantize_t(F.pixel_unshuffle(z, 2))
        t = F.pixel_shuffle(t, 2)
        b, bottom = self.quantize_b(z - t.detach())
        terms = {f"quantize_{n}.{k}": v for n, d in (("t", top), ("b", bottom)) for k, v in d.items()}
        return self.decoder(self.post_quant_conv(torch.cat([t, b], 1))), terms


class ViT(Model):
    scale, shift = 1, 0

    def __init__(self, patch, width, codes, dim, **body):
        linear, body["width"] = nn.Linear, width
        super().__init__(
            encoder=make_tokenizers.vit_encoder(patch, width, 3, **body), pre_quant=linear(width, dim),
            quantizer=Codebook(codes, dim, ema=False, cosine=True), post_quant=linear(dim, width),
            decoder=make_tokenizers.vit_decoder(patch, width, 6, **body))
        self.decoder.f = self.decode

    @staticmethod
    def decode(m, z):
        n, _, h, w = z.shape
        c = m.transformer.norm.normalized_shape[0]
        x = m.head(m.transformer(z.permute(0, 2, 3, 1).reshape(n, h * w, c) + make_tokenizers.sines(h, w, c)))
        return x.view(n, h, w, c).permute(0, 3, 1, 2)

    def forward(self, x):
        h = self.pre_quant(self.encoder(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        q, terms = self.quantizer(h)
        return self.decoder(self.post_quant(q.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)), terms

    def last(self, h):
        return self.decoder.to_pixel[1](h)


class VQVAE(Model):
    scale, shift = 1, -0.5

    def forward(self, x):
        q, terms = self.quantizer(self.encoder(x))
        return self.decoder(q), terms


class VQVAE2(Model):
    def forward(self, x):
        bottom = self.enc_b(x)
        t, top = self.quantize_t(self.quantize_conv_t(self.enc_t(bottom)))
        b, fine = self.quantize_b(self.quantize_conv_b(torch.cat([self.dec_t(t), bottom], 1)))
        terms = {f"quantize_{n}.{k}": v for n, d in (("t", top), ("b", fine)) for k, v in d.items()}
        return self.dec(torch.cat([self.upsample_t(t), b], 1)), terms


class DVAE(Model):
    scale, shift, codes, tau = 0.8, 0.1, 512, 1.0

    def forward(self, x):
        logits = self.encoder(x)
        p = logits.softmax(1)
        kl = (p * (p * self.codes + 1e-10).log()).sum(1).mean()
        noise = torch.empty_like(logits).exponential_().log().neg()
        mean, log_scale = self.decoder(((logits + noise) / self.tau).softmax(1)).chunk(2, 1)
        return logit_laplace(mean, log_scale, x), {"kl": (kl, 5e-4)}


def vqvae():
    make_vqvae.HIDDEN, make_vqvae.RESIDUAL, make_vqvae.D = 128, 32, 64
    return VQVAE(encoder=make_vqvae.Encoder(False), quantizer=Codebook(512, 64), decoder=make_vqvae.Decoder(False))


def vqvae2():
    m = make_tokenizers.vqvae2("tb", 128, 32, 2, 64, 512, 3)
    parts = dict(m.named_children())
    return VQVAE2(**{**parts, "quantize_t": Codebook(512, 64), "quantize_b": Codebook(512, 64)})


def dvae():
    w = (32, 64, 128, 256)
    return DVAE(
        encoder=make_tokenizers.dvae(nn.Conv2d(3, 32, 7, padding=3), w, 1, 512, (3, 3, 3, 1), lambda x: F.max_pool2d(x, 2)),
        decoder=make_tokenizers.dvae(nn.Conv2d(512, 64, 1), w[::-1], 1, 6, (1, 3, 3, 3), lambda x: F.interpolate(x, scale_factor=2.0)))


def vqgan():
    return VQGAN(**vqgan_parts(32, (1, 2, 2), (2,), (2,), 32, 16, 16), quantize=Codebook(512, 16, restart=0.5))


def rqvae():
    return VQGAN(**vqgan_parts(32, (1, 2, 2, 2), (3,), (3,), 32, 16, 16), quantize=Residual(4, 512, 16, restart=0.5))


def var_tokenizer():
    return VQGAN(**vqgan_parts(32, (1, 2, 2), (2,), (2,), 32, 16, 16, 3),
                 quantize=Multiscale((1, 2, 4, 8), 512, 16, restart=0.5))


def hqvae():
    return HQ(**vqgan_parts(32, (1, 2), (), (1,), 32, 16, 32, halving=True), quantize_t=Codebook(512, 64, restart=0.5),
              quantize_b=Codebook(512, 16, restart=0.5))


USUAL = dict(pixels="l2", perceptual=1, gan_weight=0.75, disc_weight=0.75, width=16, kind="hinge")
# recipe: preset, size, batch, model, and: betas, clip of the gradient, weight decay, losses with a discriminator
RECIPES = {
    "vae": ("cifar10", 32, 64, lambda: VAE(**vqgan_parts(64, (1, 2, 2), (2,), (2,), 4, 8, 4, double=2)), dict(clip=1)),
    "vqvae": ("cifar10", 32, 256, vqvae, dict(variance=0.06)),
    "vqvae2": ("cifar10", 32, 128, vqvae2, {}),
    "vqgan": ("cifar10", 32, 64, vqgan, dict(betas=(0.5, 0.9), gan=dict(USUAL, pixels="l1", gan_weight=0.8, disc_weight=1))),
    "rqvae": ("cifar10", 32, 64, rqvae, dict(betas=(0.5, 0.9), gan=USUAL)),
    "vitvqgan": ("photos64", 64, 32, lambda: ViT(8, 256, 1024, 16, blocks=6, heads=8, hidden=1024, tanh=False, head=True),
                 dict(betas=(0.9, 0.99), decay=1e-4, gan=dict(USUAL, pixels="laplace", perceptual=0.1, gan_weight=0.2, disc_weight=0.5, width=32, kind="non_saturating"))),
    "dvae": ("cifar10", 32, 64, dvae, dict(decay=1e-4)),
    "hqvae": ("cifar10", 32, 64, hqvae, dict(betas=(0.5, 0.9), gan=USUAL)),
    "var-tokenizer": ("cifar10", 32, 64, var_tokenizer,
                      dict(betas=(0.5, 0.9), gan=dict(USUAL, gan_weight=0.5, disc_weight=1))),
}
