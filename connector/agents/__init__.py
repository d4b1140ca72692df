"""The connector for agents: a server of the Model Context Protocol (`connector mcp`) that is a client of our HTTP API.

    agent  <-- stdio -->  tools  -- HTTP, bearer token -->  a running service, here or elsewhere

There is one door, the API: an agent can do what its token may, under its token's name, within its rate limit, and
nothing else. The role of the token decides which tools are listed.

Tools that change something take a plan, and nothing but its ID. A plan says exactly what it covers; it is shown first,
lasts ten minutes, is good once, and is refused if what it covers has changed. Plans live in this process: a crash
forgets them, and changes nothing.
"""
