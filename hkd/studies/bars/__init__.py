"""Do the results meet the quality bars of their benchmark?"""
