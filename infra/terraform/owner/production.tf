# What production needs in a project of its own (production_project): nothing of this is made where it serves in the same
# one. The bucket stays where it is: production's account reads its models there, and the marker and the pointer with them.

resource "google_project_service" "production" {
  for_each           = toset(module.names.production.separate ? ["cloudresourcemanager", "iam", "logging", "monitoring", "run", "storage"] : [])
  project            = module.names.production.project
  service            = "${each.value}.googleapis.com"
  disable_on_destroy = false
}

data "google_project" "production" {
  count      = module.names.production.separate ? 1 : 0
  project_id = module.names.production.project
  depends_on = [google_project_service.production]
}

# Moves and asks the service, keeps its alerts, objectives and dashboard; what a build may do nowhere else there.
resource "google_project_iam_member" "delivers_production" {
  for_each   = toset(module.names.production.separate ? ["roles/monitoring.editor", "roles/run.admin"] : [])
  project    = module.names.production.project
  role       = each.value
  member     = module.names.accounts.delivery.member
  depends_on = [google_service_account.account]
}

# Cloud Run pulls an image as its own agent, and that of another project may not by itself
# (https://cloud.google.com/artifact-registry/docs/integrate-cloud-run, "Permissions required to deploy").
resource "google_artifact_registry_repository_iam_member" "production_pulls" {
  count      = module.names.production.separate ? 1 : 0
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.reader"
  member     = "serviceAccount:service-${data.google_project.production[0].number}@serverless-robot-prod.iam.gserviceaccount.com"
}
