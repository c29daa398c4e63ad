"""Which images, which layers, and what they answered; leaves the model bit for bit as found."""
