"""Train mini's text-to-image model on captioned scenes: a U-Net, v-prediction, a text tower kept as it began.

    python training/diffusion.py RUN --pictograms DIR [--unseen DIR]

Denoising alone ties words to places too slowly at this size (training/README.md has the curve), so a second loss
asks, from captions only, that the cross-attention of a noisy image answers to the nouns it shows rather than to
others. No mask, box or place is ever a target.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextConfig, CLIPTextModel

import captions
import tokenizer as tokenizers
from attention import attend
from latents import CHANNELS, SIDE, LinearLatents
from loop import HELD_OUT_SEED, arguments, autocast, letterboxed, ramp, scene_maker, shape, train
from refdiff.models.diffusion.cross import run_unet
from refdiff.models.diffusion.recorder import Recorder, install_readers

LAYERS = ["up_blocks.1.attentions.0.transformer_blocks.0.attn2"]  # where words are tied to places
WIDTH = 192
RAMP = 4500  # steps
COUNTS = (0.1, 0.15, 0.25, 0.25, 0.25)  # shares of scenes of 1 to 5 objects
PEAKS = (4, 8, 16, 32)  # cells, in turn: what small and large objects cover
NAMING = 1.0  # weight of the second loss
PREFIXES = ("the", "a", "", "the red", "a blue", "green", "the left", "top", "the big")


def build(vocabulary: int) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    """The U-Net, and a text tower that is not trained: trained along it collapses, and in CLIP's own a noun's state
    depends more on the words before it than on the noun. Its token embeddings are wide, so that every word keeps a
    state of its own, nearly the same in any company."""
    unet = UNet2DConditionModel(
        sample_size=SIDE // 8, in_channels=CHANNELS, out_channels=CHANNELS, block_out_channels=(96, 192),
        layers_per_block=1, down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        mid_block_type="UNetMidBlock2D", cross_attention_dim=WIDTH, attention_head_dim=2, norm_num_groups=16,
        use_linear_projection=True)
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=vocabulary, hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_attention_heads=4,
        num_hidden_layers=2, bos_token_id=0, eos_token_id=1, pad_token_id=1, max_position_embeddings=tokenizers.LENGTH))
    torch.nn.init.normal_(text.get_input_embeddings().weight)
    return unet, text.requires_grad_(False)


def scheduler() -> DDIMScheduler:
    return DDIMScheduler(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                         prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False, steps_offset=1)


class Keeper:
    """Cross-attention that keeps its queries [B, pixels, width] for the naming loss, gradients and all.

    The library's readers keep maps of the caption that runs; the naming loss asks for maps of every noun.
    """

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None, **_):
        self.queries = attn.to_q(hidden_states)
        key, value = attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states)
        by_head = [x.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for x in (self.queries, key, value)]
        mixed = attend(attn, *by_head, scaling=attn.scale)[0]
        return attn.to_out[1](attn.to_out[0](mixed.flatten(2)))


def naming_loss(layers: list, states: torch.Tensor, shown: torch.Tensor, weight: torch.Tensor,
                peak: int) -> torch.Tensor:
    """Cross-entropy of each noun an image shows against all nouns it does not, by how far
    their attention stands out in its `peak` greatest cells.

    states [M, WIDTH] of all nouns, shown bool [B, M], weight [B]: how much of the image the noise leaves.
    """
    total = 0.0
    for layer in layers:
        keys = layer.to_k(states)
        logits = (layer.processor.queries @ keys.T).float() * layer.scale  # [B, pixels, M], summed over heads
        # Without the border's cells: there, every convolution sees the padding, and a noun's presence was written
        # where its thing is not.
        side = SIDE // 8
        logits = logits.unflatten(1, (side, side))[:, 1:-1, 1:-1].flatten(1, 2)
        # About the mean: what is the same at every pixel says that a thing is there, not where. The mean of the
        # greatest few rather than a log-sum-exp, whose gradient vanishes while a map is still flat.
        scores = logits.topk(peak, 1).values.mean(1) - logits.mean(1)
        absent = scores.masked_fill(shown, float("-inf")).logsumexp(1, keepdim=True)
        each = F.softplus(absent - scores) * shown
        total = total + (each.sum(1) / shown.sum(1).clamp(min=1) * weight).mean()
    return total / len(layers)


def main() -> None:
    options = arguments(__doc__.splitlines()[0], batch=16, lr=1e-3)
    device = options.device
    maker = scene_maker(options.pictograms)
    tokenizer = tokenizers.load()
    encode = LinearLatents(options.run / "latents.safetensors", maker).to(device)
    unet, text = build(len(tokenizer))
    unet, text = unet.to(device, memory_format=torch.channels_last), text.to(device)
    unet.set_attn_processor(AttnProcessor())  # faster backward than the fused kernel on CPUs
    modules = dict(unet.named_modules())
    layers = [modules[name] for name in LAYERS]
    for layer in layers:
        layer.set_processor(Keeper())
    denoise = torch.compile(unet)
    schedule = scheduler()

    def tokens(texts: list[str], padding="max_length") -> torch.Tensor:
        return tokenizer(texts, padding=padding, truncation=True, return_tensors="pt").input_ids.to(device)

    def images(scenes) -> torch.Tensor:
        pixels = np.stack([letterboxed(scene, SIDE) for scene in scenes])
        return torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1

    @cache
    def named(prefix: str) -> torch.Tensor:
        """Every noun's state after the prefix [M, WIDTH]."""
        with torch.no_grad():
            ids = tokens([f"{prefix} {noun}" for noun in captions.NOUNS], padding=True)
            return text(ids).last_hidden_state[:, 1 + len(prefix.split())]

    def loss_of(step: int) -> torch.Tensor:
        scenes, texts = [], []
        maker.difficulty = ramp(options, step, RAMP)
        for i in range(options.batch):
            rng = np.random.default_rng((step, i))
            scenes.append(maker.make(rng, *shape(rng, SIDE), count=int(rng.choice(len(COUNTS), p=COUNTS)) + 1))
            texts.append("" if rng.random() < 0.1 else captions.scene_caption(rng, scenes[-1]))
        shown = torch.tensor([[noun in {thing.noun for thing in scene.objects} for noun in captions.NOUNS]
                              for scene in scenes])
        with torch.no_grad():
            clean = encode(images(scenes))
        generator = torch.Generator(device).manual_seed(step)
        # More often little noise than much: there things can be told apart, and there the maps are read.
        t = (1000 * torch.rand(options.batch, generator=generator, device=device) ** 3.5).long()
        noise = torch.randn(clean.shape, generator=generator, device=device)
        noisy = schedule.add_noise(clean, noise, t).contiguous(memory_format=torch.channels_last)
        with autocast(device):
            states = text(tokens(texts)).last_hidden_state
            predicted = denoise(noisy, t, encoder_hidden_states=states).sample
            naming = naming_loss(layers, named(PREFIXES[step % len(PREFIXES)]), shown.to(device),
                                 schedule.alphas_cumprod.to(device)[t], PEAKS[step % len(PEAKS)])
        return F.mse_loss(predicted.float(), schedule.get_velocity(clean, noise, t)) + NAMING * naming

    held_out = {"": scene_maker(options.pictograms, held_out=True)}
    if options.unseen:
        held_out["unseen_"] = scene_maker(options.unseen, held_out=True)
    tests = {key: test_scenes(maker) for key, maker in held_out.items()}

    def measure(averages: dict) -> dict[str, float]:
        probe, words = build(len(tokenizer))
        probe.load_state_dict(averages["unet"])
        words.load_state_dict(averages["text"])
        probe, words = probe.to(device).eval(), words.to(device).eval()
        install_readers(probe)
        figures = {}
        for key, scenes in tests.items():
            figures |= {key + name: value for name, value in
                        attention_figures(probe, words, encode, schedule, images, tokens, scenes).items()}
        return figures

    train(options, {"unet": unet, "text": text}, loss_of, measure, every=500, best="picks", muon=5e-3)


