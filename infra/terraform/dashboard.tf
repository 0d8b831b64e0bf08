# What is looked at: requests of the predict services, and the lines that need a person.

locals {
  dashboards = { for name, charts in { pipeline = concat(local.request_charts, local.log_charts), production = local.request_charts } : name => jsonencode({
    displayName = "${var.name}: ${name}"
    mosaicLayout = {
      columns = 12
      # The API leaves a position of 0 out of its answer: set, it would be a difference at every plan.
      tiles = [for index, chart in charts : merge(index % 2 == 0 ? {} : { xPos = 6 }, index < 2 ? {} : { yPos = 4 * floor(index / 2) }, {
        width  = 6
        height = 4
        widget = {
          title = chart.title
          xyChart = {
            dataSets = [{
              plotType = "LINE"
              timeSeriesQuery = {
                timeSeriesFilter = {
                  filter = chart.filter
                  aggregation = {
                    alignmentPeriod    = "300s"
                    perSeriesAligner   = chart.aligner
                    crossSeriesReducer = chart.reducer
                    groupByFields      = chart.by
                  }
                }
              }
            }]
          }
        }
      })]
    }
  }) }

  predict_requests = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = monitoring.regex.full_match(\"${var.name}-predict-.*\")"
  request_charts = [
    {
      title   = "Requests by service and status"
      filter  = "metric.type = \"run.googleapis.com/request_count\" AND ${local.predict_requests}"
      aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = ["resource.label.service_name", "metric.label.response_code_class"]
    },
    {
      title   = "p99 latency, ms"
      filter  = "metric.type = \"run.googleapis.com/request_latencies\" AND ${local.predict_requests}"
      aligner = "ALIGN_DELTA", reducer = "REDUCE_PERCENTILE_99", by = ["resource.label.service_name"]
    },
    {
      title   = "Instances"
      filter  = "metric.type = \"run.googleapis.com/container/instance_count\" AND ${local.predict_requests}"
      aligner = "ALIGN_MAX", reducer = "REDUCE_SUM", by = ["resource.label.service_name"]
    },
  ]
  log_charts = [for key, alert in module.log_alert : {
    title   = local.log_alerts[key].title
    filter  = "metric.type = \"${alert.metric}\" AND resource.type = \"${local.log_alerts[key].resource_type}\""
    aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = []
  }]
}

resource "google_monitoring_dashboard" "pipeline" {
  dashboard_json = local.dashboards.pipeline
}

# Production's requests, where they cannot be seen from the other project.
resource "google_monitoring_dashboard" "production" {
  count          = module.names.production.separate ? 1 : 0
  project        = local.production_project
  dashboard_json = local.dashboards.production
}
