# Images, and the builds that deliver: main goes to staging, a tag v* to production. Whoever can push to main or a tag v*
# deploys.

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

resource "google_artifact_registry_repository_iam_member" "pushes" {
  for_each   = toset(["build", "delivery"]) # the delivery adds tags
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = module.names.accounts[each.value].member
  depends_on = [google_service_account.account]
}

locals {
  triggers = var.repository_connection == "" ? {} : {
    main    = { branch = "^main$", tag = null, filename = "cloudbuild.yaml", description = "main: test, deploy, staging" }
    release = { branch = null, tag = "^v.*", filename = "infra/delivery/cloudbuild-release.yaml", description = "tag v*: production" }
  }
}

resource "google_cloudbuild_trigger" "delivery" {
  for_each        = local.triggers
  name            = "${var.name}-${each.key}"
  location        = var.region
  description     = each.value.description
  filename        = each.value.filename
  service_account = module.names.accounts.delivery.id
  depends_on      = [google_project_iam_member.account]

  repository_event_config {
    repository = var.repository_connection
    push {
      branch = each.value.branch
      tag    = each.value.tag
    }
  }

  substitutions = merge(
    {
      _REGION       = var.region
      _NAME         = var.name
      _REPOSITORY   = module.names.repository.address
      _STATE_BUCKET = module.names.buckets.state
    },
    # By themselves these two are the project of the build (cloudbuild.yaml).
    module.names.production.separate ? {
      _PRODUCTION_PROJECT = module.names.production.project
      _PRODUCTION_NUMBER  = data.google_project.production[0].number
    } : {},
  )
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
  service_account_id = module.names.accounts.delivery.id
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.github[0].name}/attribute.repository/${var.github_repository}"
}
