# What production promises, off unless asked for: an uptime check from outside, an objective for availability and one for
# latency, and alerts on how fast the error budget burns (https://sre.google/workbook/alerting-on-slos, table 5-8).

locals {
  slo_on = var.slo == null ? {} : { production = var.slo }
  # Hours of the window, and the burn rate that is told: 14.4 uses 2 % of a month's budget in an hour, 6 uses 5 % in six.
  burns = { fast = { window = "3600s", rate = 14.4 }, slow = { window = "21600s", rate = 6 } }

  production_requests = "metric.type = \"run.googleapis.com/request_count\" AND resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${module.predict["production"].name}\""
  production_latency  = replace(local.production_requests, "request_count", "request_latencies")

  # By a share of requests that are bad, or by how long they took.
  objectives = var.slo == null ? {} : {
    availability = {
      goal      = var.slo.availability
      promise   = "are no 5xx"
      bad       = "${local.production_requests} AND metric.labels.response_code_class = \"5xx\""
      within_ms = null
    }
    latency = {
      goal      = var.slo.fast_share
      promise   = "within ${var.slo.latency_ms} ms"
      bad       = null
      within_ms = var.slo.latency_ms
    }
  }
}

resource "google_monitoring_service" "production" {
  for_each     = local.slo_on
  project      = local.production_project
  service_id   = "${var.name}-production"
  display_name = "${var.name}: predictions from production"
  basic_service {
    service_type   = "CLOUD_RUN"
    service_labels = { service_name = module.predict["production"].name, location = var.region }
  }
}

resource "google_monitoring_slo" "production" {
  for_each            = local.objectives
  project             = local.production_project
  service             = google_monitoring_service.production["production"].service_id
  slo_id              = "${var.name}-${each.key}"
  display_name        = "${each.value.goal * 100} % of the answers ${each.value.promise}, over 28 days"
  goal                = each.value.goal
  rolling_period_days = 28
  request_based_sli {
    dynamic "good_total_ratio" {
      for_each = each.value.bad[*]
      content {
        bad_service_filter   = good_total_ratio.value
        total_service_filter = local.production_requests
      }
    }
    dynamic "distribution_cut" {
      for_each = each.value.within_ms[*]
      content {
        distribution_filter = local.production_latency
        range {
          max = distribution_cut.value
        }
      }
    }
  }
}

resource "google_monitoring_alert_policy" "burn" {
  for_each              = google_monitoring_slo.production
  project               = local.production_project
  display_name          = "${var.name}: the budget of production's ${each.key} burns"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.production_channels

  dynamic "conditions" {
    for_each = local.burns
    content {
      display_name = "${conditions.key}: ${conditions.value.rate} times too fast over ${conditions.value.window}"
      condition_threshold {
        filter          = "select_slo_burn_rate(\"${each.value.id}\", \"${conditions.value.window}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = conditions.value.rate
        duration        = "0s"
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    subject   = "${var.name}: production's ${each.key} breaks its promise soon"
    mime_type = "text/markdown"
    content   = "At this rate the month's allowance is used up within days. `/meta` says which model serves, the service's log has a line for each failure; `make rollback` if it began with a promotion, `make release BACK=1` if with a release.\n\n${local.runbook}"
  }
}

# From three places of the world, every five minutes. The service may be private: the check brings a token of Monitoring's
# own agent, which `make deploy` has made.
resource "google_monitoring_uptime_check_config" "production" {
  for_each         = local.slo_on
  project          = local.production_project
  display_name     = "${var.name}: production is ready"
  timeout          = "10s"
  period           = "300s"
  selected_regions = ["EUROPE", "USA", "ASIA_PACIFIC"]

  http_check {
    path         = "/ready"
    port         = 443
    use_ssl      = true
    validate_ssl = true
    service_agent_authentication {
      type = "OIDC_TOKEN"
    }
  }
  monitored_resource {
    type   = "uptime_url"
    labels = { project_id = module.names.production.project, host = trimprefix(module.predict["production"].url, "https://") }
  }
}

resource "google_cloud_run_v2_service_iam_member" "uptime_asks" {
  for_each = local.slo_on
  project  = local.production_project
  location = var.region
  name     = module.predict["production"].name
  role     = "roles/run.invoker"
  member   = "serviceAccount:service-${coalesce(var.production_project_number, var.project_number)}@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
}

locals {
  down_alerts = var.slo == null ? {} : {
    down = {
      title         = "${var.name}: production cannot be reached"
      severity      = "CRITICAL"
      condition     = "two places or more got no answer"
      filter        = "metric.type = \"monitoring.googleapis.com/uptime_check/check_passed\" AND resource.type = \"uptime_url\" AND metric.labels.check_id = \"${google_monitoring_uptime_check_config.production["production"].uptime_check_id}\""
      above         = 1
      period        = "600s"
      aligner       = "ALIGN_NEXT_OLDER"
      reducer       = "REDUCE_COUNT_FALSE"
      auto_close    = "86400s"
      documentation = "`/ready` answers 200 once a model is loaded. A service without a model is not ready: `make promote`. Otherwise see its log, and the status of Cloud Run in the region.\n\n${local.runbook}"
    }
  }
}
