"""mini's tokenizer: CLIP's rules, a vocabulary small enough to train on a laptop, one token per known word.

    python training/tokenizer.py FOLDER         # a new one, for another vocabulary
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

from captions import vocabulary

LENGTH = 32  # tokens, start and end included
SHIPPED = Path(__file__).parents[1] / "src/refdiff/bundles/mini/diffusion/tokenizer"


def load() -> CLIPTokenizer:
    """The bundle's own, for every recipe and the export: `build` breaks ties another way in every process, so that two
    builds may give two words each other's number."""
    return CLIPTokenizer.from_pretrained(SHIPPED)


def build() -> CLIPTokenizer:
    """Byte-level BPE merged until every known word is whole; any other text falls into pieces."""
    start, end = "<|startoftext|>", "<|endoftext|>"
    learner = CLIPTokenizer()
    learner._tokenizer.model = BPE(end_of_word_suffix="</w>", unk_token=end)
    alphabet = ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=20_000, min_frequency=1, special_tokens=[start, end], end_of_word_suffix="</w>",
                         initial_alphabet=alphabet, show_progress=False)
    learner._tokenizer.train_from_iterator([word for word in vocabulary() for _ in range(2)], trainer)
    state = json.loads(learner._tokenizer.to_str())["model"]
    known = state["vocab"]
    for letter in sorted(alphabet):  # a letter that no known word ends with must still be spellable
        known.setdefault(letter + "</w>", len(known))
    return CLIPTokenizer(vocab=known, merges=[tuple(merge) for merge in state["merges"]], model_max_length=LENGTH)


if __name__ == "__main__":
    tokenizer = build()
    broken = [word for word in vocabulary() if len(tokenizer(word).input_ids) != 3]
    print(len(tokenizer), "tokens; known words in pieces:", broken or "none")
    tokenizer.save_pretrained(sys.argv[1])
