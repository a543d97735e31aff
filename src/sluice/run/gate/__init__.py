"""The gate: go or no-go for a finished run, each answer with its evidence.

| heading | file |
| --- | --- |
| what a check is, and the table | `check` |
| cost | `cost` |
| compliance | `compliance` |
| sampling | `sampling` |
| traceability | `traceability` |
| all together | `gating` |
"""
