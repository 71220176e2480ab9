"""Numbers as lists write them: Roman figures and letters."""

_ROMAN = (
    *((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L")),
    *((40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")),
)


def roman(number: int) -> str:
    """Roman figures, from 1 to 3,999; plain ones beyond."""
    if not 0 < number < 4000:
        return str(number)
    figures = ""
    for value, sign in _ROMAN:
        count, number = divmod(number, value)
        figures += sign * count
    return figures


def letters(number: int) -> str:
    """A to Z, then AA, AB and so on, from 1; plain figures below."""
    if number < 1:
        return str(number)
    word = ""
    while number:
        number, place = divmod(number - 1, 26)
        word = chr(ord("A") + place) + word
    return word
