"""Which reading of the network does the paper's score before training allow?"""
