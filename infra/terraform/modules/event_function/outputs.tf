output "name" {
  description = "The function's name, and that of the Cloud Run service behind it."
  value       = google_cloudfunctions2_function.this.name
}

output "url" {
  description = "Where it answers."
  value       = google_cloudfunctions2_function.this.service_config[0].uri
}

output "function" {
  description = "All that it is made of, for the tests of the plan."
  value       = google_cloudfunctions2_function.this
}
