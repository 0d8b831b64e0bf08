# A function that is called with an event for every object that is finished in a bucket, tried again until it acknowledges it.
# Whom its subscription hands what was never acknowledged is infra/delivery/dead_letters.py's to say.

resource "google_cloud_run_v2_service_iam_member" "events_call" {
  location = var.common.region
  name     = google_cloudfunctions2_function.this.name
  role     = "roles/run.invoker"
  member   = var.common.events_account.member
}

resource "google_cloudfunctions2_function" "this" {
  name        = "${var.common.prefix}-${var.name}"
  location    = var.common.region
  description = var.description

  build_config {
    runtime           = "python311"
    entry_point       = var.name
    service_account   = var.common.build.account
    docker_repository = var.common.build.repository
    source {
      storage_source {
        bucket = var.common.build.bucket
        object = var.common.bundles[var.name]
      }
    }
  }

  service_config {
    service_account_email            = var.common.accounts[var.name]
    timeout_seconds                  = var.timeout_seconds
    available_cpu                    = tostring(var.cpu)
    available_memory                 = var.memory
    min_instance_count               = 0
    max_instance_count               = var.max_instances
    max_instance_request_concurrency = var.concurrency
    ingress_settings                 = "ALLOW_INTERNAL_ONLY" # Eventarc and Cloud Scheduler of this project are
    all_traffic_on_latest_revision   = true
    environment_variables = merge({
      BUCKET               = var.common.bucket
      DEADLINE_SECONDS     = tostring(var.timeout_seconds - 40) # no new storage call later; the next delivery goes on
      LOG_LEVEL            = "INFO"
      GOOGLE_CLOUD_PROJECT = var.common.project
    }, var.environment)
  }

  event_trigger {
    trigger_region        = var.common.region
    event_type            = "google.cloud.storage.object.v1.finalized"
    retry_policy          = "RETRY_POLICY_RETRY"
    service_account_email = var.common.events_account.email
    event_filters {
      attribute = "bucket"
      value     = var.common.bucket
    }
  }
}
