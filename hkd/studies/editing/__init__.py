"""What do bands of modes change in an image, and where?"""
