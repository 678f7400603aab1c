"""Who may do what: identities, tokens, logins, sessions and the audit log.

Pure of any web framework: the server asks this room and answers in its own words.
"""
