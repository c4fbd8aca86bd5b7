"""Every kind of sequence behind one contract: see `stream`."""
