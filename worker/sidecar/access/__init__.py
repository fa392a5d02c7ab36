"""Who may use the API and the console: credentials, roles, and the rules against other web pages.

Closed by default. Without `ADMIN_TOKEN`, `ADMIN_USERS` and `JWT_SECRET` only this machine gets in,
and only while the sidecar listens on loopback.
"""
