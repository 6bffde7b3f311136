"""What was measured, beside what is to be reached."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured value; `reach` and `stretch` bound it from above, or from below where `is_more_better`."""

    name: str
    value: float
    unit: str
    reach: float | None = None
    stretch: float | None = None
    is_more_better: bool = False
    note: str = ""

    @property
    def verdict(self) -> str:
        """How far it got."""
        if self.stretch is not None and self._meets(self.stretch):
            return "stretch"
        if self.reach is None:
            return ""
        return "reached" if self._meets(self.reach) else "missed"

    def _meets(self, bound: float) -> bool:
        return self.value >= bound if self.is_more_better else self.value <= bound
