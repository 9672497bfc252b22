"""Training steps of the recipes in PyTorch: the networks, quantizers, losses, discriminators and updates of `tessera bench RECIPE`, at the
presets in RECIPES.

    torch_recipes.py RECIPE [BATCH] [nchw|nhwc] [compile]     prints the median step after three that do not count: five, or as
                                                              many as take four seconds
    torch_recipes.py tessera TESSERA RECIPE [BATCH]           the same of the program TESSERA, which must have as many parameters
                                                              in each part
    torch_recipes.py list                                     recipe-NAME:BATCH of all
    torch_recipes.py check TESSERA [RECIPE...]                is it the same step? Losses and norms of gradients of both, from the same
                                                              weights and images; exit status 1 if not

Both losses of the generator are taken back to the picture once, and from there together through the generator; the last layer stays
outside of what is compiled, as its gradient is needed by itself. needs torch, numpy and h5py."""
import json
import resource
import subprocess
import sys
import tempfile
import time

import h5py
import torch
from torch import nn
from torch.nn import functional as F

from torch_models import DVAE, RECIPES, VAE, ViT, logit_laplace, structure
from make_critics import patchgan  # noqa: I001  (torch_models knows where)

# ---- steps ---------------------------------------------------------------------------------------------------------------


def adam(module, betas=(0.9, 0.999), decay=0.0):
    """Biases, norms and codebooks do not decay."""
    if not decay:
        return torch.optim.Adam(module.parameters(), 1e-4, betas, fused=True)
    groups = [dict(params=[], weight_decay=decay), dict(params=[], weight_decay=0)]
    for name, p in module.named_parameters():
        groups[p.dim() <= 1 or name.endswith("embedding")]["params"].append(p)
    return torch.optim.AdamW(groups, 1e-4, betas, fused=True)


