"""Everything that talks to hardware, and its stand-ins."""
