"""Fading: channels whose gain stays for a block of symbols and is drawn anew for the next."""
