"""Images to features: networks, and how each is shown images."""
