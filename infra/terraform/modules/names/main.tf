# What everything is called. Two roots use it: the owner's makes the accounts and roles, the delivery's names them. So the
# delivery reads nothing that only an owner may read, and every name is known before anything is made.

variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "production_project" {
  description = "Id of the project that production serves in; left out, the same one."
  type        = string
  default     = null
}

variable "region" {
  description = "Where the functions run."
  type        = string
}

variable "name" {
  description = "Prefix of everything that is made."
  type        = string
}

variable "dataflow" {
  description = "Whether batches may run on Dataflow, whose workers have an account of their own."
  type        = bool
  default     = false
}

variable "search" {
  description = "Whether a search may run on machines of its own, which have an account."
  type        = bool
  default     = false
}

locals {
  # Each identity and its one purpose. A new function's own account is one more line; what it may do on the whole project,
  # if anything, stands in owner/accounts.tf.
  purposes = merge(var.dataflow ? { dataflow = "answers the largest files" } : {}, var.search ? { search = "fits for a search" } : {}, {
    batch      = "answers files"
    build      = "builds functions and the image"
    checks     = "lints and tests a push"
    delivery   = "delivers"
    events     = "delivers the bucket's events"
    production = "serves production"
    scheduler  = "calls train and watch"
    staging    = "serves staging"
    train      = "trains"
    validate   = "validates and promotes"
    watch      = "looks at live rows and labels"
  })

  # Google's ready-made roles are wider than any of this needs, so there are some of one or two permissions each.
  # A condition on the object's name narrows each grant to prefixes. Listing is a permission on the bucket, and without it
  # Cloud Storage answers 403 instead of 404 for an object that is not there; it shows names, never contents.
  # roles/dataflow.developer may start builds too, and cancel every job; roles/compute.instanceAdmin changes and deletes
  # every machine.
  dataflow_starter = { title = "start Dataflow jobs", permissions = ["dataflow.jobs.create"] }
  machine_starter = {
    title = "make machines from templates"
    permissions = [
      "compute.disks.create", "compute.instanceTemplates.useReadOnly", "compute.instances.create", "compute.instances.setMetadata",
      "compute.instances.setServiceAccount", "compute.instances.setTags", "compute.subnetworks.use", "compute.addresses.useInternal",
    ]
  }
  custom_roles = merge(var.dataflow ? { dataflow_starter = local.dataflow_starter } : {}, var.search ? { machine_starter = local.machine_starter } : {}, {
    object_lister  = { title = "list object names", permissions = ["storage.objects.list"] }
    object_reader  = { title = "read objects", permissions = ["storage.objects.get"] }
    object_creator = { title = "create objects, never overwrite", permissions = ["storage.objects.create"] }
    job_runner     = { title = "run a scheduled job now", permissions = ["cloudscheduler.jobs.run"] }
    object_remover = { title = "overwrite and delete objects", permissions = ["storage.objects.delete"] }
    bucket_keeper = {
      title       = "change a bucket's settings and grants, no object"
      permissions = ["storage.buckets.get", "storage.buckets.getIamPolicy", "storage.buckets.setIamPolicy", "storage.buckets.update"]
    }
  })

  # A network of its own, so that no address of another one can be in it; Cloud Run takes some of it too.
  search_range = "10.83.0.0/24"

  bucket = "${var.project}-${var.name}"
  # What serves production is in production's project, and so is the account that it runs as: many organisations let no
  # service run as an account of another project.
  production = coalesce(var.production_project, var.project)
  projects   = { for key in keys(local.purposes) : key => key == "production" ? local.production : var.project }
  emails     = { for key, project in local.projects : key => "${var.name}-${key}@${project}.iam.gserviceaccount.com" }
  ids        = { for key in keys(local.custom_roles) : key => "${replace(var.name, "-", "_")}_${key}" }
}

output "accounts" {
  description = "Every account by its key: account_id, email, member (as grants name it), id (as resources name it), project, purpose."
  value = {
    for key, email in local.emails : key => {
      account_id = "${var.name}-${key}" # at most 30 characters
      email      = email
      member     = "serviceAccount:${email}"
      id         = "projects/${local.projects[key]}/serviceAccounts/${email}"
      project    = local.projects[key]
      purpose    = local.purposes[key]
    }
  }
}

output "production" {
  description = "Production's project: its id, and whether it is one of its own."
  value       = { project = local.production, separate = local.production != var.project }
}

output "search" {
  description = "The machines of a search: name (of the network and what theirs begin with), zone, range of addresses, scheduler's address."
  value = {
    name      = "${var.name}-search"
    zone      = "${var.region}-b"
    range     = local.search_range
    scheduler = cidrhost(local.search_range, 10)
  }
}

output "custom_roles" {
  description = "Every custom role by its key: role_id, id (as grants name it), title, permissions."
  value = {
    for key, role in local.custom_roles : key => merge(role, {
      role_id = local.ids[key]
      id      = "projects/${var.project}/roles/${local.ids[key]}"
    })
  }
}

output "object_roles" {
  description = "Ids of the roles lister, reader, creator and remover, as modules/object_access takes them."
  value = {
    for key in ["lister", "reader", "creator", "remover"] : key => "projects/${var.project}/roles/${local.ids["object_${key}"]}"
  }
}

output "buckets" {
  description = "Names of the buckets: pipeline, sources, state."
  value = {
    pipeline = local.bucket
    sources  = "${local.bucket}-sources"
    state    = "${local.bucket}-tfstate"
  }
}

output "repository" {
  description = "The images' repository: id (as resources name it) and address (as docker does)."
  value = {
    id      = "projects/${var.project}/locations/${var.region}/repositories/${var.name}"
    address = "${var.region}-docker.pkg.dev/${var.project}/${var.name}"
  }
}
