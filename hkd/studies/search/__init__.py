"""Are rows behind because nobody has searched their settings?"""