class Step:
    """What is trained, and an update of it."""

    def __init__(self, recipe, nhwc=False, compile=False):
        self.preset, self.size, self.batch, make, o = RECIPES[recipe]
        self.o, self.gan, self.model = o, o.get("gan"), make()
        self.discriminator, self.layout = None, torch.channels_last if nhwc else torch.contiguous_format
        if self.gan:
            self.discriminator = patchgan(3, self.gan["width"], 2, "group", 32).to(memory_format=self.layout)
        self.model.to(memory_format=self.layout)
        self.optimizer = adam(self.model, o.get("betas", (0.9, 0.999)), o.get("decay", 0))
        if self.gan:
            self.optimizer_d = adam(self.discriminator, o["betas"], o.get("decay", 0))
            torch._functorch.config.donated_buffer = False  # the judgement of a picture is taken back twice
        self.loss, self.forward, self.judge, self.picture = self.whole, self.model, self.discriminator, self.losses_of_picture
        if compile:
            for name in ("picture", "forward", "judge") if self.gan else ("loss",):
                setattr(self, name, torch.compile(getattr(self, name)))

    def images(self, pixels):
        x = pixels * (self.model.scale / 255) + self.model.shift
        return x.contiguous(memory_format=self.layout)

    def whole(self, x):
        """Sum of losses, and their values, of a recipe without discriminator."""
        h, terms = self.model(x)
        if isinstance(self.model, DVAE):
            pixels, values = h, {"likelihood": h}
        else:
            y = self.model.last(h) if isinstance(self.model, VAE) else h
            mse = F.mse_loss(y, x)
            pixels, values = mse / self.o.get("variance", 1), {"reconstruction": mse}
        return pixels + sum(t * w for t, w in terms.values()), {**values, **{k: t for k, (t, _) in terms.items()}}

    def losses_of_picture(self, raw, x):
        y, o = raw[:, :3], self.gan
        if o["pixels"] == "laplace":
            pixels = F.mse_loss(y, x) + 0.1 * logit_laplace(y, raw[:, 3:], 0.8 * x + 0.1)
        else:
            pixels = F.l1_loss(y, x) if o["pixels"] == "l1" else F.mse_loss(y, x)
        seen = structure(y, x, self.model.shift, self.model.shift + self.model.scale)
        return pixels + o["perceptual"] * seen, pixels, seen

    def generator_of(self, f):
        return -f.mean() if self.gan["kind"] == "hinge" else F.softplus(-f).mean()

    def discriminator_of(self, r, f):
        if self.gan["kind"] == "hinge":
            return 0.5 * (F.relu(1 - r).mean() + F.relu(1 + f).mean())
        return F.softplus(-r).mean() + F.softplus(f).mean()

    def adversarial(self, x, number):
        """Gradients of both sides. The picture's losses are taken back to the picture once: that gives the adaptive weight and goes on."""
        o, grad = self.gan, torch.autograd.grad
        h, terms = self.forward(x)
        raw = self.model.last(h)
        seen_raw = raw.detach().requires_grad_()
        nll, pixels, seen = self.picture(seen_raw, x)
        fake = self.judge(seen_raw[:, :3])
        g = self.generator_of(fake)
        d_nll, = grad(nll, seen_raw)
        d_g, = grad(g, seen_raw, retain_graph=True)
        w = (self.model.decoder.to_pixel[1] if isinstance(self.model, ViT) else self.model.decoder.conv_out).weight
        sizes = [grad(raw, w, d, retain_graph=True)[0].norm() for d in (d_nll, d_g)]
        ratio = sizes[0] / (sizes[1] + 1e-4)
        factor = o["gan_weight"] * min(number / 1000, 1) * ratio.clamp(0, 1e4)
        torch.autograd.backward([raw, sum(t * v for t, v in terms.values())], [d_nll + factor * d_g, None])
        d = self.discriminator_of(self.judge(x), fake)
        (d * o["disc_weight"]).backward(inputs=list(self.discriminator.parameters()))
        return {"reconstruction": pixels, "perceptual": seen, "adversarial": g, "discriminator": d, "adaptive_weight": ratio,
                **{k: t for k, (t, _) in terms.items()}}

    def gradients(self, x, number):
        for part in (self.model, self.discriminator):
            if part:
                part.zero_grad(set_to_none=True)
        if self.gan:
            return self.adversarial(x, number)
        loss, values = self.loss(x)
        loss.backward()
        return values

    def __call__(self, pixels, number):
        self.gradients(self.images(pixels), number)
        if "clip" in self.o:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.o["clip"], foreach=True)
        self.optimizer.step()
        if self.gan:
            self.optimizer_d.step()
        if hasattr(getattr(self.model, "quantize", None), "after"):
            self.model.quantize.after(self.optimizer)

    def parameters(self):
        """How many values of each part are trained, by its name."""
        parts = {n: sum(p.numel() for p in part.parameters()) for n, part in self.model.named_children()}
        if self.gan:
            parts["discriminator"] = sum(p.numel() for p in self.discriminator.parameters())
        return {n: v for n, v in parts.items() if v}


def say(who, recipe, batch, threads, seconds, peak):
    print(f"{who} {recipe} batch {batch}, {threads} threads: {batch / seconds:.1f} samples/s ({seconds * 1e3:.1f} ms/step), "
          f"peak RSS {peak >> 20} MiB")


