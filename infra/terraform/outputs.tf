output "bucket" {
  description = "The pipeline's bucket."
  value       = google_storage_bucket.pipeline.name
}

output "train_url" {
  description = "What the weekly job calls: the training function, or Cloud Run's API for the training job; private."
  value       = local.train_uri
}

output "validate" {
  description = "The validation function's name."
  value       = module.validate.name
}

output "batch" {
  description = "The batch function's name."
  value       = module.batch.name
}

output "watch" {
  description = "The watch function's name."
  value       = module.watch.name
}

output "alarms" {
  description = "The Pub/Sub topic that carries every alarm's JSON."
  value       = google_pubsub_topic.alarms.id
}

output "staging_url" {
  description = "Predictions from staging."
  value       = module.predict["staging"].url
}

output "production_url" {
  description = "Predictions from production."
  value       = module.predict["production"].url
}

output "production_project" {
  description = "The project that production serves in."
  value       = module.names.production.project
}

output "services" {
  description = "The predict services by stage."
  value       = { for stage, service in module.predict : stage => service.name }
}

output "job" {
  description = "The weekly job: `make retrain JOB=` runs it now."
  value       = google_cloud_scheduler_job.train.id
}

output "training" {
  description = "Where training runs: the Cloud Run job's name, null for the function; and the most seconds that one call of it may take."
  value = {
    job     = local.train_is_job ? google_cloud_run_v2_job.train[0].name : null
    seconds = local.train_is_job ? var.train_job_timeout_seconds * (1 + local.train_retries) : var.train_attempt_deadline_seconds
  }
}

output "repository" {
  description = "Where the images are."
  value       = module.names.repository.address
}

output "dashboard" {
  description = "The dashboard in the console."
  value       = "https://console.cloud.google.com/monitoring/dashboards/builder/${element(split("/", google_monitoring_dashboard.pipeline.id), length(split("/", google_monitoring_dashboard.pipeline.id)) - 1)}?project=${var.project}"
}

output "why_public" {
  description = "The reason for which production is public, if it is."
  value       = var.public_reason
}

output "told" {
  description = "Whom the alerts reach; empty for nobody."
  value       = var.notification_email
}
