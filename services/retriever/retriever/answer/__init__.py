"""From a question and what was found to a cited, checked, streamed answer."""
