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
