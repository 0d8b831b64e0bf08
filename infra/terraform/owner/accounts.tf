# Every identity, and what each may do on the whole project. What it may do with one bucket, service or topic stands beside
# that one, in the delivery's root. The delivery may change no grant of the project, make no account and change no role: a
# push to main cannot widen what anybody may do there.

locals {
  project_roles = merge(var.search == null ? {} : { search = ["roles/logging.logWriter"] }, {
    build  = ["roles/logging.logWriter"]
    checks = ["roles/logging.logWriter"]
    events = ["roles/eventarc.eventReceiver"]
    watch  = [module.names.custom_roles.job_runner.id] # an alarm asks for a training
    # What `terraform apply` of the delivery's root, infra/delivery and the builds ask for: tests/infra/test_permissions.py
    # compares each step with what these roles hold.
    delivery = [
      "roles/cloudbuild.builds.editor", "roles/cloudfunctions.developer", "roles/cloudscheduler.admin",
      "roles/logging.configWriter", "roles/logging.logWriter", "roles/monitoring.editor",
      "roles/pubsub.admin", "roles/run.admin", "roles/serviceusage.serviceUsageConsumer",
    ]
  })
  on_project = merge([for key, roles in local.project_roles : { for role in roles : "${key} ${role}" => { key = key, role = role } }]...)
}

resource "google_service_account" "account" {
  for_each     = module.names.accounts
  account_id   = each.value.account_id
  project      = each.value.project == var.project ? null : each.value.project
  display_name = "${var.name}: ${each.value.purpose}"
  depends_on   = [google_project_service.api, google_project_service.production]
}

resource "google_project_iam_member" "account" {
  for_each = local.on_project
  project  = var.project
  role     = each.value.role
  member   = module.names.accounts[each.value.key].member

  depends_on = [google_service_account.account]
}

resource "google_project_iam_custom_role" "role" {
  for_each    = module.names.custom_roles
  role_id     = each.value.role_id
  title       = "${var.name}: ${each.value.title}"
  permissions = each.value.permissions
  depends_on  = [google_project_service.api]
}

# Build-time code, that of every dependency too, runs as `build`, and tests as `checks`. Each reads what it is given: Cloud
# Functions hands a build the sources from our bucket, or from its own copy of them. No model, no pointer and no state.
resource "google_project_iam_member" "reads_sources" {
  for_each = {
    build  = ["${module.names.buckets.sources}/", "gcf-v2-sources-${data.google_project.this.number}-${var.region}/"]
    checks = ["${module.names.buckets.sources}/objects/checks/"]
  }
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = module.names.accounts[each.key].member

  depends_on = [google_service_account.account]
  condition {
    title      = "the sources of what it builds"
    expression = join(" || ", [for place in each.value : "resource.name.startsWith(\"projects/_/buckets/${place}\")"])
  }
}

# Deploying as an account needs that account, not every one of the project.
resource "google_service_account_iam_member" "delivery_acts_as" {
  for_each           = { for key, account in module.names.accounts : key => account.id if !contains(["dataflow", "delivery", "search"], key) }
  service_account_id = each.value
  role               = "roles/iam.serviceAccountUser"
  member             = module.names.accounts.delivery.member
  depends_on         = [google_service_account.account]
}

# The smoke test asks the private services, with a token that the delivery makes for itself.
resource "google_service_account_iam_member" "delivery_makes_tokens" {
  service_account_id = module.names.accounts.delivery.id
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = module.names.accounts.delivery.member
  depends_on         = [google_service_account.account]
}

# The delivery's own state and settings, and nothing of this root's.
module "delivery_state" {
  source     = "../modules/object_access"
  bucket     = module.names.buckets.state
  member     = module.names.accounts.delivery.member
  roles      = module.names.object_roles
  read       = ["terraform/", "terraform.tfvars"]
  create     = ["terraform/"]
  remove     = ["terraform/"]
  depends_on = [google_project_iam_custom_role.role, google_service_account.account]
}

# Grants take a while to be known everywhere: a trigger or a build that acts by one too early is refused (provider issue
# 20571: after 60 s half of the builds still were). What the delivery's root makes acts by these, so this root ends only
# once they have spread.
resource "terraform_data" "grants_have_spread" {
  input = concat(
    [google_project_iam_member.storage_publishes.id, google_project_iam_member.eventarc_agent.id],
    [for grant in google_project_iam_member.account : grant.id],
    [for grant in google_project_iam_member.reads_sources : grant.id],
    [for grant in google_artifact_registry_repository_iam_member.pushes : grant.id],
    [for grant in google_artifact_registry_repository_iam_member.production_pulls : grant.id],
    [for grant in google_project_iam_member.delivers_production : grant.id],
  )

  provisioner "local-exec" {
    command = "sleep 180"
  }
}

module "owners_only" {
  source     = "../modules/owners_only"
  bucket     = module.names.buckets.state
  project    = var.project
  depends_on = [module.delivery_state]
}
