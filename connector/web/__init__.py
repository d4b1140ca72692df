"""The HTTP side: who comes in, what they may ask, how refusals are told. What is done is decided below."""
