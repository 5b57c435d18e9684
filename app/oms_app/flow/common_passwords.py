"""A password in, why it is too common out: one well-known word with digits or signs, a repetition, a run of keys.

What is known is no copy of a published list of leaked passwords. It is a list of some 1,800 words, names and phrases
that people are known to build passwords from (`common_words.txt`), written for this purpose. A password is looked up in
lower case, without the digits and signs at both ends, with the usual letters in place of digits (p4ssw0rd), and as a
repetition; runs along rows and columns of keyboards are recognised by rule. So one entry stands for thousands of
passwords, and passwords of several words that are not all the same pass.
"""

import re
from functools import lru_cache
from importlib.resources import files

_LEET = str.maketrans("0134578@$!", "oieastbasi")
_LEET_L = str.maketrans({"1": "l"})
_NO_LETTER = re.compile(r"[^a-zà-ÿ]+")
_ENDS = re.compile(r"^[\W\d_]+|[\W\d_]+$")
_RUNS = (
    "012345678901234567890123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "yxcvbnm",
    "azertyuiop",
    "qsdfghjklm",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "qazwsxedcrfvtgbyhnujmikolp",
    "qweasdzxc",
    "!@#$%^&*()",
)
_SHORTEST_RUN = 3
_LONGEST_UNIT = 40


def why_common(password: str) -> str:
    """Why the password is one of the first that anybody would try, or an empty text."""
    text = password.lower()
    if _is_of_runs(text):
        return "it follows the keys of a keyboard or the alphabet"
    unit = _repeated(text)
    if unit is not None and (len(unit) <= _SHORTEST_RUN or _is_known(unit) or _is_of_runs(unit)):
        return "it repeats the same few characters or a well-known word"
    if _is_known(text):
        return "it is one well-known word or name with digits or signs"
    return ""


def _is_known(text: str) -> bool:
    words = common_words()
    core = _ENDS.sub("", text)
    for form in (core, text, core.translate(_LEET_L), text.translate(_LEET_L)):
        for spelled in (form, form.translate(_LEET)):
            letters = _NO_LETTER.sub("", spelled)
            if letters in words:
                return True
            unit = _repeated(letters)
            if unit is not None and unit in words:
                return True
    return False


def _repeated(text: str) -> str | None:
    """The shortest part whose repetition the text is, or None."""
    at = (text + text).find(text, 1)
    return text[:at] if 0 < at < len(text) and at <= _LONGEST_UNIT else None


def _is_of_runs(text: str) -> bool:
    """Whether the text is nothing but runs of at least three keys, or of one key."""
    position = 0
    while position < len(text):
        length = _run_at(text, position)
        if length < _SHORTEST_RUN:
            return False
        position += length
    return bool(text)


def _run_at(text: str, position: int) -> int:
    same = 1
    while position + same < len(text) and text[position + same] == text[position]:
        same += 1
    longest = same
    for run in _all_runs():
        length = longest + 1
        while position + length <= len(text) and text[position : position + length] in run:
            longest = length
            length += 1
    return longest


@lru_cache(maxsize=1)
def _all_runs() -> tuple[str, ...]:
    return (*_RUNS, *(run[::-1] for run in _RUNS))


@lru_cache(maxsize=1)
def common_words() -> frozenset[str]:
    """The words of the list, lower case."""
    lines = files("oms_app.flow").joinpath("common_words.txt").read_text("utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())
