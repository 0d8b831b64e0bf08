# Where the delivery works, and what everything there is called.

provider "google" {
  project = var.project
  region  = var.region
}

# Accounts, roles and the repository are made by the owner's root (owner/); here they are named.
module "names" {
  source             = "./modules/names"
  project            = var.project
  production_project = var.production_project
  region             = var.region
  name               = var.name
  dataflow           = local.on_dataflow
  search             = local.on_machines
}

locals {
  accounts = module.names.accounts
  roles    = module.names.object_roles
  # Null is the provider's own project.
  production_project = module.names.production.separate ? module.names.production.project : null
}
