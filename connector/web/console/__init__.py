"""The console: pages at `/` for admins and operators, made on the server.

A page is a `ConsolePage`: a path, a role, a template, and a function that loads what the template shows. `frame.py`
signs people in and out and draws what all pages share; each other module is one page. Pages work without JavaScript;
with it, they follow what happens.
"""