def measure(recipe, batch, flags):
    torch.manual_seed(0)
    step, seconds = Step(recipe, "nhwc" in flags, "compile" in flags), []
    batch = batch or step.batch
    pixels = torch.randint(0, 256, (batch, 3, step.size, step.size), dtype=torch.uint8)
    for i in range(3):
        step(pixels, i + 1)
    end = time.perf_counter() + 4
    while len(seconds) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        step(pixels, len(seconds) + 4)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    say(f"torch {torch.__version__} {' '.join(flags)}", recipe, batch, torch.get_num_threads(), sorted(seconds)[len(seconds) // 2], peak)


def settings(recipe):
    """The preset, with a discriminator that takes part from the first step on."""
    starts = ("disc_start=0", "gan_start=0") if "gan" in RECIPES[recipe][4] else ()
    return ["--preset", RECIPES[recipe][0], *[word for s in starts for word in ("--set", s)]]


def measure_tessera(program, recipe, batch):
    size = ["--set", f"batch={batch}"] if batch else []
    out = subprocess.run([program, "bench", recipe, *settings(recipe), *size, "--json"], check=True, capture_output=True, text=True)
    result = json.loads(out.stdout)
    r, here = result["recipes"][0], Step(recipe).parameters()
    assert r["parameters"] == here, f"{recipe}: parameters {r['parameters']} there, {here} here"
    say("tessera " + result["machine"]["kernels"], recipe, r["batch"], result["machine"]["threads"], r["batch"] / r["images_per_s"],
        r["peak_rss_bytes"])


# ---- check -----------------------------------------------------------------------------------------------------------------


def load(step, path):
    """Weights and buffers of a checkpoint; returns what else it says."""
    named = {}
    for part, prefix in ((step.model, ""), (step.discriminator, "discriminator.")):
        for name, module in part.named_modules() if part else ():
            for n, t in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
                named.setdefault(id(t), (prefix + (f"{name}.{n}" if name else n), t, isinstance(module, nn.Linear)))
    with h5py.File(path) as f:
        state = json.loads(f["state"][()].tobytes())
        stored = {n: f[g][n][()] for g in ("weights", "buffers") if g in f for n in f[g]}
    for name, t, linear in named.values():
        if name.split(".")[-1] in ("unused", "fresh"):
            continue
        v = torch.tensor(stored[name])
        v = v.permute(3, 2, 0, 1) if v.dim() == 4 else v.t() if linear and v.dim() == 2 else v
        with torch.no_grad():
            t.copy_(v)
    return state


def second_step(program, recipe, folder, batch):
    """Weights after one step, and what is logged of the second."""
    common = ("batch=%d" % batch, "start=normal", "restart=0.05", "schedule=constant", "warmup=0", "in_order=true", "flip=false", "kl_steps=0", "average=0",
              "log_every=1", "eval_every=0", "eval_images=0", "samples_every=0")
    for steps in (1, 2):
        sets = [word for s in (*common, f"steps={steps}") for word in ("--set", s)]
        subprocess.run([program, "train", recipe, "--data", f"{folder}/{RECIPES[recipe][1]}.h5", "-o", f"{folder}/{recipe}{steps}", "-q",
                        *settings(recipe), *sets], check=True)
    with open(f"{folder}/{recipe}2/metrics.jsonl") as f:
        return f"{folder}/{recipe}1/checkpoint.h5", json.loads(f.readlines()[1])


def check_recipe(program, recipe, folder, batch=16):
    step = Step(recipe)
    path, logged = second_step(program, recipe, folder, batch)
    if "variance" in step.o:
        step.o["variance"] = load(step, path)["variance"]
    else:
        load(step, path)
    with h5py.File(f"{folder}/{step.size}.h5") as f:
        pixels = torch.tensor(f["images"][batch:2 * batch]).permute(0, 3, 1, 2)
    values = {k: float(v.detach()) for k, v in step.gradients(step.images(pixels), 2).items()}
    for name, part in (("generator" if step.gan else "", step.model), ("discriminator", step.discriminator)):
        if part:
            values["grad_norm" + (name and "." + name)] = float(torch.stack([p.grad.norm() for p in part.parameters()]).norm())
    worst = 0
    for name, value in values.items():
        apart = abs(value - logged[name]) / max(abs(logged[name]), 1e-6)
        worst = max(worst, apart)
        print(f"{recipe:14} {name:26} tessera {logged[name]:<14.7g} torch {value:<14.7g} apart {apart:.1e}")
    # noise of its own in both
    return worst < (0.1 if recipe in ("vae", "dvae") else 2e-3)


def check(program, recipes):
    with tempfile.TemporaryDirectory() as folder:
        for size in {RECIPES[r][1] for r in recipes}:
            subprocess.run([program, "synth", "scenes", "-o", f"{folder}/{size}.h5", "-n", "64", "--size", str(size), "--no-validation", "-q"],
                           check=True)
        wrong = [r for r in recipes if not check_recipe(program, r, folder)]
    print("not the same step: " + " ".join(wrong) if wrong else "the same steps")
    return 1 if wrong else 0


def main(words):
    if words[0] == "list":
        return print(*[f"recipe-{name}:{batch}" for name, (_, _, batch, *_) in RECIPES.items()])
    if words[0] == "check":
        return check(words[1], words[2:] or list(RECIPES))
    if words[0] == "tessera":
        return measure_tessera(words[1], words[2], int(words[3]) if words[3:] else 0)
    batch = words[1:] and words[1].isdigit()
    return measure(words[0], int(words[1]) if batch else 0, words[1 + bool(batch):])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
