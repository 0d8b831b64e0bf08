terraform {
  required_version = ">= 1.9"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.0"
    }
  }
  # The state's bucket is given at init: `make deploy` makes it and names it.
  backend "gcs" {}
}

provider "google" {
  project = var.project
  region  = var.region
  # Budgets and a few other APIs count their quota against the project of the caller.
  user_project_override = true
  billing_project       = var.project
}
