"""The columns of an answer as a table, beside those of the file that was sent: what a row says is in none of them."""

ANSWERED = ("prediction", "interval_low", "interval_high")
ASSESSED = ("risk_probability", "risk_tier", "band")
TOLD = ("error", "warning", "row")
RUN = "run_id"
