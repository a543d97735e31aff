"""The audit: a drawn sample of what is packed, to be judged by a person, and what the judgements say of the whole.

| subject | files |
| --- | --- |
| who is drawn | `sample` |
| what a person gets | `drawing` (the folder), `sheet` (CSV), `page` (HTML) |
| what a person says | `judgements` |
| what follows from it | `result` |
| taking back | `forgetting` |
"""
