# An alert on a figure that is above a threshold: who is told, of what, and what there is to do.

variable "project" {
  description = "The project that it is made in; left out, the provider's."
  type        = string
  default     = null
}

variable "channels" {
  description = "Who is told."
  type        = list(string)
}

variable "alert" {
  description = "Its first line for people and the condition's, what is measured (divided by what matches denominator, if given), above which value and for how long it counts, and in Markdown what happened, what it means and what to do."
  type = object({
    title         = string
    severity      = optional(string, "ERROR")
    condition     = string
    filter        = string
    denominator   = optional(string)
    above         = optional(number, 0)
    lasting       = optional(string, "0s")
    period        = optional(string, "300s")
    aligner       = optional(string, "ALIGN_DELTA")
    reducer       = optional(string)
    auto_close    = optional(string)
    documentation = string
  })
}

resource "google_monitoring_alert_policy" "this" {
  project               = var.project
  display_name          = var.alert.title
  combiner              = "OR"
  severity              = var.alert.severity
  notification_channels = var.channels

  conditions {
    display_name = var.alert.condition
    condition_threshold {
      filter             = var.alert.filter
      denominator_filter = var.alert.denominator
      comparison         = "COMPARISON_GT"
      threshold_value    = var.alert.above
      duration           = var.alert.lasting
      aggregations {
        alignment_period     = var.alert.period
        per_series_aligner   = var.alert.aligner
        cross_series_reducer = var.alert.reducer
      }
      dynamic "denominator_aggregations" {
        for_each = var.alert.denominator[*]
        content {
          alignment_period     = var.alert.period
          per_series_aligner   = var.alert.aligner
          cross_series_reducer = var.alert.reducer
        }
      }
    }
  }

  # An incident closes when its lines or requests stop; what is missing needs no evaluation of its own, which a duration of 0 forbids.
  dynamic "alert_strategy" {
    for_each = var.alert.auto_close[*]
    content {
      auto_close = alert_strategy.value
    }
  }

  documentation {
    subject   = var.alert.title
    mime_type = "text/markdown"
    content   = var.alert.documentation
  }
}
