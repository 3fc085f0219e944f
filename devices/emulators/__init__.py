"""One emulator per wire protocol: firmware state, fault flags, electrodes, an oscilloscope."""
