terraform {
  required_version = ">= 1.9"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.5"
    }
  }
  # The state's bucket is given at init: `make deploy` makes it and names it.
  backend "gcs" {}
}

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
