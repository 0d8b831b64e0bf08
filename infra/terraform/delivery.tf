# Images, and the builds that deliver: main goes to staging, a tag v* to production.

resource "google_artifact_registry_repository" "images" {
  repository_id = var.name
  location      = var.region
  format        = "DOCKER"
  description   = "Images of predict."
  depends_on    = [google_project_service.api]

  # What staging tested is what a tag moves to production, so tested images outlive the others.
  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 10
    }
  }
  cleanup_policies {
    id     = "keep-tested"
    action = "KEEP"
    condition {
      tag_state    = "TAGGED"
      tag_prefixes = ["tested-", "src-", "v"]
      newer_than   = "31536000s"
    }
  }
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "2592000s"
    }
  }
}

locals {
  repository   = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
  state_bucket = coalesce(var.state_bucket, "${local.bucket}-tfstate")

  # Terraform changes everything here, so who runs it may change everything here: whoever can push to main or a tag v*
  # deploys. No primitive role is among these.
  delivery_roles = [
    "roles/artifactregistry.admin", "roles/cloudbuild.builds.editor", "roles/cloudfunctions.admin",
    "roles/cloudscheduler.admin", "roles/eventarc.admin", "roles/iam.roleAdmin", "roles/iam.serviceAccountAdmin",
    "roles/logging.configWriter", "roles/logging.logWriter", "roles/monitoring.editor",
    "roles/pubsub.admin", "roles/resourcemanager.projectIamAdmin", "roles/run.admin",
    "roles/serviceusage.serviceUsageAdmin", "roles/storage.admin",
  ]

  triggers = var.repository_connection == "" ? {} : {
    main    = { branch = "^main$", tag = null, filename = "cloudbuild.yaml", description = "main: test, deploy, staging" }
    release = { branch = null, tag = "^v.*", filename = "infra/delivery/cloudbuild-release.yaml", description = "tag v*: production" }
  }
}

resource "google_service_account" "delivery" {
  account_id   = "${var.name}-delivery"
  display_name = "${var.name}: delivers"
  depends_on   = [google_project_service.api]
}

resource "google_project_iam_member" "delivery" {
  for_each = toset(local.delivery_roles)
  project  = var.project
  role     = each.value
  member   = google_service_account.delivery.member
}

# Deploying as an account needs that account, not every one of the project.
resource "google_service_account_iam_member" "delivery_acts_as" {
  for_each = merge(
    {
      build     = google_service_account.build.name
      events    = google_service_account.events.name
      scheduler = google_service_account.scheduler.name
      train     = google_service_account.train.name
      validate  = google_service_account.validate.name
    },
    { for stage, account in google_service_account.predict : stage => account.name },
  )
  service_account_id = each.value
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.delivery.member
}

# The smoke test asks the private services, with a token that the delivery makes for itself.
resource "google_cloud_run_v2_service_iam_member" "delivery_asks" {
  for_each = local.stages
  location = var.region
  name     = module.predict[each.key].name
  role     = "roles/run.invoker"
  member   = google_service_account.delivery.member
}

resource "google_service_account_iam_member" "delivery_makes_tokens" {
  service_account_id = google_service_account.delivery.name
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = google_service_account.delivery.member
}

resource "google_cloudbuild_trigger" "delivery" {
  for_each        = local.triggers
  name            = "${var.name}-${each.key}"
  location        = var.region
  description     = each.value.description
  filename        = each.value.filename
  service_account = google_service_account.delivery.id
  depends_on      = [google_project_iam_member.delivery]

  repository_event_config {
    repository = var.repository_connection
    push {
      branch = each.value.branch
      tag    = each.value.tag
    }
  }

  substitutions = {
    _REGION       = var.region
    _NAME         = var.name
    _REPOSITORY   = local.repository
    _STATE_BUCKET = local.state_bucket
  }
}

# ---- GitHub's own workflows, without a key ---------------------------------------------------------------------------

resource "google_iam_workload_identity_pool" "github" {
  count                     = var.github_repository == "" ? 0 : 1
  workload_identity_pool_id = "${var.name}-github"
  display_name              = "${var.name}: GitHub"
  depends_on                = [google_project_service.api]
}

resource "google_iam_workload_identity_pool_provider" "github" {
  count                              = var.github_repository == "" ? 0 : 1
  workload_identity_pool_id          = google_iam_workload_identity_pool.github[0].workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
    "attribute.ref"        = "assertion.ref"
  }
  # Any repository on GitHub can ask; only this one, and only for main and tags v*, is let in.
  attribute_condition = "assertion.repository == \"${var.github_repository}\" && (assertion.ref == \"refs/heads/main\" || assertion.ref.startsWith(\"refs/tags/v\"))"
  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

resource "google_service_account_iam_member" "github" {
  count              = var.github_repository == "" ? 0 : 1
  service_account_id = google_service_account.delivery.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.github[0].name}/attribute.repository/${var.github_repository}"
}
