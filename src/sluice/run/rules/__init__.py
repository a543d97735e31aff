"""Rules: SQL over the columns of one row, checked before anything runs, worked out where it can reach nothing else.

| subject | files |
| --- | --- |
| what a recipe says | `rule` (conditions), `order` (which of several is kept) |
| what SQL may hold | `language`, `sql_parse`, `sql_check`, `sql_types`, `like` |
| working it out | `sandbox`, `row_columns` |
"""
