"""What Farebox costs on this machine, measured against nginx as a plain proxy: `make bench`."""
