"""The two graphs of a recurrent generator, built node by node from plain NumPy weights.

What they take and give is laid down in ``quartet.generation``. No module here knows PyTorch.
"""
