"""The two graphs of a generator, built node by node from plain NumPy weights, and their proof.

What they take and give is laid down in ``quartet.generation``. No module here knows PyTorch or a
family; a family brings a ``network.Network``.
"""
