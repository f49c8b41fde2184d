"""Numbers, nouns and verdicts as text."""
