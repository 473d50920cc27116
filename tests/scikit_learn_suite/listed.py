from enum import Enum


class Kind(Enum):
    OTHER = "not of ours"


LISTED = {}
