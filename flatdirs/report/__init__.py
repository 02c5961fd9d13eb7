"""What people see: rows read from a study, the live table, closing tables, the result of `flatdirs.tune`. No torch."""
