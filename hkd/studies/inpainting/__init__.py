"""Can missing pixels and colours be restored without training?"""
