"""One metered call: judged, admitted, held, settled, and written into the ledger."""
