"""Strong models that MAGNET is compared with, their settings chosen on the validation part.

To add one: write a module with a frozen dataclass of its settings, derived from `ClosedForm` or
`Trained` of `base` (or from `FactorBaseline` of `factors` if it ends in one vector per user and
item), and below it an `Entry` with its name in reports and the settings to try. Then add one line
to `BASELINES` in `registry`: the benchmark, its options and its reports take it from there. Nothing
in this folder may read the test part.
"""
