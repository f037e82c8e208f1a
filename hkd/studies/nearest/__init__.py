"""The training images that are nearest to samples: does a method paint, or repeat?"""
