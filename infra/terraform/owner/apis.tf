# The APIs that the rest needs. They stay on at destroy: something else in the project may use them.

locals {
  apis = concat([
    "artifactregistry", "billingbudgets", "cloudbuild", "cloudfunctions", "cloudresourcemanager", "cloudscheduler",
    "eventarc", "iam", "iamcredentials", "logging", "monitoring", "pubsub", "run", "storage", "sts",
  ], var.sql || length(var.bigquery_datasets) > 0 ? ["bigquery"] : [], var.dataflow ? ["dataflow"] : [], var.dataflow || var.search != null ? ["compute"] : [])
}

resource "google_project_service" "api" {
  for_each           = toset(local.apis)
  service            = "${each.value}.googleapis.com"
  disable_on_destroy = false
}

data "google_project" "this" {
  depends_on = [google_project_service.api]
}

# Storage's own agent publishes the bucket's events; reading it also makes it exist.
data "google_storage_project_service_account" "agent" {
  depends_on = [google_project_service.api]
}

resource "google_project_iam_member" "storage_publishes" {
  project = var.project
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:${data.google_storage_project_service_account.agent.email_address}"
}

# Eventarc's agent, which `make deploy` has made before: neither waiting nor turning its API on makes it exist
# (provider issues 25294 and 14584).
resource "google_project_iam_member" "eventarc_agent" {
  project    = var.project
  role       = "roles/eventarc.serviceAgent"
  member     = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-eventarc.iam.gserviceaccount.com"
  depends_on = [google_project_service.api]
}
