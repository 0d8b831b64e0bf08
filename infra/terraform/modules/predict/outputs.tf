output "name" {
  description = "The service's name."
  value       = google_cloud_run_v2_service.this.name
}

output "url" {
  description = "Where it answers."
  value       = google_cloud_run_v2_service.this.uri
}

output "public" {
  description = "Whether callers are asked for no identity."
  value       = google_cloud_run_v2_service.this.invoker_iam_disabled
}
