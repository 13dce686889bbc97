"""How people's own code is driven, in whatever style it is written."""

from torch_ref.checking.drivers.find import Candidate, drive, find_drivers
from torch_ref.checking.failures import CannotDrive, Failed

__all__ = ["Candidate", "CannotDrive", "Failed", "drive", "find_drivers"]
