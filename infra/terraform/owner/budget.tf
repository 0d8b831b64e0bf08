resource "google_billing_budget" "monthly" {
  count           = var.monthly_budget > 0 ? 1 : 0
  billing_account = var.billing_account
  display_name    = "${var.name}: monthly"
  depends_on      = [google_project_service.api]

  budget_filter {
    projects = [for number in concat([data.google_project.this.number], data.google_project.production[*].number) : "projects/${number}"]
  }
  amount {
    specified_amount {
      units = tostring(floor(var.monthly_budget))
    }
  }
  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1.0]
    content {
      threshold_percent = threshold_rules.value
    }
  }
}
