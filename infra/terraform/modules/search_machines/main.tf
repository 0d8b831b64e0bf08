# Machines for a search on Dask, empty at rest: a network and two templates, which cost nothing. Training makes the machines
# (functions/train/search/machines.py); each deletes itself when its time is over. They have no address outside, and are
# reached from this network alone: whoever reaches a Dask scheduler runs code on its workers.

variable "name" {
  description = "Name of the network; the templates are NAME-scheduler and NAME-worker."
  type        = string
}

variable "region" {
  description = "Where the network is; the machines are in one of its zones."
  type        = string
}

variable "range" {
  description = "The network's addresses."
  type        = string
}

variable "scheduler" {
  description = "The scheduler's address, of that range."
  type        = string
}

variable "image" {
  description = "What runs on all of them, with the tag that the delivery moves."
  type        = string
}

variable "account" {
  description = "E-mail of the identity that they run as."
  type        = string
}

variable "machine_type" {
  description = "A worker's machine."
  type        = string
}

variable "hours" {
  description = "When a machine deletes itself."
  type        = number
}

locals {
  port      = 8786
  scheduler = "tcp://${var.scheduler}:${local.port}"
  machines = {
    scheduler = {
      type    = "e2-medium"
      spot    = false # without it the whole search begins again
      address = google_compute_address.scheduler.address
      command = "python -m distributed.cli.dask_scheduler --host ${var.scheduler} --port ${local.port} --no-dashboard"
    }
    # A process with one thread for each processor, as the search has here. Dask's nanny starts one anew that takes too much.
    worker = {
      type    = var.machine_type
      spot    = true
      address = null
      command = "python -m distributed.cli.dask_worker ${local.scheduler} --nworkers=-1 --nthreads 1 --no-dashboard --local-directory /tmp"
    }
  }
}

resource "google_compute_network" "this" {
  name                    = var.name
  description             = "The machines of a search, and the training job that asks them."
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "this" {
  name                     = var.name
  region                   = var.region
  network                  = google_compute_network.this.id
  ip_cidr_range            = var.range
  private_ip_google_access = true # the image, the log
}

resource "google_compute_firewall" "inside" {
  name          = "${var.name}-inside"
  description   = "The job, the scheduler and the workers reach each other, and nobody else does."
  network       = google_compute_network.this.name
  direction     = "INGRESS"
  source_ranges = [var.range]
  allow {
    protocol = "tcp"
    ports    = ["1024-65535"]
  }
}

resource "google_compute_address" "scheduler" {
  name         = "${var.name}-scheduler"
  region       = var.region
  subnetwork   = google_compute_subnetwork.this.id
  address_type = "INTERNAL"
  address      = var.scheduler
}

resource "google_compute_instance_template" "machine" {
  for_each     = local.machines
  name         = "${var.name}-${each.key}"
  description  = "A ${each.key} of a search on Dask."
  machine_type = each.value.type

  disk {
    source_image = "projects/cos-cloud/global/images/family/cos-stable"
    boot         = true
    auto_delete  = true
    disk_size_gb = 20
  }

  network_interface {
    subnetwork = google_compute_subnetwork.this.id
    network_ip = each.value.address
  }

  service_account {
    email  = var.account
    scopes = ["cloud-platform"] # what it may do is its account's to say
  }

  metadata = {
    block-project-ssh-keys = "true"
    google-logging-enabled = "true"
    user-data              = templatefile("${path.module}/machine.yaml", { image = var.image, command = each.value.command })
  }

  scheduling {
    provisioning_model          = each.value.spot ? "SPOT" : "STANDARD"
    preemptible                 = each.value.spot
    automatic_restart           = false
    on_host_maintenance         = "TERMINATE"
    instance_termination_action = "DELETE"
    max_run_duration {
      seconds = var.hours * 3600
    }
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }
}
