# The APIs that the rest needs. They stay on at destroy: something else in the project may use them.

locals {
  apis = [
    "artifactregistry", "billingbudgets", "cloudbuild", "cloudfunctions", "cloudresourcemanager", "cloudscheduler",
    "eventarc", "iam", "iamcredentials", "logging", "monitoring", "pubsub", "run", "storage", "sts",
  ]
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

# Grants take a while to be known everywhere: a trigger or a build that acts by one too early is refused (provider issue
# 20571: after 60 s half of the builds still were). Whatever acts by a grant waits for this, once, before it is made first.
resource "terraform_data" "grants_have_spread" {
  input = [
    google_project_iam_member.storage_publishes.id, google_project_iam_member.eventarc_agent.id,
    google_project_iam_member.validate_receives_events.id, google_project_iam_member.build.id,
    google_project_iam_member.build_reads_sources.id, google_artifact_registry_repository_iam_member.build_pushes.id,
  ]

  provisioner "local-exec" {
    command = "sleep 180"
  }
}
