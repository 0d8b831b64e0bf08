# What only an owner may change: APIs, accounts, what each may do on the project, who builds, and the budget. A person
# applies it (`make deploy` does, before the rest); no build can, and the delivery's account may not even read its state.

provider "google" {
  project = var.project
  region  = var.region
  # Budgets and a few other APIs count their quota against the project of the caller.
  user_project_override = true
  billing_project       = var.project
}

module "names" {
  source             = "../modules/names"
  project            = var.project
  production_project = var.production_project
  region             = var.region
  name               = var.name
  dataflow           = var.dataflow
  search             = var.search != null
}
