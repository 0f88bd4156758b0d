"""What a model is for: from a client's terms (pictures, labels) to tensors and back."""
