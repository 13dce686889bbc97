"""How often the array of a leaf was changed in place: what was taken of one then looks again."""


class _Changes:
    count = 0


changes = _Changes()
