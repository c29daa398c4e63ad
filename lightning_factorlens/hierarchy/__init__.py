"""What the singular vectors of a model's weights respond to, image by image and class by class.

Praggastis, Brown, Marrero, Purvine, Shapiro and Wang (2022), "The SVD of convolutional weights: A CNN interpretability
framework", sections 4.2 to 6.
"""