def test_scenes(maker, count: int = 120):
    """Square scenes of three different nouns."""
    scenes, seed = [], 0
    while len(scenes) < count:
        rng = np.random.default_rng((HELD_OUT_SEED, seed))
        scene = maker.make(rng, SIDE, SIDE, count=3)
        seed += 1
        if len(scene.objects) == 3 and len({thing.noun for thing in scene.objects}) == 3:
            scenes.append(scene)
    return scenes


@torch.inference_mode()
def attention_figures(unet, text, encode, schedule, images, tokens, scenes, t: int = 100) -> dict[str, float]:
    """Pointing accuracy (the map's greatest cell lies on the object) and how often Eq. 9 picks the object."""
    noise = torch.randn(1, CHANNELS, SIDE // 8, SIDE // 8, generator=torch.Generator().manual_seed(0))
    hits = {"pointing": 0, "picks": 0}
    total = 0
    for scene in scenes:
        things = scene.objects
        states = text(tokens([f"the {thing.noun}" for thing in things])).last_hidden_state
        clean = encode(images([scene]))
        noisy = schedule.add_noise(clean, noise.to(clean), torch.tensor([t]))
        recorder = Recorder(LAYERS, softmax=False)
        run_unet(unet, noisy, t, states, recorder, output=False)
        side = SIDE // 8
        maps = torch.stack([recorder.maps[name][..., 2].unflatten(1, (side, side)) for name in LAYERS])  # [L, B, h, w]
        masks = torch.from_numpy(np.stack([thing.mask for thing in things])).to(maps)
        for i in range(len(things)):
            total += 1
            full = F.interpolate(maps[:, i].mean(0)[None, None], size=(SIDE, SIDE), mode="bilinear")[0, 0]
            hits["pointing"] += int(masks[i].flatten()[full.argmax()] > 0)
            inside = (full * masks).sum((1, 2)) / masks.sum((1, 2))
            outside = (full * (1 - masks)).sum((1, 2)) / (1 - masks).sum((1, 2))
            hits["picks"] += int((inside - outside).argmax() == i)
    return {name: value / total for name, value in hits.items()}


if __name__ == "__main__":
    main()
