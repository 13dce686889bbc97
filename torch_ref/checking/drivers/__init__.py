"""How people's own code is driven, in whatever style it is written."""

from torch_ref.checking.drivers.failures import CannotDrive, Failed
from torch_ref.checking.drivers.find import Candidate, drive, find_drivers

__all__ = ["Candidate", "CannotDrive", "Failed", "drive", "find_drivers"]
