"""How good is each one-step method at equal network evaluations?"""
