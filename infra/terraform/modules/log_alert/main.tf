# Log lines that need a person: counted by a metric, and told at the first one.

variable "name" {
  description = "Of the metric and the policy."
  type        = string
}

variable "title" {
  description = "What somebody reads in the notification's first line."
  type        = string
}

variable "filter" {
  description = "Which log lines count, in Cloud Logging's query language."
  type        = string
}

variable "resource_type" {
  description = "The monitored resource that these lines come from."
  type        = string
}

variable "documentation" {
  description = "What happened, what it means and what to do, in Markdown."
  type        = string
}

variable "channels" {
  description = "Who is told."
  type        = list(string)
}

resource "google_logging_metric" "this" {
  name        = var.name
  description = var.title
  filter      = var.filter

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }
}

# A policy on a metric that was made a moment ago is refused: it is not known everywhere yet.
resource "terraform_data" "metric_is_known" {
  input = google_logging_metric.this.id

  provisioner "local-exec" {
    command = "sleep 60"
  }
}

module "alert" {
  source     = "../threshold_alert"
  depends_on = [terraform_data.metric_is_known]
  channels   = var.channels
  alert = {
    title         = var.title
    condition     = var.title
    filter        = "metric.type = \"logging.googleapis.com/user/${google_logging_metric.this.name}\" AND resource.type = \"${var.resource_type}\""
    reducer       = "REDUCE_SUM"
    auto_close    = "86400s"
    documentation = var.documentation
  }
}

moved {
  from = google_monitoring_alert_policy.this
  to   = module.alert.google_monitoring_alert_policy.this
}

output "metric" {
  description = "The metric's type."
  value       = "logging.googleapis.com/user/${google_logging_metric.this.name}"
}

output "filter" {
  description = "Which log lines count."
  value       = google_logging_metric.this.filter
}
