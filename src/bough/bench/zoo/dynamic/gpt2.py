"""GPT-2, which writes on until the end of the text, with a cache of keys and values; and the same helped by a small draft.

Radford et al., "Language models are unsupervised multitask learners", 2019; Leviathan et al., "Fast inference from transformers
via speculative decoding", ICML 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

END = 0
Past = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer, [1, heads, words, size]."""


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.attended = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        batch, words, width = x.shape
        parts = self.project(self.norm1(x)).split(width, dim=2)
        query, key, value = (part.view(batch, words, self.heads, -1).transpose(1, 2) for part in parts)
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        mask = None
        if words > 1:
            seen = key.shape[2]
            mask = torch.ones(words, seen, dtype=torch.bool).tril(seen - words)
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = x + self.attended(y.transpose(1, 2).reshape(batch, words, width))
        x = x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))
        return x, (key, value)


class GPT2(nn.Module):
    """Scores of the word after each of the new words, given the keys and values of those before."""

    def __init__(self, width: int, heads: int, layers: int, vocabulary: int, places: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Embedding(places, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.words.weight

    def forward(self, words: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        begin = 0 if past is None else past[0][0].shape[2]
        x = self.words(words) + self.places(torch.arange(begin, begin + words.shape[1]))
        present: Past = []
        for number, block in enumerate(self.blocks):
            x, made = block(x, None if past is None else past[number])
            present.append(made)
        return self.head(self.norm(x)), present


class Generate(nn.Module):
    """Greedy decoding. Returns the prompt and what follows it, [1, words]."""

    def __init__(self, model: GPT2, limit: int) -> None:
        super().__init__()
        self.model = model
        self.limit = limit

    def forward(self, prompt: Tensor) -> Tensor:
        text = prompt
        scores, past = self.model(prompt)
        while True:
            word = scores[:, -1].argmax(dim=-1, keepdim=True)
            text = torch.cat([text, word], dim=1)
            if word.item() == END or text.shape[1] >= self.limit:
                return text
            scores, past = self.model(word, past)


class Speculate(nn.Module):
    """The same text with fewer calls of the large model: a small one writes a few words ahead, the large one reads them all at
    once and keeps those that it would have written. Returns the text and how often the large model was called."""

    def __init__(self, model: GPT2, draft: GPT2, limit: int, ahead: int = 4) -> None:
        super().__init__()
        self.model, self.draft = model, draft
        self.limit, self.ahead = limit, ahead

    def forward(self, prompt: Tensor) -> tuple[Tensor, int]:
        _, past = self.model(prompt[:, :-1])
        _, draft_past = self.draft(prompt[:, :-1])
        text, calls = prompt, 0
        while text.shape[1] < self.limit:
            guesses = self.guess(text[:, -1:], draft_past)
            scores, past = self.model(torch.cat([text[:, -1:], guesses], dim=1), past)
            calls += 1
            right = scores.argmax(dim=-1)
            agreed = 0
            while agreed < self.ahead and guesses[0, agreed] == right[0, agreed]:
                agreed += 1
            kept = right[:, : agreed + 1]
            text = torch.cat([text, kept], dim=1)
            if (kept == END).any():
                last = int((kept[0] == END).int().argmax())
                text = text[:, : text.shape[1] - agreed + last]
                break
            past = crop(past, text.shape[1] - 1)
            _, draft_past = self.draft(text[:, draft_past[0][0].shape[2] : -1], draft_past)
        return text, calls

    def guess(self, word: Tensor, past: Past) -> Tensor:
        """The next words that the small model would write."""
        guesses = []
        for _ in range(self.ahead):
            scores, past = self.draft(word, past)
            word = scores[:, -1].argmax(dim=-1, keepdim=True)
            guesses.append(word)
        return torch.cat(guesses, dim=1)


def crop(past: Past, words: int) -> Past:
    return [(key[:, :, :words], value[:, :, :words]) for key, value in past]


def initialize(model: GPT2, deviation: float) -> None:
    """Weights as large as in trained models, so that a word depends on those before it and not on the last alone."""
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            nn.init.normal_(parameter, std=0.3 if "words" in name or "places" in name else deviation)
