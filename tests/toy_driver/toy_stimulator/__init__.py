"""A toy stimulator, its driver and its emulator: the example of docs/write-a-driver.md."""
