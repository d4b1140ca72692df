"""Signing in by OpenID Connect: the authorization code flow with PKCE.

    browser                          connector                                provider
    /signin/openid              -->  attempt: a secret in a cookie
                                <--  to the provider, with state, nonce, code challenge (all made of that secret)
    signs in                    ------------------------------------------------>
    /signin/openid/callback     -->  the state belongs to the cookie, else refused
                                     code + verifier                          -->  token endpoint
                                     ID token: signature, algorithm, issuer, audience, times, nonce
                                     claims -> name, role; no known group: refused
                                <--  a session (a row, `store/console_sessions`)

Nothing is stored before somebody has signed in, so nobody can fill the database. The cookie lasts ten minutes and is
deleted at the callback: an address of a callback that is used again, or in another browser, is refused. A crash at any
point leaves nothing: signing in begins anew.
"""
