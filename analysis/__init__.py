"""Everything that looks at signals; knows nothing of devices and sessions."""
