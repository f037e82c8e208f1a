"""What is the network made of?"""
