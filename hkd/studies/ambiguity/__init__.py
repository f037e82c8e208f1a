"""Which of the choices that the paper leaves open matter?"""
