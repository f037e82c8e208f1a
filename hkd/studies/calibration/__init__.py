"""What is a difference in the score worth?"""
