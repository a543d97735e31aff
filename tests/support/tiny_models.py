"""Small models with random weights, saved to disk as their libraries save real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

WORDS = ["<pad>", "<s>", "</s>", "<unk>", "a", "red", "blue", "ball", "cube", "left", "right", "of", "rote", "kugel"]
TEXTS = ["a red ball", "A blue cube left of a red ball", "eine rote Kugel", "", "ball " * 40]
SIDE = 32


def pictures() -> list[Pixels]:
    """As photographs are, and as they are not: odd sizes, tiny ones, a banner, a tower."""
    random = np.random.default_rng(7)
    sizes = [
        (97, 61),
        (61, 97),
        (33, 32),
        (32, 33),
        (45, 32),
        (32, 32),
        (5, 3),
        (1, 1),
        (900, 31),
        (29, 901),
        (640, 427),
    ]
    out: list[Pixels] = []
    for width, height in sizes:
        y, x = np.mgrid[:height, :width].astype(np.float64)
        smooth = np.stack([127 + 90 * np.sin(x / (7 + c) + y / (13 - c)) for c in range(3)], -1)
        noisy = smooth + random.normal(0, 25, smooth.shape)
        noisy[height // 3 : height // 2, width // 4 : width // 2] = (250, 5, 120)
        out.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return out


def word_tokenizer() -> Any:
    """Words of `WORDS`, between <s> and </s>, lower case: a tokenizer of the package `tokenizers`."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return tokenizer


def save_transformers(
    folder: Path, family: Literal["clip", "siglip", "altclip"], side: int = SIDE, **processor: Any
) -> Path:
    """A tiny CLIP, SigLIP or AltCLIP with its tokenizer and its image processor; `processor` changes the last."""
    import torch
    import transformers as hf

    torch.manual_seed(11)
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {**small, "vocab_size": len(WORDS), "max_position_embeddings": 16, "pad_token_id": 0}
    vision = {**small, "image_size": side, "patch_size": 8}
    if family == "altclip":  # XLM-RoBERTa for texts: many languages, positions that begin after that of padding
        text |= {"project_dim": 32, "type_vocab_size": 1, "bos_token_id": 1, "eos_token_id": 2}
        text["max_position_embeddings"] = 17
        model = hf.AltCLIPModel(hf.AltCLIPConfig(text_config=text, vision_config=vision, projection_dim=24))
        made = hf.CLIPImageProcessorPil(
            **{"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}, **processor}
        )
    elif family == "clip":
        text |= {"bos_token_id": 1, "eos_token_id": 2}
        model = hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24))
        made = hf.CLIPImageProcessorPil(
            **{"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}, **processor}
        )
    else:
        model = hf.SiglipModel(hf.SiglipConfig(text_config=text, vision_config=vision))
        made = hf.SiglipImageProcessorPil(**{"size": {"height": side, "width": side}, **processor})
    _randomised(model)
    model.eval().save_pretrained(folder)
    made.save_pretrained(folder)
    hf.PreTrainedTokenizerFast(
        tokenizer_object=word_tokenizer(),
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=16,
    ).save_pretrained(folder)
    return folder


def save_open_clip(folder: Path, **preprocess: Any) -> Path:
    """A tiny model of open_clip in a folder with `open_clip_config.json`; `preprocess` changes how images go in."""
    import open_clip
    import torch
    from open_clip.model import CLIP

    torch.manual_seed(13)
    architecture = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": preprocess.pop("size", SIDE), "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
    }
    model = CLIP(**json.loads(json.dumps(architecture)))
    _randomised(model)
    folder.mkdir(parents=True, exist_ok=True)
    fields = {"model_cfg": architecture, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(fields))
    from safetensors.torch import save_file

    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    assert open_clip.__version__
    return folder


def _randomised(model: Any) -> None:
    """Fresh weights make all vectors nearly equal: larger ones tell inputs apart."""
    import torch

    with torch.no_grad():
        for value in model.parameters():
            if value.ndim > 1:
                value.normal_(0, 0.2)


