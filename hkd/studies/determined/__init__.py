"""Does the data determine the spectrum, or a common start?"""
