"""How long does a finished run take to make an image?"""
