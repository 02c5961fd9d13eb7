"""What people see: rows read from a study, the live table, the closing tables, the winner's file. No torch."""
