"""Are the printed numbers reproduced, and do the statements hold that they are printed for?"""
