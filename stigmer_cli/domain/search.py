"""What a full-text search looks for: words that must all occur, and phrases in quotes; no input is a syntax error."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

SEARCH_MAX = 1_000
"""Characters of a search."""

TERMS_MAX = 32
"""Words and phrases of a search."""

SEARCHED_MAX = 100_000
"""So many characters of a message, of an output and of an error are searched."""

_TERM = re.compile(r'"(?P<phrase>[^"]*)(?:"|$)|(?P<word>[^\s"]+)')

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese, and Korean, whose words have their particles attached."""

_PIECE = re.compile(r"[^\W_]+")


@dataclass(frozen=True, kw_only=True)
class SearchTerm:
    """A word, or words in this order. `is_prefix`: the last one may go on."""

    text: str
    is_prefix: bool = False

    @property
    def is_unspaced(self) -> bool:
        """Whether no index of words finds it: it is of a script that does not put spaces between words."""
        return _UNSPACED.search(self.text) is not None

    @property
    def pieces(self) -> Sequence[str]:
        """What it has between characters that are neither letter nor digit, in lower case."""
        return _PIECE.findall(self.text.lower())


def parse_search(text: str) -> Sequence[SearchTerm]:
    """The terms of `text`: words, `"phrases in quotes"` and `beginnings*`, which must all occur; case does not count.

    A character that is neither letter nor digit separates words. Raises ValueError, with a sentence, for a search
    without a word, or for more than `SEARCH_MAX` characters or `TERMS_MAX` terms.
    """
    if len(text) > SEARCH_MAX:
        raise ValueError(f"a search has at most {SEARCH_MAX} characters, and this one has {len(text)}")
    terms = [
        SearchTerm(text=found["phrase"] or found["word"] or "", is_prefix=(found["word"] or "").endswith("*"))
        for found in _TERM.finditer(text)
    ]
    terms = [term for term in terms if any(character.isalnum() for character in term.text)]
    if not terms:
        raise ValueError(f"{text!r} has no word to search for")
    if len(terms) > TERMS_MAX:
        raise ValueError(f"a search has at most {TERMS_MAX} words and phrases, and this one has {len(terms)}")
    return terms