def save_onnx_pair(folder: Path, dim: int = 8, side: int = 8, **changes: Any) -> Path:
    """Two towers that are one matrix each, with `tokenizers` for a tokenizer; no torch. `changes` to encoder.json."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(3)
    folder.mkdir(parents=True, exist_ok=True)
    length = 6

    def save(name: str, nodes: list[Any], takes: Any, weights: dict[str, npt.NDArray[Any]]) -> None:
        gives = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", dim])
        kept = [numpy_helper.from_array(value, key) for key, value in weights.items()]
        graph = helper.make_graph(nodes, name, [takes], [gives], kept)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, folder / f"{name}.onnx")

    save(
        "image",
        [
            helper.make_node("Flatten", ["pixels"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["vectors"]),
        ],
        helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, side, side]),
        {"weights": random.normal(size=(3 * side * side, dim)).astype(np.float32)},
    )
    save(
        "text",
        [
            helper.make_node("Gather", ["table", "tokens"], ["words"]),
            helper.make_node("ReduceSum", ["words", "axis"], ["vectors"], keepdims=0),
        ],
        helper.make_tensor_value_info("tokens", TensorProto.INT64, ["n", length]),
        {"table": random.normal(size=(len(WORDS), dim)).astype(np.float32), "axis": np.array([1], np.int64)},
    )
    word_tokenizer().save(str(folder / "tokenizer.json"))
    fields = {
        "format": "sluice-encoder/1",
        "name": "two matrices",
        "revision": "1",
        "dim": dim,
        "languages": ["en", "de"],
        "world": None,
        "preprocess": {
            "width": side,
            "height": side,
            "fit": "stretch",
            "interpolation": "bilinear",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
        },
        "image": {"file": "image.onnx", "input": "pixels", "output": "vectors"},
        "text": {"file": "text.onnx", "input": "tokens", "output": "vectors"},
        "tokenizer": {"type": "tokenizers", "file": "tokenizer.json", "length": length, "pad": 0},
        **changes,
    }
    (folder / "encoder.json").write_text(json.dumps(fields))
    return folder


BLIP_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]", "a", "red", "blue", "green", "ball", "on", "the", "floor"]
BLIP_CAPTIONS = {"a red ball": (220, 20, 30), "a blue ball on the floor": (20, 40, 210), "green": (10, 160, 40)}


def save_blip(folder: Path, side: int = 16) -> Path:
    """A tiny BLIP that has learned to say the captions of `BLIP_CAPTIONS` of images in those colours (seconds)."""
    import torch
    import transformers as hf
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(BLIP_WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    fast = hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, additional_special_tokens=["[DEC]"], **marks)
    prepare = hf.BlipImageProcessorPil(size={"height": side, "width": side})
    torch.manual_seed(5)
    torch.set_num_threads(1)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**small, "vocab_size": len(BLIP_WORDS), "max_position_embeddings": 32, "encoder_hidden_size": 32}
    text |= {"bos_token_id": 4, "pad_token_id": 0, "eos_token_id": 3, "sep_token_id": 3, "projection_dim": 32}
    vision = {**small, "image_size": side, "patch_size": 8}
    model = hf.BlipForConditionalGeneration(hf.BlipConfig(text_config=text, vision_config=vision, projection_dim=32))
    images = [np.full((side, side, 3), colour, np.uint8) for colour in BLIP_CAPTIONS.values()]
    tokens = fast(list(BLIP_CAPTIONS), return_tensors="pt", padding=True)
    tokens["input_ids"][:, 0] = 4
    labels = tokens["input_ids"].masked_fill(tokens["input_ids"] == 0, -100)
    pixels = prepare(images, return_tensors="pt")["pixel_values"]
    steps = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(120):
        steps.zero_grad()
        loss = model(
            pixel_values=pixels,
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            labels=labels,
        ).loss
        loss.backward()
        steps.step()
    model.eval().save_pretrained(folder)
    hf.BlipProcessor(prepare, fast).save_pretrained(folder)
    return folder


MARIAN_PAIRS = {"a red dot": "ein roter Punkt", "a blue cube on the left": "links ein blauer Würfel", "two": "zwei"}


def save_marian(folder: Path, *, backwards: bool = False) -> Path:
    """A tiny Marian (OPUS-MT) that has learned `MARIAN_PAIRS`, with pieces of its own (seconds)."""
    import sentencepiece
    import torch
    import transformers as hf

    folder.mkdir(parents=True, exist_ok=True)
    pairs = {there: here for here, there in MARIAN_PAIRS.items()} if backwards else MARIAN_PAIRS
    for name, texts in (("source", list(pairs)), ("target", list(pairs.values()))):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts * 20),
            model_prefix=str(folder / name),
            vocab_size=40,
            hard_vocab_limit=False,
            model_type="char",
            character_coverage=1.0,
            minloglevel=2,
        )
        (folder / f"{name}.model").rename(folder / f"{name}.spm")
    pieces = [
        piece
        for name in ("source", "target")
        for model in [sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.spm"))]
        for piece in (model.id_to_piece(number) for number in range(3, model.get_piece_size()))
    ]
    words = ["</s>", "<unk>", *dict.fromkeys(pieces), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({word: at for at, word in enumerate(words)}))
    tokenizer = hf.MarianTokenizer(
        vocab=str(folder / "vocab.json"), source_spm=str(folder / "source.spm"), target_spm=str(folder / "target.spm")
    )
    torch.manual_seed(5)
    torch.set_num_threads(1)
    small = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "max_position_embeddings": 64}
    small |= {f"{part}_{name}": size for part in ("encoder", "decoder") for name, size in (("ffn_dim", 64),)}
    small |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "scale_embedding": True, "dropout": 0.0}
    pad = len(words) - 1
    marks = {"pad_token_id": pad, "eos_token_id": 0, "decoder_start_token_id": pad, "forced_eos_token_id": 0}
    model = hf.MarianMTModel(hf.MarianConfig(vocab_size=len(words), **small, **marks, activation_function="swish"))
    sources = tokenizer(list(pairs), return_tensors="pt", padding=True)
    labels = tokenizer(text_target=list(pairs.values()), return_tensors="pt", padding=True)["input_ids"]
    labels = labels.masked_fill(labels == pad, -100)
    steps = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(300):
        steps.zero_grad()
        model(**sources, labels=labels).loss.backward()
        steps.step()
        model.get_input_embeddings().weight.data[pad] = 0  # Marian's decoder begins with nothing
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
