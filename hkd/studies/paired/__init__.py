"""Does the order of two runs hold, seed by seed?"""
