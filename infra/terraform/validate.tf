# The validation function: an event for every object that is finished in the bucket, tried again until it is acknowledged.

locals {
  validate_threads = 4
}

resource "google_cloud_run_v2_service_iam_member" "events_call_validate" {
  location = var.region
  name     = google_cloudfunctions2_function.validate.name
  role     = "roles/run.invoker"
  member   = local.accounts.events.member
}

resource "google_cloudfunctions2_function" "validate" {
  name        = "${var.name}-validate"
  location    = var.region
  description = "Re-scores a candidate, promotes it to staging; promotes to production when a marker asks for it."

  build_config {
    runtime           = "python311"
    entry_point       = "validate"
    service_account   = local.accounts.build.id
    docker_repository = module.names.repository.id
    source {
      storage_source {
        bucket = google_storage_bucket.sources.name
        object = google_storage_bucket_object.bundle["validate"].name
      }
    }
  }

  service_config {
    service_account_email            = local.accounts.validate.email
    timeout_seconds                  = var.validate_timeout_seconds
    available_cpu                    = "1"
    available_memory                 = "${var.validate_memory_mib}Mi"
    min_instance_count               = 0
    max_instance_count               = var.validate_max_instances
    max_instance_request_concurrency = local.validate_threads # one candidate at a time, and room for markers beside it
    ingress_settings                 = "ALLOW_INTERNAL_ONLY"
    all_traffic_on_latest_revision   = true
    environment_variables = {
      BUCKET               = google_storage_bucket.pipeline.name
      DEADLINE_SECONDS     = tostring(var.validate_timeout_seconds - 40) # no new storage call later than this
      LOG_LEVEL            = "INFO"
      GOOGLE_CLOUD_PROJECT = var.project
      MEMORY_MIB           = tostring(var.validate_memory_mib)
      THREADS              = tostring(local.validate_threads)
    }
  }

  event_trigger {
    trigger_region        = var.region
    event_type            = "google.cloud.storage.object.v1.finalized"
    retry_policy          = "RETRY_POLICY_RETRY"
    service_account_email = local.accounts.events.email
    event_filters {
      attribute = "bucket"
      value     = google_storage_bucket.pipeline.name
    }
  }
}

# ---- what was never acknowledged -------------------------------------------------------------------------------------
# Events that fail for as long as they are kept are moved here, where an alert sees them. Eventarc makes the subscription
# behind its trigger itself and offers no argument for a dead letter topic: `make deploy` and every build connect the two,
# by infra/delivery/dead_letters.py.

resource "google_pubsub_topic" "undelivered" {
  name                       = "${var.name}-undelivered"
  message_retention_duration = "604800s"
}

resource "google_pubsub_subscription" "undelivered" {
  name                       = "${var.name}-undelivered"
  topic                      = google_pubsub_topic.undelivered.id
  message_retention_duration = "604800s"
  expiration_policy {
    ttl = "" # never
  }
}

resource "google_pubsub_topic_iam_member" "undelivered" {
  topic  = google_pubsub_topic.undelivered.id
  role   = "roles/pubsub.publisher"
  member = "serviceAccount:service-${var.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}
