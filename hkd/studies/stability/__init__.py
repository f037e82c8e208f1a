"""How does quality develop over a training, and over seeds?"""
