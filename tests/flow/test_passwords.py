"""Which passwords may be chosen: length and commonness count, nothing else."""

import pytest

from oms_app.flow.common_passwords import common_words, why_common
from oms_app.flow.passwords import HashingCost, Passwords, check_new_password
from oms_kernel.domain.errors import InvalidRequest


@pytest.mark.parametrize(
    "password",
    [
        "Password1234",
        "p4ssw0rd!!!!",
        "P@$$w0rd2024!",
        "qwertyuiop12",
        "qwertyuiop123456",
        "123456789012",
        "098765432109",
        "aaaaaaaaaaaa",
        "abcabcabcabc",
        "1q2w3e4r5t6y",
        "zaq12wsxcde3",
        "iloveyou1234",
        "passwordpassword",
        "admin123admin123",
        "Administrator1",
        "!!!dragon!!!!",
        "liverpool2024",
    ],
)
def test_what_everybody_tries_first_is_refused(password: str) -> None:
    with pytest.raises(InvalidRequest, match="too easy"):
        check_new_password(password)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "a password of the tests",
        "tR8-vK2-pQ9-mZ4",
        "all lower case and no digit",
        "dragonmaster falls asleep",
        "käse und brötchen im garten",
        "x" * 5 + "quite long" * 11,
        "🐎🔋📎🐎🔋📎 horse battery",
    ],
)
def test_any_other_password_of_twelve_to_128_characters_is_taken(password: str) -> None:
    check_new_password(password)


@pytest.mark.parametrize("password", ["", "elevenchars", "correct horse battery " * 6])
def test_too_short_and_too_long_ones_are_refused(password: str) -> None:
    with pytest.raises(InvalidRequest, match="12 to 128"):
        check_new_password(password)


def test_the_list_is_one_of_words_in_lower_case() -> None:
    words = common_words()
    assert len(words) > 1_500
    assert all(word == word.lower() and word for word in words)
    assert why_common("") == ""


def test_nothing_of_a_password_is_cut_off() -> None:
    passwords = Passwords(HashingCost(memory_kib=1024, passes=1))
    long = "correct horse battery " * 5
    stored = passwords.hash(long)
    assert passwords.verify(stored, long)
    assert not passwords.verify(stored, long[:-1])
    assert not passwords.verify(None, long)
