# The validation function: an event for every object that is finished in the bucket, tried again until it is acknowledged.

locals {
  validate_threads = 4
  # Of every function of events.
  function_common = {
    prefix         = var.name
    project        = var.project
    region         = var.region
    bucket         = google_storage_bucket.pipeline.name
    events_account = { email = local.accounts.events.email, member = local.accounts.events.member }
    build = {
      account    = local.accounts.build.id
      repository = module.names.repository.id
      bucket     = google_storage_bucket.sources.name
    }
    accounts = { for name, account in local.accounts : name => account.email }
    bundles  = { for name, bundle in google_storage_bucket_object.bundle : name => bundle.name }
  }
}

module "validate" {
  source      = "./modules/event_function"
  name        = "validate"
  description = "Re-scores a candidate, promotes it to staging; promotes to production when a marker asks for it."
  common      = local.function_common

  memory          = "${var.validate_memory_mib}Mi"
  timeout_seconds = var.validate_timeout_seconds
  max_instances   = var.validate_max_instances
  concurrency     = local.validate_threads # one candidate at a time, and room for markers beside it
  environment = {
    MEMORY_MIB = tostring(var.validate_memory_mib)
    THREADS    = tostring(local.validate_threads)
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
