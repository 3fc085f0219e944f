"""The commands, by what they are for; each parses, calls one public function and prints."""
