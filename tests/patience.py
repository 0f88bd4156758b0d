"""How long tests wait for what should take no time, on a machine that is busy with other things."""

from typing import Final

TIMEOUT_S: Final = 120.0
"""Of a call whose answer is due at once, seconds. Tests do not fail sooner because they compete for
the processor, and nothing in them takes this long unless it hangs."""
