"""The fault scenarios of the suite: what is done to a device, and what must come of it.

One module per family; :mod:`tacs.verify_device` runs them. Every verdict rests on numbers that are
held against a requirement: what an oscilloscope saw, what stands in the record, how a session
ended. Nothing rests on what the host believes.
"""
