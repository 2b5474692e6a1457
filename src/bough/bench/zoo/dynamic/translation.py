"""Sequence to sequence with attention: a bidirectional encoder, and a decoder that attends to it, word by word until the end.

Bahdanau et al., "Neural machine translation by jointly learning to align and translate", ICLR 2015.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

START, END = 0, 1


class Decoder(nn.Module):
    """One step: attention over the source, a GRU cell, scores of the next word."""

    def __init__(self, hidden: int, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.query, self.key = nn.Linear(hidden, hidden), nn.Linear(2 * hidden, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.cell = nn.GRUCell(3 * hidden, hidden)
        self.output = nn.Linear(hidden, vocabulary)

    def forward(self, word: Tensor, state: Tensor, source: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """`word` and `state` have a row for each text that is written; `source` and `keys` a row for each word read."""
        fit = self.score(torch.tanh(self.query(state).unsqueeze(1) + keys)).squeeze(2)
        context = F.softmax(fit, dim=1) @ source
        state = self.cell(torch.cat([self.embedding(word), context], dim=1), state)
        return self.output(state), state


class Translator(nn.Module):
    """Greedy decoding. Returns the words."""

    def __init__(self, hidden: int = 384, vocabulary: int = 8000, limit: int = 24) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.encoder = nn.GRU(hidden, hidden, bidirectional=True)
        self.first = nn.Linear(hidden, hidden)
        self.decoder = Decoder(hidden, vocabulary)
        self.limit = limit

    def encode(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """The words read, [words, 2 * hidden], and the decoder's first state, [1, hidden]."""
        source, last = self.encoder(self.embedding(words))
        return source, torch.tanh(self.first(last[1:]))

    def forward(self, words: Tensor) -> Tensor:
        source, state = self.encode(words)
        keys = self.decoder.key(source)
        word = torch.full((1,), START)
        written = []
        for _ in range(self.limit):
            scores, state = self.decoder(word, state, source, keys)
            word = scores.argmax(dim=1)
            written.append(word)
            if int(word) == END:
                break
        return torch.cat(written)


class BeamSearch(nn.Module):
    """The same network, which follows the best few beginnings until the best of them has ended.

    Returns the best text and its score.
    """

    ended: Tensor

    def __init__(self, hidden: int = 384, vocabulary: int = 8000, limit: int = 24, beams: int = 4) -> None:
        super().__init__()
        self.network = Translator(hidden, vocabulary, limit)
        self.limit, self.beams = limit, beams
        ended = torch.full((vocabulary,), float("-inf"))
        ended[END] = 0.0
        self.register_buffer("ended", ended)

    def forward(self, words: Tensor) -> tuple[Tensor, Tensor]:
        source, state = self.network.encode(words)
        decoder = self.network.decoder
        keys = decoder.key(source)
        states = state.repeat(self.beams, 1)
        texts = torch.full((self.beams, 1), START)
        totals = torch.full((self.beams,), float("-inf"))
        totals[0] = 0.0
        while texts.shape[1] <= self.limit:
            scores, states = decoder(texts[:, -1], states, source, keys)
            has_ended = (texts[:, -1] == END).unsqueeze(1)
            gains = torch.where(has_ended, self.ended, F.log_softmax(scores, dim=1))
            totals, best = (totals.unsqueeze(1) + gains).flatten().topk(self.beams)
            origin, word = best // scores.shape[1], best % scores.shape[1]
            texts = torch.cat([texts[origin], word.unsqueeze(1)], dim=1)
            states = states[origin]
            if texts[0, -1] == END:
                break
        return texts[0, 1:], totals[0]
