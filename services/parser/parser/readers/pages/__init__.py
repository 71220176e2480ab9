"""PDF pages: `words` finds words and their places, `heads` what repeats, `layout` puts it in order.

Two readers see each page. PDFium (pypdfium2) gives the words, as exact as the file has them; what
liteparse finds on the page gives their order: headings, columns, tables, fields.
"""
