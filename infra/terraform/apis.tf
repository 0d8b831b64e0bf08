# The APIs that the rest needs. They stay on at destroy: something else in the project may use them.

locals {
  apis = [
    "artifactregistry", "billingbudgets", "cloudbuild", "cloudfunctions", "cloudresourcemanager", "cloudscheduler",
    "eventarc", "iam", "iamcredentials", "logging", "monitoring", "pubsub", "run", "storage",
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

# A fresh project's agents and grants take a while to be known everywhere: a trigger made too early is refused. It waits
# once, before the trigger's first creation.
resource "terraform_data" "grants_have_spread" {
  input = [google_project_iam_member.storage_publishes.id, google_project_iam_member.validate_receives_events.id]

  provisioner "local-exec" {
    command = "sleep 90"
  }
}
