"""The same net, loss and solver in PyTorch, written from the paper and the backbones' own papers.

Not generated from our prototxt, so that `compare`, which shows that both compute the same, checks both.
Nothing of Caffe is imported here, and of this project only what feeds pairs.
"""
import argparse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# eq. 6: identification of a, of b, verification
LOSS_WEIGHTS = (1.0, 1.0, 3.0)
RESNET = ((2, 64, 3), (3, 128, 4), (4, 256, 6), (5, 512, 3))            # stage, channels, blocks
VGG = ((1, 64, 2), (2, 128, 2), (3, 256, 3), (4, 512, 3), (5, 512, 3))  # stage, channels, convolutions
SCALES = {"resnet50": 0.1, "vgg16": 0.05}                               # s of (s·(x1 − x2))²
MEANS = {"resnet50": (103.0626, 115.9029, 123.1516), "vgg16": (103.939, 116.779, 123.68)}
CLIP, MOMENTUM, DECAY = 35.0, 0.9, 0.0005
Masks = dict[str, torch.Tensor]


class ResNet50(nn.Module):
    """He's: a block's stride in its first 1×1, pooling that rounds up; BatchNorm by stored statistics."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()      # by the names of the published model
        self._add("conv1", "_conv1", 3, 64, 7, stride=2, padding=3, bias=True)
        inputs, self.blocks = 64, []
        for stage, channels, blocks in RESNET:
            for i in range(blocks):
                name, stride = f"{stage}{'abcdef'[i]}", 2 if i == 0 and stage > 2 else 1
                if i == 0:
                    self._add(f"res{name}_branch1", f"{name}_branch1", inputs, 4 * channels, 1, stride=stride)
                self._add(f"res{name}_branch2a", f"{name}_branch2a", inputs, channels, 1, stride=stride)
                self._add(f"res{name}_branch2b", f"{name}_branch2b", channels, channels, 3, padding=1)
                self._add(f"res{name}_branch2c", f"{name}_branch2c", channels, 4 * channels, 1)
                self.blocks.append((name, i == 0))
                inputs = 4 * channels
        self.features = inputs

    def _add(self, name: str, suffix: str, inputs: int, outputs: int, kernel: int, bias: bool = False,
             **geometry: int) -> None:
        self.layers[name] = nn.Conv2d(inputs, outputs, kernel, bias=bias, **geometry)
        nn.init.kaiming_normal_(self.layers[name].weight)
        self.layers[f"bn{suffix}"] = nn.BatchNorm2d(outputs, eps=1e-5).eval()
        nn.init.constant_(self.layers[f"bn{suffix}"].weight, 0.4 if "branch2" in suffix else 1)

    def _normalised(self, name: str, suffix: str, x: torch.Tensor) -> torch.Tensor:
        return self.layers[f"bn{suffix}"](self.layers[name](x))

    def forward(self, x: torch.Tensor, masks: Masks | None) -> torch.Tensor:
        x = F.relu(self._normalised("conv1", "_conv1", x), inplace=True)
        x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        for name, projects in self.blocks:
            shortcut = self._normalised(f"res{name}_branch1", f"{name}_branch1", x) if projects else x
            x = F.relu(self._normalised(f"res{name}_branch2a", f"{name}_branch2a", x), inplace=True)
            x = F.relu(self._normalised(f"res{name}_branch2b", f"{name}_branch2b", x), inplace=True)
            x = self._normalised(f"res{name}_branch2c", f"{name}_branch2c", x)
            x = F.relu(x + shortcut, inplace=True)
        return x.mean((2, 3))


class VGG16(nn.Module):
    """Up to fc7, with its own dropout after fc6: one mask for both images of a pair."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.layers, inputs = nn.ModuleDict(), 3
        for stage, channels, convolutions in VGG:
            for i in range(1, convolutions + 1):
                self.layers[f"conv{stage}_{i}"] = nn.Conv2d(inputs, channels, 3, padding=1)
                inputs = channels
        self.layers["fc6"] = nn.Linear(512 * (size[0] // 32) * (size[1] // 32), 4096)
        self.layers["fc7"] = nn.Linear(4096, 4096)
        for layer in self.layers.values():
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        self.features = 4096

    def forward(self, x: torch.Tensor, masks: Masks | None) -> torch.Tensor:
        for stage, _, convolutions in VGG:
            for i in range(1, convolutions + 1):
                x = F.relu(self.layers[f"conv{stage}_{i}"](x), inplace=True)
            x = F.max_pool2d(x, 2)
        x = F.relu(self.layers["fc6"](x.flatten(1)), inplace=True)
        mask = masks["mask6"] if masks else new_mask(x)
        x = x * torch.cat([mask, mask])
        return F.relu(self.layers["fc7"](x), inplace=True)


class Siamese(nn.Module):
    """Backbone, one dropout mask, and both heads (eq. 1 to 5); returns the three losses."""

    def __init__(self, base: str, classes: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.backbone = {"resnet50": ResNet50, "vgg16": VGG16}[base](size)
        self.scale = SCALES[base]
        self.heads = nn.ModuleDict({"id_fc_a": nn.Linear(self.backbone.features, classes),
                                    "verif_fc": nn.Linear(self.backbone.features, 2)})
        for head in self.heads.values():
            nn.init.normal_(head.weight, std=0.001)
            nn.init.zeros_(head.bias)

    def forward(self, images: torch.Tensor, label_a: torch.Tensor, label_b: torch.Tensor, same: torch.Tensor,
                masks: Masks | None = None) -> torch.Tensor:
        features = self.backbone(images, masks)
        mask = masks["mask"].flatten(1) if masks else new_mask(features)
        a, b = (half * mask for half in features.chunk(2))
        identify = self.heads["id_fc_a"]
        difference = F.relu((self.scale * (a - b)) ** 2)
        return torch.stack([F.cross_entropy(identify(a), label_a), F.cross_entropy(identify(b), label_b),
                            F.cross_entropy(self.heads["verif_fc"](difference), same)])


def new_mask(features: torch.Tensor) -> torch.Tensor:
    """Dropout's mask for the pairs of stacked features: 0, or 2 where it keeps."""
    return F.dropout(torch.ones_like(features[:len(features) // 2]))


class Training:
    """The net with its solver. options: see measure.py."""

    def __init__(self, options: argparse.Namespace) -> None:
        torch.manual_seed(0)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options.tf32
        torch.backends.cudnn.benchmark = True      # the fastest algorithm for these shapes, found by trying
        self.device = torch.device("cpu" if options.gpu is None else f"cuda:{options.gpu}")
        self.net = Siamese(options.base, options.classes, options.input).to(self.device)
        with torch.no_grad():
            # from pixels of ±128 to values of some ±1
            next(iter(self.net.backbone.layers.values())).weight /= 64
        self.solver = torch.optim.SGD(groups(self.net, options.rate), momentum=MOMENTUM)
        self.weights = torch.tensor(LOSS_WEIGHTS, device=self.device)
        self.bfloat16 = options.bfloat16
        self.batches = pairs(options, self.device) if options.data else repeated(options, self.device)
        self.estimate = None

    def update(self) -> list[float]:
        """One update; its three losses."""
        losses = self.gradients(next(self.batches))
        nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
        self.solver.step()
        return losses.tolist()

    def gradients(self, batch: tuple[torch.Tensor, ...], masks: Masks | None = None) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            losses = self.net(*batch, masks)
        self.solver.zero_grad(set_to_none=True)
        (losses @ self.weights).backward()
        return losses

    def update_exactly(self, batch: tuple[torch.Tensor, ...], masks: Masks) -> list[float]:
        """The same with the norm that clips in float64.

        Over VGG-16's gradients PyTorch's float32 sum is off by 6e-4.
        """
        losses = self.gradients(batch, masks)
        gradients = [parameter.grad for parameter in self.net.parameters()]
        norm = sum(float(gradient.double().square().sum()) for gradient in gradients) ** 0.5
        for gradient in gradients:
            gradient *= min(1, CLIP / norm)
        self.solver.step()
        return losses.tolist()

    def memory(self) -> int:
        """Bytes in use on the GPU; PyTorch keeps what it once took."""
        free, total = torch.cuda.mem_get_info(self.device)
        return total - free

    def close(self) -> None:
        self.batches.close()

    def compare(self, file: Path) -> dict[str, Any]:
        """Do again what ours.Training.record wrote down; the largest differences of losses and of updates.

        Of losses relative to the loss; of an update relative to the largest of its blob, over what rounding
        of the weights themselves to float32 explains.
        """
        kept = np.load(file)
        fill(layers_of(self.net), {key.removeprefix("before/"): kept[key] for key in kept.files
                        if key.startswith("before/")})
        before, losses, i = values(self.net), [], 0
        while f"losses/{i}" in kept:
            batch = {key.split("/")[2]: torch.from_numpy(kept[key]) for key in kept.files
                     if key.startswith(f"batch/{i}/")}
            labels = (batch[name].long() for name in ("label_a", "label_b", "same"))
            found = self.update_exactly((batch["data"], *labels), batch)
            losses.append(np.abs(found / kept[f"losses/{i}"] - 1).max())
            i += 1
        updates = {}
        for key, after in values(self.net).items():
            rounding = 2 * i * np.spacing(np.abs(after).max())
            apart = np.abs(after - kept[f"after/{key}"]).max()
            updates[key] = max(0, apart - rounding) / np.abs(after - before[key]).max()
        worst = max(updates, key=updates.get)
        return {"losses": list(map(float, losses)), "updates": float(updates[worst]), "worst": worst,
                "parameters": len(updates)}


def groups(net: Siamese, rate: float) -> list[dict[str, Any]]:
    """Parameters by learning rate and decay, as the paper's Caffe nets have them: four groups.

    New layers learn ten times as fast; a bias twice as fast as its weight and without decay, but not a
    BatchNorm's shift.
    """
    by_settings: dict[tuple[float, float], list[torch.Tensor]] = {}
    for prefix, module in layers_of(net):
        own, normal = rate * (10 if prefix in net.heads else 1), isinstance(module, nn.BatchNorm2d)
        by_settings.setdefault((own, DECAY), []).append(module.weight)
        if module.bias is not None:
            settings = (own, DECAY) if normal else (2 * own, 0)
            by_settings.setdefault(settings, []).append(module.bias)
    return [{"params": params, "lr": lr, "weight_decay": decay}
            for (lr, decay), params in by_settings.items()]


def by_caffe_name(layers: Iterable[tuple[str, nn.Module]]) -> dict[str, torch.Tensor]:
    """{"layer/number": tensor} of all that learns, named as in Caffe: BatchNorm has no scale and shift."""
    named = {}
    for name, module in layers:
        name = name.replace("bn", "scale") if isinstance(module, nn.BatchNorm2d) else name
        named |= {f"{name}/{i}": tensor for i, tensor in enumerate((module.weight, module.bias))
                  if tensor is not None}
    return named


def layers_of(net: Siamese) -> list[tuple[str, nn.Module]]:
    """The layers of the backbone and the heads, with their names."""
    return [*net.backbone.layers.items(), *net.heads.items()]


def fill(layers: Iterable[tuple[str, nn.Module]], arrays: Mapping[str, np.ndarray]) -> None:
    """Copy Caffe's parameters into layers with names."""
    layers = list(layers)
    with torch.no_grad():
        for key, tensor in by_caffe_name(layers).items():
            tensor.copy_(torch.from_numpy(arrays[key]))
        for name, module in layers:
            if isinstance(module, nn.BatchNorm2d):
                mean, variance, factor = (arrays[f"{name}/{i}"] for i in range(3))
                module.running_mean.copy_(torch.from_numpy(mean / factor))
                module.running_var.copy_(torch.from_numpy(variance / factor))


def values(net: Siamese) -> dict[str, np.ndarray]:
    return {key: tensor.detach().numpy().copy() for key, tensor in by_caffe_name(layers_of(net)).items()}


def repeated(options: argparse.Namespace, device: torch.device) -> Iterator[tuple[torch.Tensor, ...]]:
    """One made-up batch, on the device, again and again."""
    images = (torch.rand(2 * options.batch, 3, *options.input) * 250 - 120).to(device)
    label_a, same = torch.arange(options.batch) % options.classes, torch.arange(options.batch) % 2
    labels = [labels.to(device) for labels in (label_a, (label_a + same) % options.classes, same)]
    while True:
        yield images, *labels


def pairs(options: argparse.Namespace, device: torch.device) -> Iterator[tuple[torch.Tensor, ...]]:
    """Batches of the pair LMDBs, by the workers that feed PairData too: PyTorch's own loader is slower."""
    from reid.layers.feed import PairFeed
    from reid.layers.source import Source as Settings
    from reid.layers.workers import batches

    feed = PairFeed(Settings(pairs=f"{options.data}/split00/train", images=f"{options.data}/images",
                             batch=options.batch, crop=224, height=options.input[0], width=options.input[1],
                             mean=MEANS[options.base], seed=0, phase="train", workers=2))
    ready = batches(feed)
    images = torch.empty(2 * options.batch, 3, *options.input, pin_memory=device.type == "cuda")
    try:
        while True:
            k = ready.read(images.numpy())
            labels = [torch.from_numpy(np.array(labels, np.int64)).to(device) for labels in feed.labels(k)]
            yield images.to(device, non_blocking=True), *labels
    finally:
        ready.close()
