"""Webhooks: users' servers are told what happened, by Standard Webhooks.

`events.emit` writes the outbox in the transaction of the act; `sending` empties it;
`endpoints` are the verbs of who is told; `signing` proves that it was us.
Source: https://github.com/standard-webhooks/standard-webhooks
"""
