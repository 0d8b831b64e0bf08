# What Google's agents are called, in the owner's root: their members hold a project's number, which no plan of ours knows.
# So it is applied, over a mock. Run by tests/infra/test_agents.py.

mock_provider "google" {
  override_data {
    target = data.google_project.this
    values = { number = "123456789012" }
  }
  override_data {
    target = data.google_project.production
    values = { number = "210987654321" }
  }
  override_data {
    target = data.google_storage_project_service_account.agent
    values = { email_address = "service-123456789012@gs-project-accounts.iam.gserviceaccount.com" }
  }
}

variables {
  project            = "my-project"
  production_project = "my-project-live"
  region             = "europe-west1"
}

run "applied" {
  command = apply

  assert {
    condition     = google_project_iam_member.eventarc_agent.member == "serviceAccount:service-123456789012@gcp-sa-eventarc.iam.gserviceaccount.com"
    error_message = "Eventarc's agent is that of the project"
  }
  assert {
    condition     = google_project_iam_member.storage_publishes.member == "serviceAccount:service-123456789012@gs-project-accounts.iam.gserviceaccount.com"
    error_message = "Cloud Storage's agent is that of the project"
  }
  assert {
    condition     = google_artifact_registry_repository_iam_member.production_pulls[0].member == "serviceAccount:service-210987654321@serverless-robot-prod.iam.gserviceaccount.com"
    error_message = "Cloud Run's agent is that of production's project: it pulls the image there"
  }
}
