"""What people look at: tables and figures from run records."""
