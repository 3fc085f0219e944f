"""``tacs serve``: the local page from which a session is run and a course is followed.

The web server is a front end like the terminal: it decides nothing about current. Sessions run in a
guardian process, analysis runs in a worker process, live EEG is read in a process of its own; the
event loop passes on what they say. Whoever talks to it goes through :mod:`tacs.serve.gate` first.
"""
