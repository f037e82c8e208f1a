"""What does a run make of every state of a trajectory?"""
