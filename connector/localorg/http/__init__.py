"""The org's HTTP face: `app` speaks HTTP, `call` is one request inside, everything else answers calls."""
