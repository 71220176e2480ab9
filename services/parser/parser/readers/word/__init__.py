"""Word files, read from their XML: `runs` writes what is in a paragraph, `numbering` its number.

Own code over lxml: libraries that go by way of HTML lose the numbers of lists and headings, hidden
runs or equations, and take ten times as long.
"""
