"""`make test-clients`: real clients, from their own packages, at a running aiassist.

    pins/      what is installed: one requirements file or package lock for each client
    packages   installs them into a cache of their own, Node.js included
    site       aiassist as `make run` starts it, and its Connect page, read as HTML
    model      the provider's stand-in: a model that follows a script and calls tools
    outside    the way out: refuses everybody, and notes who asked for what
    home       a fresh home and project for each client, set up as the page says
    sdks, agents   the clients: which page, which command, which tool
    __main__   the story in order, and the table

What a client is given is what the dashboard shows to a person, copied into place.
"""
