"""What people see: wording, tables, progress and pages."""
