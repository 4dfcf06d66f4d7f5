"""What came out: one document, shown as a table, as Markdown and as a chart."""
