"""The node of a static mail cluster: it wires the parts together and runs them."""

__version__ = "0.1.0"
