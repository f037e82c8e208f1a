"""Is HKD what it says: closed latents, a determined spectrum, bands that carry factors?"""
